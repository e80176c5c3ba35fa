package testserver

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// Flavour names a server that speaks the protocol of Redis. Besides the constants, any folder FLAVOUR of the cache
// folder with a bin/redis-server or bin/valkey-server in it is a flavour.
type Flavour string

const (
	FlavourRedis     Flavour = "redis"     // redis-server on PATH, else the cached Redis 8
	FlavourRedis8    Flavour = "redis8"    // Redis 8 from the cache folder
	FlavourValkey    Flavour = "valkey"    // Valkey from the cache folder, else on PATH
	FlavourValkey9   Flavour = "valkey9"   // Valkey 9 from the cache folder
	FlavourDragonfly Flavour = "dragonfly" // only the server that STORE_TEST_DRAGONFLY_URL names
)

// Flavours are the flavours that a suite meant for every server should run against.
var Flavours = []Flavour{FlavourRedis, FlavourRedis8, FlavourValkey, FlavourValkey9, FlavourDragonfly}

// variable is the environment variable that points at a running server of this flavour, or "".
func (f Flavour) variable() string {
	switch f {
	case FlavourRedis:
		return "STORE_TEST_REDIS_URL"
	case FlavourValkey:
		return "STORE_TEST_VALKEY_URL"
	case FlavourDragonfly:
		return "STORE_TEST_DRAGONFLY_URL"
	}
	return ""
}

// binary returns the path of the server program.
func (f Flavour) binary() (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	cached := func(folder Flavour) string {
		for _, program := range []string{"redis-server", "valkey-server"} {
			path := filepath.Join(cache, string(folder), "bin", program)
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
		return ""
	}
	onPath := func(program string) string {
		path, _ := exec.LookPath(program)
		return path
	}
	var candidates []string
	switch f {
	case FlavourRedis:
		if program := os.Getenv("STORE_TEST_REDIS_SERVER"); program != "" {
			path, err := exec.LookPath(program)
			if err != nil {
				return "", fmt.Errorf("STORE_TEST_REDIS_SERVER: %w", err)
			}
			return path, nil
		}
		candidates = []string{onPath("redis-server"), cached(FlavourRedis8)}
	case FlavourValkey:
		candidates = []string{cached(f), onPath("valkey-server")}
	case FlavourDragonfly:
	default:
		candidates = []string{cached(f)}
	}
	for _, path := range candidates {
		if path != "" {
			return path, nil
		}
	}
	return "", &missingError{string(f) + " server", "run scripts/install-servers.sh, or install it by hand"}
}

// Option changes what is started.
type Option func(*settings)

type settings struct {
	flavour Flavour
	args    []string
	acl     []string
	tls     *certificates // set by RedisTLS
}

// WithFlavour chooses the server program; without it, it is [FlavourRedis].
func WithFlavour(f Flavour) Option { return func(s *settings) { s.flavour = f } }

// WithArgs adds arguments to the command line of every server, such as "--maxmemory", "10mb".
func WithArgs(args ...string) Option { return func(s *settings) { s.args = append(s.args, args...) } }

// WithACL adds lines of an ACL file, such as "user app on >secret ~app:* +get". The default user stays as it is
// unless a line changes it. Only [Redis] and [RedisTLS] heed it.
func WithACL(lines ...string) Option { return func(s *settings) { s.acl = append(s.acl, lines...) } }

func settingsOf(opts []Option) settings {
	s := settings{flavour: FlavourRedis}
	for _, opt := range opts {
		opt(&s)
	}
	return s
}

// Server is one server that speaks the protocol of Redis. Its methods may be called from several goroutines; those
// that return no error fail the test instead, and so belong in the test's own goroutine.
type Server struct {
	Addr     string  // host:port
	URL      string  // redis://… or rediss://…, with user and password where there are any
	Flavour  Flavour // what it is
	External bool    // started by somebody else: it holds foreign data, and cannot be killed or paused

	t        testing.TB
	shared   bool
	endpoint endpoint
	process  *process // nil for an external server
}

// Redis returns a standalone server without data. Without further options it may be a running server that the
// environment names, which then holds whatever it held before.
func Redis(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := settingsOf(opts)
	if len(s.args) == 0 && len(s.acl) == 0 {
		if server := external(t, s.flavour); server != nil {
			return server
		}
	}
	if s.flavour == FlavourDragonfly {
		skipDragonfly(t)
	}
	dir := t.TempDir()
	server, release, err := startStandalone(dir, s)
	if err != nil {
		giveUp(t, err)
	}
	server.own(t, release)
	return server
}

// own binds a started server to t: it is stopped when t ends.
func (s *Server) own(t testing.TB, release func()) {
	s.t = t
	t.Cleanup(func() {
		s.process.kill()
		release()
		logOnFailure(t, s.process)
	})
}

// skipDragonfly skips also under CI: Dragonfly is in no package registry.
func skipDragonfly(t testing.TB) {
	t.Helper()
	t.Skip("DRAGONFLY NOT TESTED: set STORE_TEST_DRAGONFLY_URL to a running Dragonfly, such as redis://127.0.0.1:6379")
}

// external returns the server that the environment names for f, or nil.
func external(t testing.TB, f Flavour) *Server {
	t.Helper()
	raw := os.Getenv(f.variable())
	if raw == "" {
		return nil
	}
	e, err := parseEndpoint(raw)
	if err != nil {
		t.Fatalf("%s: %v", f.variable(), err)
	}
	if _, err := e.do("PING"); err != nil {
		t.Fatalf("%s: the server at %s does not answer: %v", f.variable(), e.addr, err)
	}
	return &Server{Addr: e.addr, URL: raw, Flavour: f, External: true, t: t, endpoint: e}
}

func startStandalone(dir string, s settings) (*Server, func(), error) {
	var server *Server
	release, err := withPorts(1, func(ports []int) error {
		node, err := newNode(dir, ports[0], s)
		if err != nil {
			return err
		}
		server = node
		return node.start()
	})
	return server, release, err
}

// newNode describes a server on port that keeps its files in a folder of its own below dir. It is not started yet.
func newNode(dir string, port int, s settings) (*Server, error) {
	path, err := s.flavour.binary()
	if err != nil {
		return nil, err
	}
	dir, err = os.MkdirTemp(dir, "node-")
	if err != nil {
		return nil, err
	}
	e := endpoint{addr: loopback(port)}
	listen := []string{"--port", strconv.Itoa(port)}
	scheme := "redis"
	if s.tls != nil {
		listen = append([]string{"--port", "0", "--tls-port", strconv.Itoa(port)}, s.tls.serverArgs()...)
		scheme, e.tls = "rediss", s.tls.clientConfig()
		e.user, e.password = adminUser, s.tls.adminPassword
	}
	args := append(listen, "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no",
		"--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0")
	if len(s.acl) > 0 {
		file := filepath.Join(dir, "users.acl")
		if err := os.WriteFile(file, []byte(strings.Join(s.acl, "\n")+"\n"), 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--aclfile", file)
	}
	u := url.URL{Scheme: scheme, Host: e.addr}
	if e.password != "" {
		u.User = url.UserPassword(e.user, e.password)
	}
	return &Server{
		Addr: e.addr, URL: u.String(), Flavour: s.flavour, endpoint: e,
		process: &process{
			name: fmt.Sprintf("%s on port %d", s.flavour, port), path: path, args: append(args, s.args...),
			dir: dir, logPath: filepath.Join(dir, "log"),
		},
	}, nil
}

// start starts the server's process and waits until it, and not another process on its port, answers.
func (s *Server) start() error {
	if err := s.process.start(); err != nil {
		return err
	}
	err := s.process.await(func() error {
		info, err := s.info("server")
		if err != nil {
			return answersOtherwise(err)
		}
		if info["process_id"] != strconv.Itoa(s.process.pid()) {
			return errors.New("another server answers on its port")
		}
		return nil
	})
	if err != nil {
		s.process.kill()
	}
	return err
}

// answersOtherwise returns nil for the error of a server that is up but, by its ACL, does not talk to just anybody.
func answersOtherwise(err error) error {
	for _, prefix := range []string{"NOAUTH", "NOPERM", "WRONGPASS"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return nil
		}
	}
	return err
}

// info returns a section of the answer to INFO.
func (s *Server) info(section string) (map[string]string, error) {
	answer, err := s.Do("INFO", section)
	if err != nil {
		return nil, err
	}
	text, _ := answer.(string)
	return fields(text), nil
}

// fields reads lines of the form name:value.
func fields(text string) map[string]string {
	all := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			all[name] = value
		}
	}
	return all
}

// Do sends one command on a connection of its own, as the user of [Server.URL]. The answer is a string, an int64,
// nil or a slice of those; an error reply is returned as an error with the server's text.
func (s *Server) Do(args ...string) (any, error) { return s.endpoint.do(args...) }

// PID returns the process ID of the server, 0 while it is down or if it is external.
func (s *Server) PID() int {
	if s.process == nil {
		return 0
	}
	return s.process.pid()
}

// Kill ends the server at once (SIGKILL), with all its data, and returns when it is gone.
func (s *Server) Kill() {
	s.t.Helper()
	s.disturb("kill")
	s.process.kill()
}

// Stop ends the server in good order (SIGTERM) and returns when it is gone.
func (s *Server) Stop() {
	s.t.Helper()
	s.disturb("stop")
	s.process.stop()
}

// Restart kills the server if it runs, starts it on the same port without its data, and returns when it answers.
func (s *Server) Restart() {
	s.t.Helper()
	s.disturb("restart")
	s.process.kill()
	err := s.start()
	for range attempts {
		if !errors.Is(err, errPortTaken) {
			break
		}
		err = s.start() // an outgoing connection of the old server may hold the port for a moment
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Pause freezes the server (SIGSTOP), and returns when all of its threads have stopped: the system accepts
// connections, but nothing answers. Where the system cannot do that, the test skips.
func (s *Server) Pause() {
	s.t.Helper()
	s.disturb("pause")
	must(s.t, s.process.pause())
}

// Resume lets a paused server go on.
func (s *Server) Resume() {
	s.t.Helper()
	s.disturb("resume")
	must(s.t, s.process.resume())
}

// disturb ends the test if the server is not the test's own.
func (s *Server) disturb(doing string) {
	s.t.Helper()
	if s.External {
		skipExternal(s.t, doing, s.Flavour.variable())
	}
	if s.shared {
		s.t.Fatalf("cannot %s the server that all tests share: use testserver.Redis", doing)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this system cannot pause processes")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// generation numbers what would otherwise have equal names within one test process.
var generation atomic.Int64
