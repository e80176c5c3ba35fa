package systemtest

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/sessionkv/store/internal/testserver"
)

// The convention for Go in Markdown pages:
//
//   - A block that begins with a package clause is a whole program.
//   - Any other block is a fragment. It may lack its imports, which are those of
//     fragmentImports, and its function: statements are put into one that
//     returns an error.
//   - What the fragments of a page take for granted, such as their keys and a
//     variable sess, is declared in comments of the form <!-- go … -->.

// fragmentImports are the packages that fragments name without importing them.
var fragmentImports = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "http": "net/http", "httptest": "net/http/httptest",
	"io": "io", "log": "log", "os": "os", "signal": "os/signal", "slog": "log/slog", "strings": "strings",
	"sync": "sync", "synctest": "testing/synctest", "syscall": "syscall", "testing": "testing", "time": "time",
	"backends":    "github.com/sessionkv/store/backends",
	"codec":       "github.com/sessionkv/store/codec",
	"httpsession": "github.com/sessionkv/store/httpsession",
	"inspect":     "github.com/sessionkv/store/inspect",
	"live":        "github.com/sessionkv/store/live",
	"memstore":    "github.com/sessionkv/store/backends/memstore",
	"otelstore":   "github.com/sessionkv/store/integrations/otelstore",
	"otelredis":   "github.com/sessionkv/store/integrations/otelstore/otelredis",
	"redis":       "github.com/redis/go-redis/v9",
	"redisstore":  "github.com/sessionkv/store/backends/redisstore",
	"socket":      "github.com/zishang520/socket.io/servers/socket/v3",
	"socketio":    "github.com/sessionkv/store/integrations/socketio",
	"store":       "github.com/sessionkv/store",
	"storetest":   "github.com/sessionkv/store/storetest",
	"websocket":   "github.com/coder/websocket",
	"wsjson":      "github.com/coder/websocket/wsjson",
}

// A page is what a Markdown file holds for this test.
type page struct {
	path    string // from the root of the repository
	blocks  []block
	prelude string   // the declarations of its <!-- go --> comments
	shell   []string // the lines of its sh blocks
}

type block struct {
	line int // of its first line of code
	code string
}

// readPage reads the Markdown file at path below root.
func readPage(t *testing.T, root, path string) page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	p := page{path: path}
	var into *strings.Builder
	start, end, kind := 0, "", ""
	for i, line := range strings.Split(string(text), "\n") {
		switch {
		case into == nil:
			switch line {
			case "```go":
				into, start, end, kind = new(strings.Builder), i+2, "```", "go"
			case "```sh":
				into, start, end, kind = new(strings.Builder), i+2, "```", "sh"
			case "<!-- go":
				into, start, end, kind = new(strings.Builder), i+2, "-->", "prelude"
			}
		case line == end:
			switch kind {
			case "go":
				p.blocks = append(p.blocks, block{line: start, code: into.String()})
			case "sh":
				p.shell = append(p.shell, strings.Split(strings.TrimSpace(into.String()), "\n")...)
			case "prelude":
				p.prelude += into.String()
			}
			into = nil
		default:
			into.WriteString(line + "\n")
		}
	}
	if into != nil {
		t.Errorf("%s:%d: the block has no end", path, start-1)
	}
	return p
}

// file returns the Go file that makes b, a block of p, a package.
func (p *page) file(b block) (string, error) {
	if regexp.MustCompile(`(?m)^package `).MatchString(b.code) {
		return fmt.Sprintf("//line %s:%d\n%s", p.path, b.line, b.code), nil
	}
	at := fmt.Sprintf("//line %s:%d\n", p.path, b.line)
	body := at + b.code
	if _, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+b.code, parser.SkipObjectResolution); err != nil {
		end := "return nil\n}\n"
		if regexp.MustCompile(`\nreturn [^\n]*\n$`).MatchString("\n" + b.code) {
			end = "}\n"
		}
		body = "func _() error {\n" + at + b.code + end
	}
	whole := body + "\n" + p.prelude
	imports, err := missingImports(whole)
	if err != nil {
		return "", fmt.Errorf("%s:%d: %w", p.path, b.line, err)
	}
	return "package p\n\n" + imports + whole, nil
}

// missingImports returns the import declarations that body, a file without its
// package clause, leaves out.
func missingImports(body string) (string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+body, 0)
	if err != nil {
		return "", err
	}
	unresolved := make(map[*ast.Ident]bool)
	for _, id := range f.Unresolved {
		unresolved[id] = true
	}
	var found []string
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && unresolved[id] {
				if path := fragmentImports[id.Name]; path != "" && !slices.Contains(found, path) {
					found = append(found, path)
				}
			}
		}
		return true
	})
	var out strings.Builder
	for _, path := range found {
		fmt.Fprintf(&out, "import %q\n", path)
	}
	return out.String(), nil
}

// pages returns the pages whose Go is compiled.
func pages(t *testing.T, root string) []page {
	t.Helper()
	var all []page
	for _, pattern := range []string{"*.md", "docs/*.md", "*/README.md", "*/*/README.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, readPage(t, root, rel))
		}
	}
	return all
}

// TestDocs makes a new module with the commands of the README, go mod init and go get. It compiles
// each Go block of the pages in it, and runs the first.
func TestDocs(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the library anew")
	}
	m := newModules(t, "..").module(t)
	readme := readPage(t, "..", "README.md")
	if len(readme.blocks) == 0 {
		t.Fatal("README.md has no Go block")
	}
	m.write(t, "main.go", readme.blocks[0].code)
	m.get(t, readme.shell)
	// Nothing else is needed to build what the README shows first.
	m.run(t, "build", "-o", t.TempDir(), ".")

	t.Run("compile", func(t *testing.T) { compileBlocks(t, m) })
	t.Run("memory", func(t *testing.T) {
		node := m.serve(t, readme.blocks[0].code, "memory:")
		driveReadme(t, node, node)
	})
	t.Run("redis", func(t *testing.T) {
		url := testserver.Redis(t).URL
		driveReadme(t, m.serve(t, readme.blocks[0].code, url), m.serve(t, readme.blocks[0].code, url))
	})
}

// compileBlocks compiles each Go block of the pages as a package of m.
func compileBlocks(t *testing.T, m *newModule) {
	blocks := 0
	for _, page := range pages(t, "..") {
		for i, b := range page.blocks {
			code, err := page.file(b)
			if err != nil {
				t.Errorf("%v", err)
				continue
			}
			name := strings.NewReplacer("/", "_", ".", "_", "-", "_").Replace(page.path)
			m.write(t, fmt.Sprintf("%s_%d/block.go", name, i), code)
			blocks++
		}
	}
	if blocks < 10 {
		t.Errorf("the pages have %d Go blocks, want at least 10", blocks)
	}
	m.run(t, "mod", "tidy") // for what only other pages import
	if out, err := m.command("vet", "./...").CombinedOutput(); err != nil {
		t.Errorf("go vet of the %d Go blocks = %v, want nil:\n%s", blocks, err, out)
	}
}

// serve runs the program code on the store at url, and returns its address.
func (m *newModule) serve(t *testing.T, code, url string) *readmeNode {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	for old, replacement := range map[string]string{"127.0.0.1:8080": addr, "memory:": url} {
		if strings.Count(code, strconv.Quote(old)) != 1 {
			t.Fatalf("the first Go block of README.md has %q %d times, want it once", old, strings.Count(code, strconv.Quote(old)))
		}
		code = strings.Replace(code, strconv.Quote(old), strconv.Quote(replacement), 1)
	}
	program := filepath.Join(t.TempDir(), "server")
	m.write(t, "main.go", code)
	m.run(t, "build", "-o", program, ".")
	cmd := exec.Command(program)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := &readmeNode{addr: addr}
	n.kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(func() {
		n.kill()
		if t.Failed() {
			t.Logf("the server said:\n%s", out.String())
		}
	})
	return n
}

// A readmeNode is the README's server while it runs.
type readmeNode struct {
	addr string
	kill func()
}

// dial connects as a client that had the session id, and returns the connection
// with the ID that the server sends first.
func (n *readmeNode) dial(t *testing.T, id string) (*websocket.Conn, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		ws, _, err := websocket.Dial(ctx, "ws://"+n.addr+"/ws?session="+id, nil)
		if err != nil {
			if ctx.Err() != nil {
				t.Fatalf("Dial of the README's server = %v, want nil", err)
			}
			time.Sleep(10 * time.Millisecond) // it is starting
			continue
		}
		t.Cleanup(func() { ws.CloseNow() })
		var got string
		if err := wsjson.Read(ctx, ws, &got); err != nil {
			t.Fatalf("first message of the README's server: %v, want the session's ID", err)
		}
		return ws, got
	}
}

// says sends a message on ws and compares the answer.
func says(t *testing.T, ws *websocket.Conn, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := ws.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	var got int
	if err := wsjson.Read(ctx, ws, &got); err != nil || got != want {
		t.Errorf("answer of the README's server = %d, %v, want %d", got, err, want)
	}
}

// driveReadme counts on node one, loses the connection, and goes on at node two.
func driveReadme(t *testing.T, one, two *readmeNode) {
	ws, id := one.dial(t, "")
	says(t, ws, 1)
	says(t, ws, 2)
	other, otherID := one.dial(t, "")
	if otherID == id {
		t.Error("two clients have the same session, want one each")
	}
	says(t, other, 1)
	if one == two {
		ws.CloseNow()
	} else {
		one.kill()
	}
	ws, again := two.dial(t, id)
	if again != id {
		t.Errorf("after a lost connection the client has another session than before")
	}
	says(t, ws, 3)
}

// TestDocsFragments holds the convention: a fault in a block is found, with its
// place in the page.
func TestDocsFragments(t *testing.T) {
	p := page{path: "x.md", prelude: "var sess *store.Session\n"}
	for _, c := range []struct{ name, code, want string }{
		{"statements", "sess.Release(context.Background())\n", "import \"context\"\n"},
		{"declaration", "const UserID = store.Key[string](\"userId\")\n", "import \"github.com/sessionkv/store\"\n"},
		{"program", "package main\n\nfunc main() {}\n", "//line x.md:7\npackage main\n"},
		{"local name", "http := 1\n_ = http\n", "func _() error {\n"},
	} {
		got, err := p.file(block{line: 7, code: c.code})
		if err != nil || !strings.Contains(got, c.want) || !strings.Contains(got, "//line x.md:7\n") {
			t.Errorf("%s: file(%q) = %q, %v, want it to have %q and its line", c.name, c.code, got, err, c.want)
		}
	}
	if got, err := p.file(block{line: 7, code: "if {\n"}); err == nil {
		t.Errorf("file of a block that does not parse = %q, nil, want an error", got)
	} else if !strings.Contains(err.Error(), "x.md:7") {
		t.Errorf("file of a block that does not parse: error %q, want it to name x.md:7", err)
	}
}

// TestDocsLinks follows each relative link of the pages to a file, and each
// fragment of a link to a heading.
func TestDocsLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"`)
	code := regexp.MustCompile("(?s)\n```.*?\n```|<!-- go\n.*?-->|`[^`\n]+`")
	for _, page := range pages(t, "..") {
		text, err := os.ReadFile(filepath.Join("..", page.path))
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range link.FindAllStringSubmatch(code.ReplaceAllString(string(text), ""), -1) {
			target, fragment, _ := strings.Cut(found[1]+found[2], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			to := filepath.Join("..", page.path)
			if target != "" {
				to = filepath.Join("..", filepath.Dir(page.path), target)
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s: link to %s: %v", page.path, found[0], err)
				continue
			}
			if fragment != "" && strings.HasSuffix(to, ".md") && !slices.Contains(anchors(t, to), fragment) {
				t.Errorf("%s: link to %s: no such heading, want one of %q", page.path, found[0], anchors(t, to))
			}
		}
	}
}

// anchors returns the fragments by which the headings of a page are reached.
func anchors(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		plain := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(h[1]), "")
		all = append(all, strings.ReplaceAll(plain, " ", "-"))
	}
	return all
}

// A newModule is one that a user has just begun, with an empty module cache.
type newModule struct {
	dir string
	env []string
}

// module returns a new module that gets the library from p.
func (p *modules) module(t *testing.T) *newModule {
	t.Helper()
	m := &newModule{dir: t.TempDir(), env: p.env(t)}
	m.run(t, "mod", "init", "example.com/new")
	return m
}

func (m *newModule) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// get runs the lines of shell that begin with go get.
func (m *newModule) get(t *testing.T, shell []string) {
	t.Helper()
	ran := 0
	for _, line := range shell {
		if args, ok := strings.CutPrefix(line, "go get "); ok {
			args, _, _ = strings.Cut(args, "#")
			m.run(t, append([]string{"get"}, strings.Fields(args)...)...)
			ran++
		}
	}
	if ran == 0 {
		t.Fatalf("no line of %q begins with go get", shell)
	}
}

// command returns a go command in m, which is alone: without go.work.
func (m *newModule) command(args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Dir = m.dir
	cmd.Env = m.env
	return cmd
}

func (m *newModule) run(t *testing.T, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := m.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("go %s in a new module = %v, want nil:\n%s", strings.Join(args, " "), err, out.String())
	}
}
