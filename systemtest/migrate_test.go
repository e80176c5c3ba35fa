//go:build unix

package systemtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/internal/testserver"
)

func init() { processes[migrantFrom] = migrant }

// Environment of a process of one of the fleets.
const (
	migrantFrom  = "STORE_INTEGRATIONS_MIGRANT_FROM"
	migrantTo    = "STORE_INTEGRATIONS_MIGRANT_TO"
	migrantFleet = "STORE_INTEGRATIONS_MIGRANT_FLEET"
)

// The fleets.
const (
	oldFleet    = "old" // on the old server alone
	stayFleet   = "stay"
	movingFleet = "moving"
)

const migrantGrace = time.Minute

// migrant is the main function of such a process. It serves clients over HTTP until its standard input ends.
func migrant(from string) int {
	ctx := context.Background()
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "migrant:", err)
		return 1
	}
	b, err := backends.Open(ctx, from)
	if err != nil {
		return fail(err)
	}
	stats := func() backends.MigrationStats { return backends.MigrationStats{} }
	if fleet := os.Getenv(migrantFleet); fleet != oldFleet {
		next, err := backends.Open(ctx, os.Getenv(migrantTo))
		if err != nil {
			return fail(err)
		}
		m, err := backends.Migrate(b, next, &backends.MigrateOptions{Stay: fleet == stayFleet})
		if err != nil {
			return fail(err)
		}
		b, stats = m, m.Stats
	}
	ss, err := store.New(b, &store.Options{Grace: migrantGrace})
	if err != nil {
		return fail(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fail(err)
	}
	server := &http.Server{Handler: &migrantServer{sessions: ss, stats: stats}}
	go server.Serve(listener)
	fmt.Println(listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := ss.Close(ctx); err != nil {
		return fail(err)
	}
	server.Shutdown(ctx)
	b.Close()
	return 0
}

// A migrantServer does to sessions what clients ask it to.
type migrantServer struct {
	sessions *store.Sessions
	stats    func() backends.MigrationStats
	handles  sync.Map // by ID
}

func (m *migrantServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := m.do(r.Context(), r.FormValue("do"), r.FormValue("id"), store.Key[int](r.FormValue("key")))
	_ = json.NewEncoder(w).Encode(reply{N: n, Kind: kind(err)})
}

var errNoHandle = errors.New("no handle")

func (m *migrantServer) do(ctx context.Context, do, id string, key store.Key[int]) (n int, err error) {
	more := func(n int, _ bool) (int, error) { return n + 1, nil }
	var s *store.Session
	switch do {
	case "create":
		if s, err = m.sessions.Create(ctx, id); err == nil {
			m.handles.Store(id, s)
		}
		return 0, err
	case "resume":
		if s, err = m.sessions.Resume(ctx, id); err == nil {
			m.handles.Store(id, s)
		}
		return 0, err
	case "attach":
		if s, err = m.sessions.Attach(ctx, id); err == nil {
			n, err = key.Update(ctx, s, more)
		}
		return n, err
	case "end":
		if s, err = m.sessions.Attach(ctx, id); err == nil {
			err = s.Destroy(ctx)
		}
		return 0, err
	case "moved":
		return int(m.stats().Moved), nil
	}
	h, ok := m.handles.Load(id)
	if !ok {
		return 0, errNoHandle
	}
	switch s = h.(*store.Session); do {
	case "add":
		return key.Update(ctx, s, more)
	case "get":
		return key.GetOr(ctx, s, 0)
	case "suspend":
		return 0, s.Suspend(ctx, migrantGrace)
	case "destroy":
		return 0, s.Destroy(ctx)
	}
	return 0, errors.New("unknown task " + do)
}

// A fleetProcess is one such process, as its clients see it.
type fleetProcess struct {
	addr   string
	fleet  string
	cmd    *exec.Cmd
	stdin  io.Closer
	exited chan struct{}
}

func startMigrant(t *testing.T, from, to, fleet string) *fleetProcess {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), migrantFrom+"="+from, migrantTo+"="+to, migrantFleet+"="+fleet)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &fleetProcess{fleet: fleet, cmd: cmd, stdin: stdin, exited: make(chan struct{})}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	go func() { cmd.Wait(); close(p.exited) }()
	if err != nil {
		t.Fatalf("the process does not start: %v", err)
	}
	p.addr = strings.TrimSpace(line)
	return p
}

func (p *fleetProcess) kill() { p.cmd.Process.Kill(); <-p.exited }

// leave lets the process suspend its sessions and exit.
func (p *fleetProcess) leave(t *testing.T) {
	p.stdin.Close()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Error("a process does not exit")
	}
}

// lostCall is the kind of a call that was not answered.
const lostCall = "lost"

func (p *fleetProcess) call(do, id, key string) reply {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	form := url.Values{"do": {do}, "id": {id}, "key": {key}}
	r, err := http.NewRequestWithContext(ctx, "POST", "http://"+p.addr, strings.NewReader(form.Encode()))
	if err != nil {
		return reply{Kind: lostCall}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := fleetClient.Do(r)
	if err != nil {
		return reply{Kind: lostCall}
	}
	defer answer.Body.Close()
	var n reply
	if json.NewDecoder(answer.Body).Decode(&n) != nil {
		return reply{Kind: lostCall}
	}
	return n
}

var fleetClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// fleets are the processes that serve at the moment.
type fleets struct {
	t        *testing.T
	from, to string
	mu       sync.Mutex
	all      []*fleetProcess
	moved    atomic.Int64 // by processes that have left
}

func (f *fleets) start(fleet string) {
	p := startMigrant(f.t, f.from, f.to, fleet)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, p)
}

// take takes a process of a fleet out of service.
func (f *fleets) take(fleet string) *fleetProcess {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, p := range f.all {
		if p.fleet == fleet {
			f.all = append(f.all[:i:i], f.all[i+1:]...)
			return p
		}
	}
	return nil
}

// any returns a process, of the given fleet unless that is "".
func (f *fleets) any(fleet string) *fleetProcess {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		if p := f.all[rand.IntN(len(f.all))]; fleet == "" || p.fleet == fleet {
			return p
		}
	}
}

// count adds up what the new fleet has moved.
func (f *fleets) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := int(f.moved.Load())
	for _, p := range f.all {
		n += p.call("moved", "", "").N
	}
	return n
}

// A fleetUser is a client with one session. What it adds is counted, by what the answers said.
type fleetUser struct {
	f      *fleets
	id     string
	at     *fleetProcess
	counts map[string]*[2]int // by key: acknowledged, and perhaps
	ended  int                // sessions that it has destroyed
	calls  int
	total  atomic.Int64 // writes to all of them that were acknowledged
	last   string       // what it has done
}

// add has one counter raised, and returns the kind of the error.
func (u *fleetUser) add(p *fleetProcess, do, key string) string {
	r := p.call(do, u.id, key)
	c := u.counts[key]
	switch r.Kind {
	case "":
		c[0]++
		u.total.Add(1)
		if r.N < c[0] || r.N > c[0]+c[1] {
			u.f.t.Errorf("%s %q = %d after %d that were acknowledged and %d that are unknown", do, key, r.N, c[0], c[1])
		}
	case "destroyed", "suspended", "closed", "no session", "other: no handle":
	default:
		c[1]++
	}
	return r.Kind
}

// reconnect resumes the session somewhere, or at a process of the fleet.
func (u *fleetUser) reconnect(fleet string) bool {
	before := u.at
	for try := range 200 {
		if try > 5 {
			fleet = movingFleet
		}
		p := u.f.any(fleet)
		r := p.call("resume", u.id, "")
		switch {
		case r.Kind == "":
			u.at = p
			if before != nil && before != p {
				// What it had before does not live beside it.
				if late := before.call("add", u.id, "late"); late.Kind == "" {
					u.f.t.Error("a session that was resumed elsewhere takes writes where it was before")
				}
			}
			return true
		case r.Kind == "no session" && p.fleet != oldFleet:
			u.f.t.Errorf("the session is lost: the new fleet does not find it; round %d, try %d, after %s", u.calls, try, u.last)
			return false
		case r.Kind == lostCall, r.Kind == "closed":
			time.Sleep(5 * time.Millisecond)
		}
	}
	u.f.t.Error("the session cannot be resumed anywhere")
	return false
}

// begin begins a session.
func (u *fleetUser) begin() bool {
	for range 100 {
		u.id, u.at = store.NewID(), u.f.any("")
		u.counts = map[string]*[2]int{"n": {}, "friend": {}}
		if r := u.at.call("create", u.id, ""); r.Kind == "" {
			return true
		}
	}
	u.f.t.Error("no session can be begun")
	return false
}

// end destroys the session and checks that nobody finds it.
func (u *fleetUser) end() {
	do := []string{"destroy", "end"}[rand.IntN(2)]
	switch r := u.at.call(do, u.id, ""); r.Kind {
	case "":
	case "destroyed", "suspended", "closed", "no session", "other: no handle":
		return // it lives on
	default:
		u.id = "" // it cannot be told
		return
	}
	u.ended++
	for _, do := range []string{"attach", "resume"} {
		for range 2 {
			if r := u.f.any("").call(do, u.id, "n"); r.Kind == "" {
				u.f.t.Errorf("%s of a session that was destroyed = nil", do)
			}
		}
	}
	u.id = ""
}

// live uses sessions until stop is closed.
func (u *fleetUser) live(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		u.calls++
		if u.id == "" && !u.begin() {
			return
		}
		var friend sync.WaitGroup
		what := rand.IntN(100)
		if what < 90 && what%3 == 0 { // another node writes through a handle of its own
			p := u.f.any("")
			friend.Go(func() { u.add(p, "attach", "friend") })
		}
		gone := false
		u.last = fmt.Sprint("action ", what)
		switch {
		case what < 70:
			kind := u.add(u.at, "add", "n")
			gone, u.last = kind != "", "add: "+kind
		case what < 85: // the connection breaks, unnoticed by the owner
			gone = true
		case what < 98: // it is closed
			u.at.call("suspend", u.id, "")
			gone = true
		default:
			u.end()
		}
		if gone && u.id != "" && !u.reconnect("") {
			friend.Wait()
			return
		}
		friend.Wait()
	}
}

// TestMoveHouse: an old fleet on one server and a new one that moves sessions to another serve the same clients. The
// old one is replaced process by process, also by some that stay, and then processes of both kinds are killed. No write that was acknowledged is
// lost or counted twice, no session lives twice, and what was destroyed stays destroyed.
func TestMoveHouse(t *testing.T) {
	redis := testserver.SharedRedis(t)
	valkey := testserver.SharedRedis(t, testserver.FlavourValkey)
	hazelcast := testserver.SharedHazelcast(t)
	for name, urls := range map[string][2]string{
		"redis to valkey":     {redisURL(redis), redisURL(valkey)},
		"hazelcast to valkey": {hazelcastURL(hazelcast), redisURL(valkey)},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fleets{t: t, from: urls[0], to: urls[1]}
			for range 3 {
				f.start(oldFleet)
			}
			users := make([]*fleetUser, 24)
			stop := make(chan struct{})
			var living sync.WaitGroup
			for i := range users {
				users[i] = &fleetUser{f: f}
				if !users[i].begin() {
					t.FailNow()
				}
			}
			f.start(movingFleet)
			for _, u := range users {
				living.Go(func() { u.live(stop) })
			}
			const pace = 500 * time.Millisecond
			for _, next := range []string{stayFleet, movingFleet, stayFleet} {
				time.Sleep(pace)
				f.start(next)
				f.take(oldFleet).leave(t)
			}
			for _, dies := range []string{movingFleet, stayFleet, movingFleet, movingFleet, stayFleet} {
				time.Sleep(pace)
				f.start(dies)
				p := f.take(dies)
				f.moved.Add(int64(p.call("moved", "", "").N))
				p.kill()
			}
			time.Sleep(pace)
			close(stop)
			living.Wait()

			from, to := open(t, f.from), open(t, f.to)
			acknowledged, perhaps, ended, calls := int64(0), 0, 0, 0
			for _, u := range users {
				ended, calls, acknowledged = ended+u.ended, calls+u.calls, acknowledged+u.total.Load()
				if u.id == "" || !u.reconnect(movingFleet) {
					continue
				}
				for key, c := range u.counts {
					r := u.at.call("get", u.id, key)
					if r.Kind != "" || r.N < c[0] || r.N > c[0]+c[1] {
						t.Errorf("%q = %d, %s, and %d writes were acknowledged, %d are unknown", key, r.N, r.Kind, c[0], c[1])
					}
					perhaps += c[1]
				}
				if _, err := from.Attach(t.Context(), u.id, store.Terms{}); !errors.Is(err, store.ErrNoSession) {
					t.Errorf("Attach() at the old server = %v, want ErrNoSession", err)
				}
				s, err := to.Attach(t.Context(), u.id, store.Terms{})
				if err != nil {
					t.Errorf("Attach() at the new server = %v", err)
					continue
				}
				keys, err := store.Keys(t.Context(), s)
				for _, key := range keys {
					if _, ours := u.counts[key]; !ours {
						t.Errorf("the session has a key %q", key)
					}
				}
				if err != nil {
					t.Errorf("Keys() = %v", err)
				}
			}
			moved := f.count()
			if moved < len(users)/2 || acknowledged == 0 || ended == 0 {
				t.Errorf("%d sessions moved, %d writes were acknowledged, %d sessions destroyed; that tests nothing", moved, acknowledged, ended)
			}
			t.Logf("%d rounds, %d writes acknowledged, %d of the last sessions unknown; %d sessions destroyed, %d moved", calls, acknowledged, perhaps, ended, moved)
		})
	}
}
