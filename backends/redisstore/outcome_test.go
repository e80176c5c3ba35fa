package redisstore_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// state is what a server has of a session: its fields and the time it has left.
type state struct {
	fields map[string]string
	left   time.Duration
}

// An outcomeCase is an operation on a session that lives and has a lease of a minute. Its keys are
// "k" with the value "v" and "old" with "o".
type outcomeCase struct {
	name   string
	writes bool // so its outcome may be unknown
	run    func(ctx context.Context, b *redisstore.Backend, id string, s store.Store) (store.Store, error)
	done   func(before, after state) bool // whether the server has executed it; nil: it changes nothing
	ends   bool                           // the life of the handle
	fresh  bool                           // it is about a session that does not live
	many   bool                           // it is about all sessions at once
}

var errWrongResult = errors.New("a wrong result without an error")

// right turns a wrong result of a read into an error.
func right(ok bool, err error) (store.Store, error) {
	if err == nil && !ok {
		err = errWrongResult
	}
	return nil, err
}

const longLease = 3 * time.Hour

var outcomeCases = []outcomeCase{
	{
		name: "Create", writes: true, fresh: true,
		run: func(ctx context.Context, b *redisstore.Backend, id string, _ store.Store) (store.Store, error) {
			return b.Create(ctx, id, []store.Entry{{Key: "k", Value: []byte("v")}}, store.Terms{Lease: lease})
		},
		done: func(_, after state) bool { return after.fields["k"] == "v" },
	},
	{
		name: "Attach",
		run: func(ctx context.Context, b *redisstore.Backend, id string, _ store.Store) (store.Store, error) {
			return b.Attach(ctx, id, store.Terms{})
		},
	},
	{
		name: "Resume", writes: true, ends: true,
		run: func(ctx context.Context, b *redisstore.Backend, id string, _ store.Store) (store.Store, error) {
			return b.Resume(ctx, id, store.Terms{Lease: lease})
		},
		done: func(before, after state) bool {
			return after.fields["k"] == "v" && after.fields["\x00t"] != before.fields["\x00t"]
		},
	},
	{
		name: "Get",
		run: func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) (store.Store, error) {
			v, err := s.Get(ctx, "k")
			return right(string(v) == "v", err)
		},
	},
	{
		name: "GetMany",
		run: func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) (store.Store, error) {
			vs, err := store.GetMany(ctx, s, []string{"absent", "k"})
			return right(len(vs) == 2 && vs[0] == nil && string(vs[1]) == "v", err)
		},
	},
	{
		name: "Has",
		run: func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) (store.Store, error) {
			return right(s.Has(ctx, "k"))
		},
	},
	{
		name: "Keys",
		run: func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) (store.Store, error) {
			keys, err := store.Keys(ctx, s)
			return right(len(keys) == 2 && keys[0] == "k" && keys[1] == "old", err)
		},
	},
	{
		name: "Set", writes: true,
		run: func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) (store.Store, error) {
			return nil, s.Set(ctx, "k2", []byte("v2"))
		},
		done: func(_, after state) bool { return after.fields["k2"] == "v2" },
	},
	{
		name: "Set of what is there", writes: true, // by a native write, where the server takes them
		run: func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) (store.Store, error) {
			return nil, s.Set(ctx, "old", []byte("new"))
		},
		done: func(_, after state) bool { return after.fields["old"] == "new" },
	},
	{
		name: "Delete", writes: true,
		run: func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) (store.Store, error) {
			return nil, s.Delete(ctx, "k")
		},
		done: func(_, after state) bool { _, ok := after.fields["k"]; return !ok },
	},
	{
		name: "Commit", writes: true,
		run: func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) (store.Store, error) {
			_, err := store.Commit(ctx, s, []store.Entry{{Key: "k", Value: []byte("v")}, {Key: "k3"}}, []store.Entry{{Key: "k3", Value: []byte("v3")}})
			return nil, err
		},
		done: func(_, after state) bool { return after.fields["k3"] == "v3" },
	},
	{
		name: "Take", writes: true,
		run: func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) (store.Store, error) {
			_, err := store.Commit(ctx, s, []store.Entry{{Key: "k", Value: []byte("v")}}, []store.Entry{{Key: "k"}})
			return nil, err
		},
		done: func(_, after state) bool { _, ok := after.fields["k"]; return !ok },
	},
	{
		name: "Suspend", writes: true,
		run: func(ctx context.Context, b *redisstore.Backend, _ string, s store.Store) (store.Store, error) {
			return nil, b.Suspend(ctx, s, longLease)
		},
		done: func(_, after state) bool { return after.left > longLease/2 },
	},
	{
		name: "Renew",
		run: func(ctx context.Context, b *redisstore.Backend, _ string, s store.Store) (store.Store, error) {
			return nil, errors.Join(b.Renew(ctx, []store.Store{s}, longLease)...)
		},
		done: func(_, after state) bool { return after.left > longLease/2 },
	},
	{
		name: "Renew with no lease",
		run: func(ctx context.Context, b *redisstore.Backend, _ string, s store.Store) (store.Store, error) {
			return nil, errors.Join(b.Renew(ctx, []store.Store{s}, 0)...)
		},
	},
	{
		name: "Renew many", many: true,
		done: func(_, after state) bool { return after.left > longLease/2 },
	},
	{name: "Renew many with no lease", many: true},
	{
		name: "Destroy", writes: true, ends: true,
		run: func(ctx context.Context, _ *redisstore.Backend, _ string, s store.Store) (store.Store, error) {
			return nil, s.Destroy(ctx)
		},
		done: func(_, after state) bool { return len(after.fields) == 0 },
	},
}

// An outcomeSetting is a deployment and a way to use it.
type outcomeSetting struct {
	name    string
	nodes   []*testserver.Server // that the fault befalls
	options redisstore.Options
	dial    func(t testing.TB, w *wire, db int) redis.UniversalClient
	noDB    bool // it has one database only
	admin   func(t testing.TB, db int) redis.UniversalClient
}

// An outcomeFault is what happens to the servers or the connections.
type outcomeFault struct {
	name  string
	db    int
	sent  bool // commands may arrive at the server
	apart bool // it befalls connections only, so several can be tried at a time
	maybe bool // operations may well succeed
	begin func(do func(args ...any), w *wire)
	end   func(do func(args ...any), w *wire)
}

var killAll = []any{"client", "kill", "user", "app"}

var outcomeFaults = func() []outcomeFault {
	heal := func(_ func(args ...any), w *wire) { w.set(none, "") }
	faults := []outcomeFault{
		{
			name: "password rotated",
			begin: func(do func(args ...any), w *wire) {
				do("acl", "setuser", "app", "resetpass", ">new")
				do(killAll...)
				w.cut()
			},
			end: func(do func(args ...any), _ *wire) { do("acl", "setuser", "app", "resetpass", ">pw") },
		},
		{
			name:  "user off",
			begin: func(do func(args ...any), w *wire) { do("acl", "setuser", "app", "off"); do(killAll...); w.cut() },
			end:   func(do func(args ...any), _ *wire) { do("acl", "setuser", "app", "on") },
		},
		{
			name: "SELECT refused", db: 1,
			begin: func(do func(args ...any), w *wire) { do("acl", "setuser", "app", "-select"); do(killAll...); w.cut() },
			end:   func(do func(args ...any), _ *wire) { do("acl", "setuser", "app", "+select") },
		},
		{
			name:  "maxclients reached",
			begin: func(do func(args ...any), w *wire) { do("config", "set", "maxclients", 1); do(killAll...); w.cut() },
			end:   func(do func(args ...any), _ *wire) { do("config", "set", "maxclients", 1000) },
		},
		{
			name: "connection refused", apart: true,
			begin: func(_ func(args ...any), w *wire) { w.set(refused, ""); w.cut() }, end: heal,
		},
		{
			name: "server silent", sent: true, apart: true,
			begin: func(_ func(args ...any), w *wire) { w.set(mute, "") }, end: heal,
		},
		{
			name: "server deaf", sent: true, apart: true,
			begin: func(_ func(args ...any), w *wire) { w.set(deaf, "") }, end: heal,
		},
	}
	for _, odd := range []string{
		":7\r\n", ":-1\r\n", "+OK\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n", "*1\r\n:1\r\n", "*2\r\n:99\r\n:0\r\n", "*2\r\n:0\r\n:0\r\n",
		"*3\r\n$3\r\nfoo\r\n$-1\r\n$3\r\nbar\r\n", "*2\r\n$3\r\nfoo\r\n$3\r\nbar\r\n", "*1\r\n$3\r\nfoo\r\n", "?!\r\n", ":x\r\n",
		"-ERR server connection close\r\n", // of a proxy
	} {
		faults = append(faults, outcomeFault{
			name: fmt.Sprintf("reply %q", odd), sent: true, apart: true,
			begin: func(_ func(args ...any), w *wire) { w.set(oddReplies, odd) }, end: heal,
		})
	}
	return faults
}()

// Whatever happens to connections, a call reports what the server has done. It returns nil only if
// the server did that, and a refusal or an end only if the server said so, which none does here. It
// reports an unknown outcome only if something may have been sent. No living handle ends.
func TestOutcomes(t *testing.T) {
	for _, flavour := range []testserver.Flavour{testserver.FlavourRedis, testserver.FlavourRedis8, testserver.FlavourValkey, testserver.FlavourValkey9} {
		t.Run(string(flavour), func(t *testing.T) {
			server := testserver.Redis(t, testserver.WithFlavour(flavour), testserver.WithArgs("--loglevel", "warning"))
			for _, s := range singleSettings(server) {
				t.Run(s.name, func(t *testing.T) { outcomes(t, s, outcomeFaults) })
			}
		})
	}
	t.Run("Sentinel", func(t *testing.T) {
		sentinel := testserver.RedisSentinel(t)
		for _, s := range sentinelSettings(sentinel) {
			t.Run(s.name, func(t *testing.T) { outcomes(t, s, outcomeFaults) })
		}
	})
	t.Run("Cluster", func(t *testing.T) {
		cluster := testserver.RedisCluster(t)
		for _, s := range clusterSettings(cluster) {
			t.Run(s.name, func(t *testing.T) { outcomes(t, s, outcomeFaults) })
		}
	})
}

const (
	quickRead = 300 * time.Millisecond
	quickWait = 50 * time.Millisecond
)

func quick(addr string, w *wire, db int) *redis.Options {
	return &redis.Options{
		Addr: addr, DB: db, Username: "app", Password: "pw", Dialer: w.dial, Protocol: 2,
		DialerRetries: 1, ReadTimeout: quickRead, MinRetryBackoff: -1,
	}
}

func closing[C interface {
	redis.UniversalClient
	Close() error
}](t testing.TB, c C) C {
	t.Cleanup(func() { c.Close() })
	return c
}

func singleSettings(server *testserver.Server) []outcomeSetting {
	admin := func(t testing.TB, db int) redis.UniversalClient {
		return closing(t, redis.NewClient(&redis.Options{Addr: server.Addr, DB: db}))
	}
	plain := func(t testing.TB, w *wire, db int) redis.UniversalClient {
		return closing(t, redis.NewClient(quick(server.Addr, w, db)))
	}
	cache := func(t testing.TB, w *wire, db int) redis.UniversalClient {
		o := quick(server.Addr, w, db)
		o.Protocol = 3
		return closing(t, redis.NewClient(o))
	}
	nodes := []*testserver.Server{server}
	return []outcomeSetting{
		{name: "batching", nodes: nodes, dial: plain, admin: admin},
		{name: "no batching", nodes: nodes, dial: plain, admin: admin, options: redisstore.Options{DisableBatching: true}},
		{name: "cache", nodes: nodes, dial: cache, admin: admin, options: cached},
	}
}

func sentinelSettings(s *testserver.Sentinel) []outcomeSetting {
	dial := func(t testing.TB, w *wire, db int) redis.UniversalClient {
		return closing(t, redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: s.MasterName, SentinelAddrs: s.SentinelAddrs, DB: db, Username: "app", Password: "pw", Dialer: w.dial,
			Protocol: 2, DialerRetries: 1, ReadTimeout: quickRead, MinRetryBackoff: -1,
		}))
	}
	primary := s.Nodes[s.Primary()]
	admin := func(t testing.TB, db int) redis.UniversalClient {
		return closing(t, redis.NewClient(&redis.Options{Addr: primary.Addr, DB: db}))
	}
	nodes := []*testserver.Server{primary}
	return []outcomeSetting{
		{name: "batching", nodes: nodes, dial: dial, admin: admin},
		{name: "WAIT", nodes: nodes, dial: dial, admin: admin, options: redisstore.Options{WaitReplicas: 1, WaitTimeout: quickWait}},
	}
}

func clusterSettings(c *testserver.Cluster) []outcomeSetting {
	dial := func(t testing.TB, w *wire, _ int) redis.UniversalClient {
		return closing(t, redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: c.Addrs, Username: "app", Password: "pw", Dialer: w.dial,
			Protocol: 2, DialerRetries: 1, ReadTimeout: quickRead, MinRetryBackoff: -1,
		}))
	}
	admin := func(t testing.TB, _ int) redis.UniversalClient {
		return closing(t, redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs}))
	}
	return []outcomeSetting{
		{name: "batching", nodes: c.Nodes, dial: dial, admin: admin, noDB: true},
		{name: "no batching", nodes: c.Nodes, dial: dial, admin: admin, noDB: true, options: redisstore.Options{DisableBatching: true}},
		{name: "WAIT", nodes: c.Nodes, dial: dial, admin: admin, noDB: true, options: redisstore.Options{WaitReplicas: 1, WaitTimeout: quickWait}},
	}
}

// outcomes lets every fault befall every operation in one setting. Many operations run at once on
// one backend, and each alone on a backend of its own.
func outcomes(t *testing.T, setting outcomeSetting, faults []outcomeFault) {
	var conns []*redis.Conn
	for _, node := range setting.nodes {
		conn := closing(t, redis.NewClient(&redis.Options{Addr: node.Addr})).Conn()
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	do := func(args ...any) {
		t.Helper()
		for _, conn := range conns {
			if err := conn.Do(context.Background(), args...).Err(); err != nil {
				t.Fatalf("%v = %v", args, err)
			}
		}
	}
	do("acl", "setuser", "app", "reset", "on", ">pw", "allkeys", "allchannels", "+@all")
	for _, f := range faults {
		if f.db > 0 && setting.noDB {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			if f.apart {
				t.Parallel()
			}
			r := newOutcomeRun(t, setting, f)
			f.begin(do, r.wire)
			r.run(t)
			f.end(do, r.wire)
			r.check(t)
		})
	}
}

// perCase is how many sessions each operation is tried on at once.
const perCase = 5

// An attempt is one operation on one session.
type attempt struct {
	outcomeCase
	id     string
	b      *redisstore.Backend
	s      store.Store // nil for one that is to be created
	before state
	got    store.Store
	err    error
}

type outcomeRun struct {
	setting  outcomeSetting
	fault    outcomeFault
	wire     *wire
	ns       string
	admin    redis.UniversalClient
	attempts []*attempt
	groups   [][]*attempt // those of one call
}

func newOutcomeRun(t *testing.T, setting outcomeSetting, f outcomeFault) *outcomeRun {
	r := &outcomeRun{setting: setting, fault: f, wire: new(wire), ns: namespace(t), admin: setting.admin(t, f.db)}
	helper := open(t, r.admin, redisstore.Options{Namespace: r.ns})
	redisstore.AskNative(t.Context(), helper)
	o := setting.options
	o.Namespace = r.ns
	shared := open(t, setting.dial(t, r.wire, f.db), o)
	for _, c := range outcomeCases {
		if c.many {
			var group []*attempt
			for range 3 * perCase {
				group = append(group, r.prepare(t, c, helper, shared))
			}
			r.groups = append(r.groups, group)
			continue
		}
		for range perCase {
			r.groups = append(r.groups, []*attempt{r.prepare(t, c, helper, shared)})
		}
		// A lone caller, which pipelines do not carry.
		r.groups = append(r.groups, []*attempt{r.prepare(t, c, helper, open(t, setting.dial(t, r.wire, f.db), o))})
	}
	return r
}

func (r *outcomeRun) prepare(t *testing.T, c outcomeCase, helper, b *redisstore.Backend) *attempt {
	a := &attempt{outcomeCase: c, id: store.NewID(), b: b}
	redisstore.AskNative(t.Context(), b)
	if !c.fresh {
		_, err := helper.Create(t.Context(), a.id, []store.Entry{{Key: "k", Value: []byte("v")}, {Key: "old", Value: []byte("o")}}, store.Terms{Lease: lease})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "Attach", func() error { a.s, err = b.Attach(t.Context(), a.id, store.Terms{}); return err },
			func(err error) bool { return err == nil })
	} else {
		eventually(t, "Attach", func() error { return second(b.Attach(t.Context(), a.id, store.Terms{})) },
			func(err error) bool { return errors.Is(err, store.ErrNoSession) })
	}
	a.before = r.look(t, a.id)
	r.attempts = append(r.attempts, a)
	return a
}

// look reads from the server itself.
func (r *outcomeRun) look(t *testing.T, id string) state {
	t.Helper()
	name := r.ns + ":" + id
	fields, err := r.admin.HGetAll(t.Context(), name).Result()
	if err != nil {
		t.Fatal(err)
	}
	left, err := r.admin.PTTL(t.Context(), name).Result()
	if err != nil {
		t.Fatal(err)
	}
	return state{fields, left}
}

func (r *outcomeRun) run(t *testing.T) {
	var wg sync.WaitGroup
	for _, group := range r.groups {
		wg.Go(func() {
			first := group[0]
			if !first.many {
				first.got, first.err = first.run(t.Context(), first.b, first.id, first.s)
				return
			}
			sessions := make([]store.Store, len(group))
			for i, a := range group {
				sessions[i] = a.s
			}
			d := longLease
			if first.done == nil {
				d = 0
			}
			for i, err := range first.b.Renew(t.Context(), sessions, d) {
				group[i].err = err
			}
		})
	}
	wg.Wait()
}

func (r *outcomeRun) check(t *testing.T) {
	for _, a := range r.attempts {
		after := r.look(t, a.id)
		executed := a.done != nil && a.done(a.before, after)
		unknown := errors.Is(a.err, store.ErrUnknownOutcome)
		for _, said := range []error{store.ErrExists, store.ErrNoSession, store.ErrDestroyed, store.ErrConflict, store.ErrNotFound, store.ErrTooManyKeys, errWrongResult} {
			if errors.Is(a.err, said) {
				t.Errorf("%s = %v, which no server said", a.name, a.err)
			}
		}
		switch {
		case a.err == nil && a.done != nil && !executed:
			t.Errorf("%s = nil, and the server has not executed it: %q", a.name, after.fields)
		case unknown && (!r.fault.sent || !a.writes):
			t.Errorf("%s = %v, and nothing of it was sent", a.name, a.err)
		case a.err != nil && !unknown && a.writes && executed:
			t.Errorf("%s = %v, and the server has executed it", a.name, a.err)
		case a.err != nil:
			wantSilent(t, a.err, a.id, "pw", cmp.Or(after.fields["\x00t"], "\x00"))
		}
		r.useAfterwards(t, a, executed)
	}
	if t.Failed() || r.fault.maybe {
		return
	}
	// A fault that nothing has come to feel would prove nothing.
	felt := 0
	for _, a := range r.attempts {
		if a.err != nil {
			felt++
		}
	}
	if felt < len(r.attempts)/2 {
		t.Errorf("%d of %d operations failed, want the fault to be felt", felt, len(r.attempts))
	}
}

// useAfterwards requires every handle of a life that goes on to be usable once the
// fault is over.
func (r *outcomeRun) useAfterwards(t *testing.T, a *attempt, executed bool) {
	t.Helper()
	for what, s := range map[string]store.Store{"the handle": a.s, "the handle that was returned": a.got} {
		if s == nil || what == "the handle" && a.ends && executed {
			continue
		}
		var value []byte
		eventually(t, a.name+", then Get() on "+what, func() (err error) { value, err = s.Get(t.Context(), "k"); return err },
			func(err error) bool {
				return err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDestroyed)
			})
		_, err := s.Get(t.Context(), "k")
		gone := (a.name == "Delete" || a.name == "Take") && executed
		if gone != errors.Is(err, store.ErrNotFound) || !gone && string(value) != "v" || errors.Is(err, store.ErrDestroyed) {
			t.Errorf("%s, then Get() on %s = %q, %v, want %q", a.name, what, value, err, strings.Repeat("v", map[bool]int{false: 1}[gone]))
		}
	}
}
