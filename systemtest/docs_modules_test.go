package systemtest

import (
	"archive/zip"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const library = "github.com/sessionkv/store"

// A modules is a folder that serves the modules of a checkout to the go command, as they would be
// published. So a new module gets them with the very commands of the README, and with the go.sum
// that these make. A replace directive would hide what is missing.
type modules struct {
	dir     string
	version string
}

// newModules serves the modules of the checkout at root that users import.
func newModules(t *testing.T, root string) *modules {
	t.Helper()
	p := &modules{dir: t.TempDir(), version: "v0.0.1"}
	for _, sub := range []string{"", "integrations/otelstore", "integrations/socketio"} {
		if _, err := os.Stat(filepath.Join(root, sub, "go.mod")); err == nil {
			p.publish(t, filepath.Join(root, sub), strings.TrimSuffix(library+"/"+sub, "/"))
		}
	}
	return p
}

// publish writes the files by which the go command finds the module path.
func (p *modules) publish(t *testing.T, dir, path string) {
	t.Helper()
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	// A release names the version of the library that it was made with.
	mod = []byte(strings.ReplaceAll(string(mod), library+" v0.0.0\n", library+" "+p.version+"\n"))
	at := filepath.Join(p.dir, filepath.FromSlash(path), "@v")
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"list":              p.version + "\n",
		p.version + ".info": fmt.Sprintf(`{"Version":%q,"Time":"2026-01-01T00:00:00Z"}`, p.version),
		p.version + ".mod":  string(mod),
	} {
		if err := os.WriteFile(filepath.Join(at, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.Create(filepath.Join(at, p.version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	z := zip.NewWriter(out)
	err = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(file, "go.mod"))
			if rel != "." && (nested == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || strings.HasPrefix(rel, "go.work") || strings.HasPrefix(d.Name(), ".") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if rel == "go.mod" {
			text = mod
		}
		w, err := z.Create(path + "@" + p.version + "/" + filepath.ToSlash(rel))
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
}

// env returns the environment of a go command with an empty module cache. What
// others publish comes from the downloads of this machine's cache, and else from
// where this machine gets its modules.
func (p *modules) env(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMODCACHE", "GOPROXY").Output()
	if err != nil {
		t.Fatal(err)
	}
	cache, others, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	file := func(dir string) string {
		return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
	}
	return append(os.Environ(),
		"GOWORK=off",
		"GOMODCACHE="+t.TempDir(),
		"GOFLAGS=-modcacherw -trimpath",
		"GOPROXY="+strings.Join([]string{file(p.dir), file(filepath.Join(cache, "cache", "download")), others}, ","),
		"GOSUMDB=off",
	)
}
