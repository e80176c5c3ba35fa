package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/await"
	"github.com/sessionkv/store/internal/testserver"
)

// binaryDir is where buildOnce puts the server.
var binaryDir string

func TestMain(m *testing.M) {
	var err error
	if binaryDir, err = os.MkdirTemp("", "chat-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := testserver.Main(m)
	os.RemoveAll(binaryDir)
	os.Exit(code)
}

// buildOnce builds the server as a user would and returns its path.
var buildOnce = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaryDir, "chat")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// A process is a chat server of its own process.
type process struct {
	*node
	cmd  *exec.Cmd
	over chan struct{} // closed when it has ended
}

// startProcess starts the built server until the test ends.
func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	binary, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{node: &node{t: t, logs: newLogBuffer()}, over: make(chan struct{})}
	p.cmd = exec.Command(binary, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	p.cmd.Env = append(os.Environ(), secretVariable+"="+testSecret)
	p.cmd.Stderr = p.logs
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		p.logs.close()
		close(p.over)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.over
		p.logs.checkSecrets(t)
		if t.Failed() {
			t.Logf("log of the server at %s:\n%s", p.url, p.logs.String())
		}
	})
	p.url = p.logs.awaitURL(t)
	return p
}

// end sends sig and waits until the process is gone. It returns its exit code.
func (p *process) end(sig os.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.over:
	case <-time.After(patience):
		p.t.Fatalf("the server did not end after %v", sig)
	}
	return p.cmd.ProcessState.ExitCode()
}

// acl is what the documentation of the Redis backend asks for, for the namespace
// chat: the least, and what indexes and notices need.
func acl(t *testing.T, password string) string {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("..", "..", "backends", "redisstore", "doc.go"))
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for line := range strings.Lines(string(doc)) {
		line = strings.TrimSpace(line)
		if least, ok := strings.CutPrefix(line, "user app on >password "); ok {
			rules = append(rules, "user app on >"+password, least)
		} else if strings.HasPrefix(line, "+zadd ") || strings.HasPrefix(line, "&chat:* ") {
			rules = append(rules, line)
		}
	}
	if len(rules) != 4 {
		t.Fatalf("the package comment of redisstore has the ACL rules %q, want the least, indexes and notices", rules)
	}
	return strings.Join(rules, " ")
}

// hazelcastURL returns the store URL of c.
func hazelcastURL(c *testserver.HazelcastCluster) string {
	return "hazelcast://" + strings.Join(c.Addrs, ",") + "/" + c.ClusterName
}

// servers are the stores that two processes can share. Each starts one and
// returns its URL.
var servers = []struct {
	name  string
	start func(t *testing.T) string
}{
	{"redis", func(t *testing.T) string {
		return testserver.Redis(t).URL
	}},
	{"redis8", func(t *testing.T) string {
		return testserver.Redis(t, testserver.WithFlavour(testserver.FlavourRedis8)).URL
	}},
	{"valkey", func(t *testing.T) string {
		s := testserver.Redis(t, testserver.WithFlavour(testserver.FlavourValkey))
		return strings.Replace(s.URL, "redis://", "valkey://", 1)
	}},
	{"dragonfly", func(t *testing.T) string {
		s := testserver.Redis(t, testserver.WithFlavour(testserver.FlavourDragonfly))
		return strings.Replace(s.URL, "redis://", "dragonfly://", 1)
	}},
	{"sentinel", func(t *testing.T) string {
		s := testserver.RedisSentinel(t)
		return "redis+sentinel://" + strings.Join(s.SentinelAddrs, ",") + "/" + s.MasterName
	}},
	{"cluster", func(t *testing.T) string {
		return "redis+cluster://" + strings.Join(testserver.RedisCluster(t).Addrs[:3], ",")
	}},
	{"tls and acl", func(t *testing.T) string {
		s := testserver.RedisTLS(t, []string{acl(t, "pw")})
		return fmt.Sprintf("%s?tls_ca=%s&tls_cert=%s&tls_key=%s", s.URLFor("app", "pw"), s.CAFile, s.CertFile, s.KeyFile)
	}},
	{"hazelcast", func(t *testing.T) string {
		if os.Getenv("STORE_TEST_HAZELCAST_ADDRS") != "" {
			return hazelcastURL(testserver.Hazelcast(t, 1))
		}
		return hazelcastURL(testserver.Hazelcast(t, 1, testserver.WithMap("*:sessions", time.Hour, 0)))
	}},
}

// namespaced adds the namespace to a store URL that the documented ACL rule is
// for.
func namespaced(url string) string {
	sep := "?"
	if strings.Contains(url, "?") {
		sep = "&"
	}
	return url + sep + "namespace=chat"
}

// TestServers runs the chat over each kind of server, mostly as two processes that
// share it.
func TestServers(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			url := namespaced(server.start(t))
			t.Run("one process", func(t *testing.T) { oneProcess(t, url) })
			t.Run("share sessions", func(t *testing.T) { shareSessions(t, url) })
			t.Run("take over", func(t *testing.T) { takeOverAcross(t, url) })
			t.Run("graceful stop", func(t *testing.T) { resumeElsewhere(t, url) })
			t.Run("kill", func(t *testing.T) { vanishAfterLease(t, url) })
		})
	}
}

// shareSessions: what one process has created, the other reads, writes and
// destroys.
func shareSessions(t *testing.T, url string) {
	a := startProcess(t, "-node", "a", "-store", url, "-lease", "4s")
	b := startProcess(t, "-node", "b", "-store", url, "-lease", "4s")
	ann := a.connect(t, dialer{user: "ann"})
	want := ann.ask(`{"type":"say","room":"lobby","text":"hello"}`)

	got, ok := b.session(ann.welcome.Session)
	if !ok {
		t.Fatal("the other process does not find the session")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the session as the other process reads it (-want +got):\n%s", diff)
	}
	body := fmt.Sprintf(`{"session":%q,"nickname":"written on b"}`, ann.welcome.Session)
	if code, text := b.call("POST", "/api/session", body); code != http.StatusOK {
		t.Fatalf("POST /api/session on b = %d %s, want 200", code, text)
	}
	if got := ann.ask(`{"type":"state"}`); got.Nickname != "written on b" {
		t.Errorf("nickname on a = %q, want what b wrote", got.Nickname)
	}
	if n := b.sessions().Total; n != 0 {
		t.Errorf("b has %d connections, want none: rooms and tables are per process", n)
	}

	body = fmt.Sprintf(`{"session":%q,"destroy":true}`, ann.welcome.Session)
	if code, text := b.call("POST", "/api/session", body); code != http.StatusOK {
		t.Fatalf("POST /api/session on b = %d %s, want 200", code, text)
	}
	if got := ann.closed(); got.Code != closeEnded { // by the next renewal at the latest
		t.Errorf("a closed the connection with %d %q, want %d", got.Code, got.Reason, closeEnded)
	}
	if _, ok := a.session(ann.welcome.Session); ok {
		t.Error("the session lives on after the other process has destroyed it")
	}
}

// takeOverAcross: a client that comes back on another process gets its session,
// and the connection that it left behind is closed.
func takeOverAcross(t *testing.T, url string) {
	a := startProcess(t, "-node", "a", "-store", url, "-lease", "4s")
	b := startProcess(t, "-node", "b", "-store", url, "-lease", "4s")
	old := a.connect(t, dialer{})
	old.ask(`{"type":"nickname","name":"Annie"}`)
	p := b.connect(t, dialer{session: old.welcome.Session})
	if !p.welcome.Resumed || p.welcome.State.Nickname != "Annie" || p.welcome.State.Handshake.Node != "b" {
		t.Fatalf("welcome on b = %+v, want a's session resumed", p.welcome)
	}
	if got := old.closed(); got.Code != closeTakeover {
		t.Errorf("a closed the first connection with %d %q, want %d", got.Code, got.Reason, closeTakeover)
	}
	await.Until(t, "a is rid of the connection", func() bool { return a.sessions().Total == 0 })
	if got := p.ask(`{"type":"say","room":"lobby","text":"still here"}`); got.Messages != 1 {
		t.Errorf("messages on b = %d, want 1", got.Messages)
	}
}

// resumeElsewhere: a process that stops in good order leaves its sessions for
// the clients to resume on the other.
func resumeElsewhere(t *testing.T, url string) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM to send")
	}
	const clients = 5
	a := startProcess(t, "-node", "a", "-store", url, "-grace", "30s")
	b := startProcess(t, "-node", "b", "-store", url, "-grace", "30s")
	var peers []*peer
	for i := range clients {
		p := a.connect(t, dialer{user: fmt.Sprintf("user %d", i)})
		p.ask(fmt.Sprintf(`{"type":"nickname","name":"nick %d"}`, i))
		p.ask(`{"type":"join","room":"go"}`)
		p.ask(`{"type":"say","room":"go","text":"hello"}`)
		peers = append(peers, p)
	}
	told := make(chan websocket.StatusCode, clients)
	for _, p := range peers {
		// Every client must be reading for the close to be a clean one.
		go func() {
			for {
				if _, _, err := p.conn.Read(t.Context()); err != nil {
					told <- websocket.CloseStatus(err)
					return
				}
			}
		}()
	}
	if code := a.end(syscall.SIGTERM); code != 0 {
		t.Errorf("a ended with code %d, want 0", code)
	}
	for range clients {
		if code := <-told; code != websocket.StatusGoingAway {
			t.Errorf("a closed a connection with %d, want %d", code, websocket.StatusGoingAway)
		}
	}
	for i, p := range peers {
		q := b.connect(t, dialer{user: fmt.Sprintf("user %d", i), session: p.welcome.Session})
		got := q.welcome.State
		if !q.welcome.Resumed || got.Nickname != fmt.Sprintf("nick %d", i) || got.Messages != 1 || got.Connects != 2 ||
			!slices.Equal(got.Rooms, []string{"lobby", "go"}) {
			t.Errorf("welcome of client %d on b = %+v, want its session with all values", i, q.welcome)
		}
	}
}

// vanishAfterLease: the sessions of a process that is killed live as long as
// their lease, and no longer.
func vanishAfterLease(t *testing.T, url string) {
	const lease = 5 * time.Second
	a := startProcess(t, "-node", "a", "-store", url, "-lease", lease.String())
	b := startProcess(t, "-node", "b", "-store", url, "-lease", lease.String())
	id := a.connect(t, dialer{}).welcome.Session

	// As long as a lives so does the session, beyond its first lease.
	var longest time.Duration // between two polls, which tells a machine that stood still from a lost lease
	start, last := time.Now(), time.Now()
	for time.Since(start) < lease+time.Second {
		if _, ok := b.session(id); !ok {
			t.Fatalf("the session is gone %v after it was created, while its owner lives; the longest pause between two looks was %v", time.Since(start), longest)
		}
		longest = max(longest, time.Since(last))
		last = time.Now()
		time.Sleep(50 * time.Millisecond)
	}

	a.end(os.Kill)
	killed := time.Now()
	if _, ok := b.session(id); !ok {
		t.Error("the session went together with its owner, want it to live until its lease ends")
	}
	await.Until(t, "the session ends with its lease", func() bool { _, ok := b.session(id); return !ok })
	// Renewals come twice per lease, so half of it was left at least; half of that
	// is for a machine that is slow to renew.
	if lived := time.Since(killed); lived < lease/4 {
		t.Errorf("the session lived %v after its owner was killed, want about %v", lived, lease)
	}
	if p := b.connect(t, dialer{session: id}); p.welcome.Resumed {
		t.Error("b resumed a session whose lease has ended")
	}
}

// oneProcess: counting, and coming back within the grace period, with the other
// codec.
func oneProcess(t *testing.T, url string) {
	n, _ := startNode(t, "-store", url, "-codec", "json")
	p := n.connect(t, dialer{})
	p.ask(`{"type":"nickname","name":"Annie"}`)
	for i := range 5 {
		if got := p.ask(`{"type":"say","room":"lobby","text":"hello"}`); got.Messages != int64(i+1) {
			t.Errorf("messages = %d, want %d", got.Messages, i+1)
		}
	}
	p.conn.CloseNow()
	await.Until(t, "the session is suspended", func() bool { return len(n.sessions().Suspended) == 1 })
	q := n.connect(t, dialer{session: p.welcome.Session})
	if got := q.welcome.State; !q.welcome.Resumed || got.Nickname != "Annie" || got.Messages != 5 || got.Connects != 2 {
		t.Errorf("welcome = %+v, want the session resumed", q.welcome)
	}
	if code, body := n.call("POST", "/api/session", fmt.Sprintf(`{"session":%q}`, store.NewID())); code != http.StatusNotFound {
		t.Errorf("POST /api/session = %d %s, want 404", code, body)
	}
}
