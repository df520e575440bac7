package deploy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/telemetry"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

// metricName is a literal that can only be a metric.
var metricName = regexp.MustCompile(`^agentaudit_[a-z0-9_]+$`)

// ownMetrics are the names of all metrics that our processes have, as their sources say; histograms with their suffixes. The
// Emitter's are left out: they are in the services that use it.
func ownMetrics(t *testing.T) []string {
	t.Helper()
	var names []string
	root := filepath.Join(testkit.Root(t), "internal")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			names = append(names, metricsAt(n)...)
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) < 10 {
		t.Fatalf("the sources have metrics %v only: they are made in a way that this does not find", names)
	}
	return names
}

// metricsAt returns the metrics that one node makes: prometheus.…Opts{Name: "…"}, prometheus.NewDesc("…") and, in
// internal/kafkaio, r.counter("…") and r.gauge("…"), which put a prefix before it.
func metricsAt(n ast.Node) []string {
	switch n := n.(type) {
	case *ast.CompositeLit:
		for _, element := range n.Elts {
			pair, ok := element.(*ast.KeyValueExpr)
			if !ok {
				continue
			}
			if key, ok := pair.Key.(*ast.Ident); !ok || key.Name != "Name" {
				continue
			}
			name := text(pair.Value)
			if !metricName.MatchString(name) {
				continue
			}
			if kind, ok := n.Type.(*ast.SelectorExpr); ok && kind.Sel.Name == "HistogramOpts" {
				return []string{name + "_bucket", name + "_count", name + "_sum"}
			}
			return []string{name}
		}
	case *ast.CallExpr:
		called, ok := n.Fun.(*ast.SelectorExpr)
		if !ok || len(n.Args) == 0 {
			return nil
		}
		switch name := text(n.Args[0]); {
		case called.Sel.Name == "NewDesc" && metricName.MatchString(name):
			return []string{name}
		case (called.Sel.Name == "counter" || called.Sel.Name == "gauge") && name != "":
			return []string{"agentaudit_kafka_" + name}
		}
	}
	return nil
}

// text is the value of a string literal.
func text(e ast.Expr) string {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return ""
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		return ""
	}
	return value
}

// processMetrics are those that every process has from the Go runtime and the operating system.
func processMetrics(t *testing.T) []string {
	t.Helper()
	families, err := telemetry.NewRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, family := range families {
		names = append(names, family.GetName())
	}
	return names
}

// knownMetrics are all that Prometheus can have of our processes.
func knownMetrics(t *testing.T) []string {
	t.Helper()
	return slices.Concat(ownMetrics(t), processMetrics(t), []string{"up"})
}

// Words of PromQL that rules and dashboards here use besides names of metrics.
var promQL = []string{
	"sum", "max", "min", "by", "rate", "increase", "deriv", "changes", "absent", "vector", "time", "histogram_quantile", "and", "or",
}

var (
	quoted    = regexp.MustCompile(`"[^"]*"`)
	selectors = regexp.MustCompile(`\{[^}]*\}`)
	ranges    = regexp.MustCompile(`\[[^\]]*\]`)
	grouping  = regexp.MustCompile(`\bby \([^)]*\)`)
	word      = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
)

// metricsOf returns the metrics that an expression of PromQL names.
func metricsOf(expression string) []string {
	for _, not := range []*regexp.Regexp{quoted, selectors, ranges, grouping} {
		expression = not.ReplaceAllString(expression, " ")
	}
	var names []string
	for _, name := range word.FindAllString(expression, -1) {
		if !slices.Contains(promQL, name) {
			names = append(names, name)
		}
	}
	return names
}

// checkExpression fails if an expression names a metric that is not known.
func checkExpression(t *testing.T, known []string, where, expression string) {
	t.Helper()
	names := metricsOf(expression)
	if len(names) == 0 {
		t.Errorf("%s: %q names no metric", where, expression)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			t.Errorf("%s: there is no metric %s", where, name)
		}
	}
}
