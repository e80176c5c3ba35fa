package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/internal/sioclient"
	"github.com/sessionkv/store/internal/testserver"
)

const (
	patience   = sioclient.Patience
	testSecret = "a secret for tests"

	// beMain is an environment variable that makes the test binary the program.
	beMain = "SOCKETIO_TEST_MAIN"
)

func TestMain(m *testing.M) {
	if os.Getenv(beMain) != "" {
		main()
		return
	}
	code := testserver.Main(m)
	sioclient.Cleanup()
	os.Exit(code)
}

// A node is the program in a process of its own.
type node struct {
	t       *testing.T
	url     string
	process *os.Process
	ended   chan struct{}
}

// startNodes starts n nodes behind one page, whose sessions are kept at the URL.
func startNodes(t *testing.T, n int, store string, args ...string) []*node {
	t.Helper()
	var addrs, urls []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, l.Addr().String())
		urls = append(urls, "http://"+l.Addr().String())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var nodes []*node
	for _, addr := range addrs {
		nodes = append(nodes, startNode(t, append([]string{"-addr", addr, "-store", store, "-nodes", strings.Join(urls, ",")}, args...)...))
	}
	return nodes
}

// startNode starts a node until the test ends.
func startNode(t *testing.T, args ...string) *node {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), beMain+"=1", secretVariable+"="+testSecret)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, process: cmd.Process, ended: make(chan struct{})}
	urls := make(chan string, 1)
	var log strings.Builder // until ended is closed, of the goroutine
	go func() {
		defer close(n.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if _, url, ok := strings.Cut(lines.Text(), "listening at "); ok {
				urls <- url
			}
		}
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-n.ended
		if t.Failed() || strings.Contains(log.String(), "DATA RACE") {
			t.Errorf("log of %s:\n%s", n.url, &log)
		}
	})
	select {
	case n.url = <-urls:
	case <-n.ended:
		t.Fatalf("the node with %q ended at once", args)
	case <-time.After(patience):
		t.Fatalf("the node with %q did not start", args)
	}
	return n
}

// end sends sig and waits until the process has ended.
func (n *node) end(sig os.Signal) {
	n.t.Helper()
	if err := n.process.Signal(sig); err != nil {
		n.t.Fatal(err)
	}
	select {
	case <-n.ended:
	case <-time.After(patience):
		n.t.Fatalf("the node did not end after %v", sig)
	}
}

// login asks n for the token of user.
func (n *node) login(user string) (status int, body string) {
	n.t.Helper()
	resp, err := http.PostForm(n.url+"/login", url.Values{"user": {user}})
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text))
}

// as is the auth of a client that is user.
func as(user string) map[string]any {
	return map[string]any{"token": sign([]byte(testSecret), user)}
}

// again is the auth of a client that is user and goes on with a session.
func again(user, session string) map[string]any {
	auth := as(user)
	auth["session"] = session
	return auth
}

// connected connects a client and returns what the server says of its visit.
func (n *node) connected(t *testing.T, d *sioclient.Driver, transport string, auth map[string]any) (*sioclient.Client, string, map[string]any) {
	t.Helper()
	c := d.Connect(t, n.url, transport, auth)
	session := c.Session()
	visit, _ := c.Ask("hello").(map[string]any)
	return c, session, visit
}

// onTransports runs f for each transport of the client.
func onTransports(t *testing.T, f func(t *testing.T, transport string)) {
	sioclient.Dir(t)
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) { f(t, transport) })
	}
}

// A backend is a Redis server that holds the sessions of one test, and nothing else.
type backend struct {
	url    string
	client *redis.Client
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	url := testserver.Redis(t).URL
	opts, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{url: url, client: redis.NewClient(opts)}
	t.Cleanup(func() { b.client.Close() })
	return b
}

// count returns how many sessions the server holds: each is one hash. The lists of the
// index are of another type.
func (b *backend) count(t *testing.T) (n int64) {
	t.Helper()
	keys := b.client.ScanType(t.Context(), 0, "*", 1000, "hash").Iterator()
	for keys.Next(t.Context()) {
		n++
	}
	if err := keys.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

// await waits until the server holds n sessions.
func (b *backend) await(t *testing.T, n int64) {
	t.Helper()
	for end := time.Now().Add(patience); b.count(t) != n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the server holds %d sessions after %v, want %d", b.count(t), patience, n)
		}
	}
}
