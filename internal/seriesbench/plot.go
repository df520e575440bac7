package main

import (
	"fmt"
	"image/color"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// drawn are the series that stand in the documents: a day's rhythm with holidays, a machine that fails, one that is noisy.
func drawn() []string {
	return []string{"realKnownCause/nyc_taxi.csv", "realKnownCause/ec2_request_latency_system_failure.csv", "realTweets/Twitter_volume_FB.csv"}
}

const (
	plotWidth, plotHeight = 24 * vg.Centimeter, 11 * vg.Centimeter
	// plotPoints bounds how many points a line has: the largest and the smallest value of each column, which is what the eye would see of all.
	plotPoints = 500
)

// draw writes a picture for each of the drawn series into a folder.
func draw(series []*labelled, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // whoever runs this names the folder
		return err
	}
	for _, name := range drawn() {
		for _, s := range series {
			if s.name == name {
				if err := drawOne(s, filepath.Join(folder, "series-"+strings.TrimSuffix(path.Base(name), ".csv")+".svg")); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	return nil
}

func drawOne(s *labelled, file string) error {
	c := anomaly.DefaultSeriesConfig()
	values, expected, scores, alerts := make(plotter.XYs, 0), make(plotter.XYs, 0), make(plotter.XYs, 0), make(plotter.XYs, 0)
	var d anomaly.Series
	for i, t := range s.times {
		score := d.Step(&c, t, s.values[i])
		at := float64(t)
		values = append(values, plotter.XY{X: at, Y: s.values[i]})
		expected = append(expected, plotter.XY{X: at, Y: score.Expected})
		scores = append(scores, plotter.XY{X: at, Y: anomaly.Unit(score.Strength)})
		if score.Alert() {
			alerts = append(alerts, plotter.XY{X: at, Y: s.values[i]})
		}
	}
	grey, blue, red := color.RGBA{120, 120, 120, 255}, color.RGBA{30, 90, 180, 255}, color.RGBA{200, 30, 30, 255}

	above := newPlot("value")
	above.Title.Text = s.name
	least, most := extent(values)
	if err := shade(above, s, least, most); err != nil {
		return err
	}
	if err := line(above, values, grey, "value"); err != nil {
		return err
	}
	if err := line(above, expected, blue, "expected"); err != nil {
		return err
	}
	if len(alerts) > 0 {
		points, err := plotter.NewScatter(alerts)
		if err != nil {
			return err
		}
		points.Color, points.Shape, points.Radius = red, vgdraw.CircleGlyph{}, vg.Points(3)
		above.Add(points)
		above.Legend.Add("alert", points)
	}
	above.Legend.Top = true

	below := newPlot("score")
	below.Y.Min, below.Y.Max = 0, 1
	if err := shade(below, s, 0, 1); err != nil {
		return err
	}
	if err := line(below, scores, red, ""); err != nil {
		return err
	}
	first, last := float64(s.times[0]), float64(s.times[len(s.times)-1])
	if err := line(below, plotter.XYs{{X: first, Y: anomaly.AlertScore}, {X: last, Y: anomaly.AlertScore}}, grey, ""); err != nil {
		return err
	}
	return save(file, above, below)
}

func newPlot(label string) *plot.Plot {
	p := plot.New()
	p.Y.Label.Text = label
	p.X.Tick.Marker = plot.TimeTicks{Format: "2 Jan 2006", Time: plot.UnixTimeIn(time.UTC)}
	return p
}

// shade marks the windows in which something is known to have been wrong.
func shade(p *plot.Plot, s *labelled, least, most float64) error {
	for _, w := range s.windows {
		from, to := float64(s.times[w[0]]), float64(s.times[w[1]])
		area, err := plotter.NewPolygon(plotter.XYs{{X: from, Y: least}, {X: to, Y: least}, {X: to, Y: most}, {X: from, Y: most}})
		if err != nil {
			return err
		}
		area.Color, area.Width = color.RGBA{255, 225, 150, 255}, 0
		p.Add(area)
	}
	return nil
}

func line(p *plot.Plot, points plotter.XYs, c color.Color, label string) error {
	l, err := plotter.NewLine(thin(points))
	if err != nil {
		return err
	}
	l.Color, l.Width = c, vg.Points(0.6)
	p.Add(l)
	if label != "" {
		p.Legend.Add(label, l)
	}
	return nil
}

// thin keeps the first, the least and the largest point of each column.
func thin(points plotter.XYs) plotter.XYs {
	width := len(points)/plotPoints + 1
	if width < 3 {
		return points
	}
	var out plotter.XYs
	for from := 0; from < len(points); from += width {
		least, most := from, from
		for i := from; i < min(from+width, len(points)); i++ {
			if points[i].Y < points[least].Y {
				least = i
			}
			if points[i].Y > points[most].Y {
				most = i
			}
		}
		out = append(out, points[min(least, most)], points[max(least, most)])
	}
	return out
}

func extent(points plotter.XYs) (least, most float64) {
	_, _, least, most = plotter.XYRange(points)
	return least, most
}

// save draws both plots below each other.
func save(file string, above, below *plot.Plot) error {
	canvas := vgsvg.New(plotWidth, plotHeight)
	all := vgdraw.New(canvas)
	for _, p := range []*plot.Plot{above, below} {
		for _, text := range []*font.Font{&p.Title.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font} {
			text.Variant = "Sans"
		}
	}
	above.Draw(vgdraw.Crop(all, 0, 0, plotHeight*2/5, 0))
	below.Draw(vgdraw.Crop(all, 0, 0, 0, -plotHeight*3/5))
	out, err := os.Create(file) //nolint:gosec // whoever runs this names the folder
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(out); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}
