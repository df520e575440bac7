package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/agentaudit/agentaudit/internal/seriesfile"
)

// load reads the labelled series of a folder of the Numenta Anomaly Benchmark: data/<group>/<name>.csv and windows.json.
func load(folder string) ([]*labelled, error) {
	text, err := os.ReadFile(filepath.Join(folder, "windows.json")) //nolint:gosec // whoever runs this names the folder
	if err != nil {
		return nil, err
	}
	var windows map[string][][2]string
	if err := json.Unmarshal(text, &windows); err != nil {
		return nil, fmt.Errorf("read windows.json: %w", err)
	}
	var all []*labelled
	for name, spans := range windows {
		s := newLabelled(name)
		if err := loadRows(filepath.Join(folder, "data", filepath.FromSlash(name)), s); err != nil {
			return nil, err
		}
		for _, span := range spans {
			var ends [2]int64
			for i, stamp := range span {
				at, err := time.Parse(time.DateTime, stamp)
				if err != nil {
					return nil, fmt.Errorf("window of %s: %w", name, err)
				}
				ends[i] = at.Unix()
			}
			w, ok := windowAt(s.times, ends[0], ends[1])
			if !ok {
				return nil, fmt.Errorf("window of %s: no row at %s or %s", name, span[0], span[1])
			}
			s.windows = append(s.windows, w)
		}
		all = append(all, s)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	return all, nil
}

// windowAt finds the rows with these very times.
func windowAt(times []int64, from, to int64) (w [2]int, ok bool) {
	w = [2]int{-1, -1}
	for i, at := range times {
		if at == from && w[0] < 0 {
			w[0] = i
		}
		if at == to && w[1] < 0 {
			w[1] = i
		}
	}
	return w, w[0] >= 0 && w[1] > w[0]
}

func loadRows(path string, s *labelled) error {
	file, err := os.Open(path) //nolint:gosec // whoever runs this names the folder
	if err != nil {
		return err
	}
	defer file.Close()
	err = seriesfile.Read(file, func(r seriesfile.Row) error {
		s.times = append(s.times, r.Time)
		s.values = append(s.values, r.Value)
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
