package systemtest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A logLine is what the code logs, or a page says that it does.
type logLine struct {
	where      string
	level      string
	attributes string // names, separated by commas
}

// TestLogLinesAreListed: docs/logging.md has each line that the library logs, with its level and attributes, under the package that logs
// it, and no other.
func TestLogLinesAreListed(t *testing.T) {
	logged, err := logLines("..")
	if err != nil {
		t.Fatal(err)
	}
	if len(logged) < 10 {
		t.Errorf("found %d log lines in the code, want at least 10", len(logged))
	}
	text, err := os.ReadFile(filepath.Join("..", "docs", "logging.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := listedLines(string(text))
	for message, line := range logged {
		switch got, ok := listed[message]; {
		case !ok:
			t.Errorf("%s: docs/logging.md does not list %q (%s, %s)", line.where, message, line.level, line.attributes)
		case got != (logLine{packageOf(line.where), line.level, line.attributes}):
			t.Errorf("%s: docs/logging.md says of %q %v, want %v", line.where, message, got, logLine{packageOf(line.where), line.level, line.attributes})
		}
	}
	for message := range listed {
		if _, ok := logged[message]; !ok {
			t.Errorf("docs/logging.md lists %q, which no code logs", message)
		}
	}
}

// packageOf returns what the heading of a package ends with.
func packageOf(where string) string {
	dir := filepath.ToSlash(filepath.Dir(strings.TrimPrefix(strings.Split(where, ":")[0], "../")))
	if dir == "." {
		return "store"
	}
	return strings.TrimPrefix(dir, "backends/")
}

// listedLines returns the rows of the page, by message.
func listedLines(text string) map[string]logLine {
	heading := regexp.MustCompile(`^## (?:Package|Module) (\S+)$`)
	row := regexp.MustCompile("^\\| `([^`]+)` \\| (Debug|Info|Warn|Error) \\| ([^|]*) \\| [^|]+ \\|$")
	lines := make(map[string]logLine)
	pkg := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := heading.FindStringSubmatch(line); m != nil {
			pkg = m[1]
		}
		if m := row.FindStringSubmatch(line); m != nil {
			lines[m[1]] = logLine{pkg, m[2], strings.ReplaceAll(m[3], "`", "")}
		}
	}
	return lines
}

// unlistedDirs hold no code that programs of users run.
var unlistedDirs = []string{"examples", "bench", "systemtest", "cmd", "tools", "storetest", "internal/testserver", "internal/zerotest", "codec/codectest"}

// logLines returns what the code below root logs, by message.
func logLines(root string) (map[string]logLine, error) {
	lines := make(map[string]logLine)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if slices.Contains(unlistedDirs, rel) || rel != "." && strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found, err := linesOf(rel, string(text))
		maps.Copy(lines, found)
		return err
	})
	return lines, err
}

// foreignLines are the files that log what others say, in their words.
var foreignLines = []string{"backends/clientlog.go"}

// linesOf returns what the Go file with that text logs. A call whose message or attributes are not constant
// is an error.
func linesOf(path, text string) (map[string]logLine, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	lines := make(map[string]logLine)
	var errs []error
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !isLogger(method.X) {
			return true
		}
		level, withContext := strings.CutSuffix(method.Sel.Name, "Context")
		args := call.Args
		if withContext && len(args) > 0 {
			args = args[1:]
		}
		at := set.Position(call.Pos())
		where := fmt.Sprintf("%s:%d", at.Filename, at.Line)
		switch level {
		case "Debug", "Info", "Warn", "Error":
		case "Log", "LogAttrs":
			if !slices.Contains(foreignLines, path) {
				errs = append(errs, fmt.Errorf("%s: %s with a level that is not in its name", where, method.Sel.Name))
			}
			return true
		default: // With, Enabled, and what is not of a logger
			return true
		}
		var texts []string
		for i, arg := range args {
			if i > 0 && i%2 == 0 { // a value
				continue
			}
			s, ok := constant(arg)
			if !ok {
				errs = append(errs, fmt.Errorf("%s: the message or the name of an attribute is not a string literal", where))
				return true
			}
			texts = append(texts, s)
		}
		if len(texts) == 0 {
			return true
		}
		line := logLine{where, level, strings.Join(texts[1:], ", ")}
		if before, twice := lines[texts[0]]; twice && (before.level != line.level || before.attributes != line.attributes) {
			errs = append(errs, fmt.Errorf("%s: the message of %s, with another level or attributes", where, before.where))
		}
		lines[texts[0]] = line
		return true
	})
	return lines, errors.Join(errs...)
}

// isLogger reports whether x is package slog, or is called a logger.
func isLogger(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "slog" || strings.EqualFold(x.Name, "logger")
	case *ast.SelectorExpr:
		return strings.EqualFold(x.Sel.Name, "logger")
	case *ast.CallExpr: // slog.Default()
		f, ok := x.Fun.(*ast.SelectorExpr)
		return ok && isLogger(f.X)
	}
	return false
}

func constant(x ast.Expr) (string, bool) {
	lit, ok := x.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// TestLogLinesAreFound: what the test of the page rests on.
func TestLogLinesAreFound(t *testing.T) {
	const head = "package p\nfunc f() {\n"
	for _, tt := range []struct {
		code string
		want map[string]logLine
		bad  bool
	}{
		{`slog.Error("m", "a", 1, "b", f())`, map[string]logLine{"m": {"f.go:3", "Error", "a, b"}}, false},
		{`x.opts.Logger.WarnContext(ctx, "m")`, map[string]logLine{"m": {"f.go:3", "Warn", ""}}, false},
		{`x.logger.Info("m", "a", b)`, map[string]logLine{"m": {"f.go:3", "Info", "a"}}, false},
		{`slog.Default().Debug("m")`, map[string]logLine{"m": {"f.go:3", "Debug", ""}}, false},
		{`logger.With("a", 1).Error("m")`, map[string]logLine{"m": {"f.go:3", "Error", ""}}, false},
		{`t.Error("m"); http.Error(w, "m", 3); err.Error()`, map[string]logLine{}, false},
		{`slog.Error("m" + x)`, map[string]logLine{}, true},
		{`slog.Error("m", slog.Int("a", 1))`, map[string]logLine{}, true},
		{`logger.Log(ctx, level, "m")`, map[string]logLine{}, true},
		{"slog.Error(\"m\")\nslog.Warn(\"m\")", map[string]logLine{"m": {"f.go:4", "Warn", ""}}, true},
	} {
		got, err := linesOf("f.go", head+tt.code+"\n}\n")
		if !maps.Equal(got, tt.want) || (err != nil) != tt.bad {
			t.Errorf("linesOf(%s) = %v, %v, want %v, an error: %t", tt.code, got, err, tt.want, tt.bad)
		}
	}
	page := "## Package live\n\n| message | level | attributes | what |\n|---|---|---|---|\n| `m` | Warn | `a`, `b` | do |\n"
	if got, want := listedLines(page), (map[string]logLine{"m": {"live", "Warn", "a, b"}}); !maps.Equal(got, want) {
		t.Errorf("listedLines = %v, want %v", got, want)
	}
}
