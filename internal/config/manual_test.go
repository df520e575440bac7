package config

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/configuration.md anew")

const manualHeading = `# Configuration

Made from the comments in ` + "`internal/config`" + `; after changing them run ` + "`go test ./internal/config -update`" + `.

All processes and commands read one configuration. Later sources win: defaults, the YAML file (` + "`--config FILE`" + `, or
` + "`config.yaml`" + ` in the folder of ` + "`--data DIR`" + `), the environment, ` + "`--set key=value`" + `. In the environment
` + "`kafka.sasl.username`" + ` is ` + "`AGENTAUDIT_KAFKA__SASL__USERNAME`" + `, with two underscores between sections; there and in
` + "`--set`" + ` a list is written ` + "`a,b`" + `. Relative paths in the file are meant from the file's folder, others from the working directory.
Unknown keys and values outside their bounds are refused; variables with other names are not looked at. Secrets are taken from files (` + "`…_file`" + `) or the environment only.
` + "`agentaudit config`" + ` prints what is in effect.
`

// docs/configuration.md says what the comments at the fields say.
func TestManualIsUpToDate(t *testing.T) {
	m := manual{types: map[string]*ast.StructType{}, about: map[string]string{}}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	for _, name := range files {
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		m.collect(file)
	}
	m.out.WriteString(manualHeading)
	c := DefaultConfig()
	if err := m.section("", "Config", reflect.ValueOf(c)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "..", "docs", "configuration.md")
	if *update {
		if err := os.WriteFile(path, []byte(m.out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != m.out.String() {
		t.Errorf("%s is not up to date: run go test ./internal/config -update", path)
	}
}

// manual renders the configuration's structs.
type manual struct {
	types map[string]*ast.StructType
	about map[string]string // comments of the types
	out   strings.Builder
}

func (m *manual) collect(file *ast.File) {
	for _, decl := range file.Decls {
		general, ok := decl.(*ast.GenDecl)
		if !ok || general.Tok != token.TYPE {
			continue
		}
		for _, spec := range general.Specs {
			named := spec.(*ast.TypeSpec)
			if body, ok := named.Type.(*ast.StructType); ok {
				m.types[named.Name.Name] = body
				m.about[named.Name.Name] = oneParagraph(general.Doc.Text())
			}
		}
	}
}

// section writes the table of a struct's own keys, and then the sections within it.
func (m *manual) section(prefix, typeName string, value reflect.Value) error {
	type inner struct {
		key, typeName string
		value         reflect.Value
	}
	var sections []inner
	var rows []string
	comment := ""
	for _, field := range m.types[typeName].Fields.List {
		name := field.Names[0].Name
		own, _ := value.Type().FieldByName(name)
		key := prefix + own.Tag.Get("yaml")
		v := value.FieldByName(name)
		if v.Kind() == reflect.Struct {
			sections = append(sections, inner{key, v.Type().Name(), v})
			continue
		}
		// A comment holds for the fields below it that have none, as "CertFile and KeyFile are …".
		if text := oneParagraph(field.Doc.Text()); text != "" {
			comment = text
		}
		if field.Doc == nil && !strings.Contains(comment, name) {
			comment = ""
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", key, defaultText(v), strings.ReplaceAll(comment, "|", "\\|")))
	}
	if prefix != "" {
		fmt.Fprintf(&m.out, "\n## %s\n%s\n", strings.TrimSuffix(prefix, "."), m.about[typeName])
	}
	if len(rows) > 0 {
		m.out.WriteString("\n| key | default | |\n|---|---|---|\n" + strings.Join(rows, ""))
	}
	for _, s := range sections {
		if m.types[s.typeName] == nil {
			return fmt.Errorf("no source of type %s", s.typeName)
		}
		if err := m.section(s.key+".", s.typeName, s.value); err != nil {
			return err
		}
	}
	return nil
}

func defaultText(v reflect.Value) string {
	text := fmt.Sprint(v.Interface())
	if v.Kind() == reflect.Slice {
		text = strings.Join(v.Interface().([]string), ",")
	}
	if v.Kind() == reflect.Int {
		text = strconv.FormatInt(v.Int(), 10)
	}
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

func oneParagraph(text string) string { return strings.Join(strings.Fields(text), " ") }
