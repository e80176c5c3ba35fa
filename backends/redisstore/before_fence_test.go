package redisstore_test

import (
	"embed"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

//go:embed testdata/before_fence/*.lua
var scriptsBefore embed.FS

// An olderProcess does what a process of the version before the fence does, with the very
// scripts of that version.
type olderProcess struct {
	t      *testing.T
	client redis.UniversalClient
}

func (o *olderProcess) run(script, name string, args ...any) any {
	o.t.Helper()
	source, err := scriptsBefore.ReadFile("testdata/before_fence/" + script + ".lua")
	if err != nil {
		o.t.Fatal(err)
	}
	answer, err := o.client.Eval(o.t.Context(), string(source), []string{name}, args...).Result()
	if err != nil {
		o.t.Fatalf("the older process's %s = %v", script, err)
	}
	return answer
}

// A life is what a process of either version needs to write to a session.
type life struct {
	token string
	s     store.Store // nil for an older process
}

// tokenIn returns the token of the life that goes on, "" for none.
func tokenIn(t *testing.T, client redis.UniversalClient, name string) string {
	t.Helper()
	values, err := client.HMGet(t.Context(), name, "\x00t").Result()
	if err != nil {
		t.Fatal(err)
	}
	token, _ := values[0].(string)
	return token
}

// Processes of this version and of the one before share a session on one server and do all that
// they can do, in random order. After each step the life that goes on can write, in either version,
// and no earlier one can. It cannot through its handle, nor by a native write with its token that
// is on its way. So an older process that takes a session over fences off a newer one.
func TestBothVersionsShareASession(t *testing.T) {
	flavours := append([]testserver.Flavour{testserver.FlavourRedis, testserver.FlavourValkey}, natives...)
	for _, flavour := range flavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			for range 3 {
				walk(t, testserver.SharedRedis(t, flavour), flavour, rand.Uint64())
			}
		})
	}
}

func walk(t *testing.T, server *testserver.Server, flavour testserver.Flavour, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	client := dial(t, server.URL)
	b := open(t, client, redisstore.Options{})
	takes := redisstore.WritesNatively(t.Context(), b)
	if takes != slices.Contains(natives, flavour) {
		t.Fatalf("the server takes native writes: %v", takes)
	}
	// A newer process to which the server has not said yet that it takes native writes.
	unaware := open(t, client, redisstore.Options{Namespace: b.Namespace(), WaitReplicas: 0})
	redisstore.WriteByScript(unaware)
	older := &olderProcess{t, client}
	var (
		id    = store.NewID()
		name  = b.Namespace() + ":" + id
		lives []life // all there ever were
		trail []string
		must  = func(err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("seed %d, after %q: %v", seed, trail, err)
			}
		}
		present = func() *life {
			if token := tokenIn(t, client, name); token != "" {
				for i := range lives {
					if lives[i].token == token {
						return &lives[i]
					}
				}
				t.Fatalf("seed %d, after %q: a life that nobody began", seed, trail)
			}
			return nil
		}
		begun = func(s store.Store) { lives = append(lives, life{tokenIn(t, client, name), s}) }
		newer = func() *redisstore.Backend {
			if random.IntN(4) == 0 {
				trail = append(trail, "(unaware)")
				return unaware
			}
			return b
		}
		token = func() string { return fmt.Sprintf("%022d", random.Uint64()) }
		mark  = func() string { return token() }
	)
	initial := []store.Entry{{Key: "k", Value: []byte("v")}}
	steps := []struct {
		name  string
		fresh bool // where no life goes on
		do    func(l *life)
	}{
		{"newer Create", true, func(*life) {
			s, err := newer().Create(t.Context(), id, initial, store.Terms{Lease: lease, MaxKeys: 9})
			must(err)
			begun(s)
		}},
		{"older Create", true, func(*life) { older.run("create", name, token(), 60000, "k", "v"); begun(nil) }},
		{"newer Resume", false, func(*life) {
			s, err := newer().Resume(t.Context(), id, store.Terms{Lease: lease, MaxKeys: 9})
			must(err)
			begun(s)
		}},
		{"older Resume", false, func(l *life) { older.run("resume", name, token(), 60000, l.token); begun(nil) }},
		{"newer Attach", false, func(l *life) { s, err := newer().Attach(t.Context(), id, store.Terms{MaxKeys: 9}); must(err); l.s = s }},
		{"newer Set", false, func(l *life) {
			if l.s != nil {
				must(l.s.Set(t.Context(), fmt.Sprint("k", random.IntN(3)), []byte("n")))
			}
		}},
		{"older Set", false, func(l *life) { older.run("set", name, l.token, fmt.Sprint("k", random.IntN(3)), "o", 9) }},
		{"older merged Set", false, func(l *life) { older.run("merged_set", name, l.token, fmt.Sprint("k", random.IntN(3)), "o", 9) }},
		{"newer Delete", false, func(l *life) {
			if l.s != nil {
				must(l.s.Delete(t.Context(), fmt.Sprint("k", random.IntN(3))))
			}
		}},
		{"older Delete", false, func(l *life) { older.run("delete", name, l.token, fmt.Sprint("k", random.IntN(3))) }},
		{"older confirmed Delete", false, func(l *life) { older.run("confirmed_delete", name, l.token, "none") }},
		{"older confirmed trace", false, func(l *life) { older.run("confirmed_trace", name, l.token) }},
		{"newer Commit", false, func(l *life) {
			if l.s != nil {
				_, err := store.Commit(t.Context(), l.s, nil, []store.Entry{{Key: "k0", Value: []byte("c")}, {Key: "k1"}})
				must(err)
			}
		}},
		{"older Commit", false, func(l *life) { older.run("commit", name, l.token, 9, mark(), 0, 1, "k0", "c", "k1") }},
		{"newer Suspend", false, func(l *life) {
			if l.s != nil {
				must(b.Suspend(t.Context(), mine(t, b, id), lease))
			}
		}},
		{"older Suspend", false, func(l *life) { older.run("suspend", name, l.token, 60000) }},
		{"newer Destroy", false, func(l *life) {
			if l.s != nil && random.IntN(3) == 0 {
				must(l.s.Destroy(t.Context()))
			}
		}},
		{"older Destroy", false, func(l *life) {
			if random.IntN(3) == 0 {
				older.run("destroy", name, l.token)
			}
		}},
	}
	// Whether a native write can pass after a step is a matter of chance. Most of a walk may have
	// no life, or an older one without a fence. So it goes on until some have.
	const enough, most = 20, 30_000
	passed := 0
	for n := 0; n < 300 || takes && passed < enough; n++ {
		if n == most {
			t.Fatalf("seed %d: %d native writes passed in %d steps, want %d: nothing is shown", seed, passed, n, enough)
		}
		l := present()
		step := steps[random.IntN(len(steps))]
		if step.fresh != (l == nil) {
			continue
		}
		trail = append(trail, step.name)
		step.do(l)
		l = present()
		// The fence names the present life or nobody.
		var names []string
		fenced := false
		for _, f := range reserved(t, client, name) {
			fenced = fenced || f == "\x00r"
			if rest, ok := strings.CutPrefix(f, "\x00L"); ok {
				names = append(names, rest)
			}
		}
		if fenced && (l == nil || !slices.Equal(names, []string{l.token})) {
			t.Fatalf("seed %d, after %q: the fence names %d lives, want the present one alone", seed, trail, len(names))
		}
		if client.PTTL(t.Context(), name).Val() == -1 {
			t.Fatalf("seed %d, after %q: the session has no expiry", seed, trail)
		}
		for i := range lives {
			now := l != nil && lives[i].token == l.token
			if takes {
				got, err := client.Do(t.Context(), "hsetex", name, "fxx", "fields", 3, "\x00r", "", "\x00L"+lives[i].token, "", "k", "raw").Result()
				must(err)
				if got == int64(1) && !now {
					t.Fatalf("seed %d, after %q: the late native write of life %d passed", seed, trail, i)
				}
				if got == int64(1) {
					passed++
				}
			}
			if s := lives[i].s; s != nil {
				if err := s.Set(t.Context(), "k", []byte("v")); (err == nil) != now {
					t.Fatalf("seed %d, after %q: Set() by life %d of %d = %v, and its life goes on: %v", seed, trail, i, len(lives), err, now)
				}
			} else if got := older.run("set", name, lives[i].token, "k", "v", 9); (got == int64(1)) != now {
				t.Fatalf("seed %d, after %q: older Set by life %d = %v, and its life goes on: %v", seed, trail, i, got, now)
			}
		}
	}
}

// mine returns a handle of b to a session.
func mine(t *testing.T, b *redisstore.Backend, id string) store.Store {
	t.Helper()
	s, err := b.Attach(t.Context(), id, store.Terms{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A session of an older process gets its fence with the first write that needs it, and
// native writes from then on.
func TestOlderSessionsAreTakenOver(t *testing.T) {
	onNatives(t, func(t *testing.T, server *testserver.Server) {
		client := dial(t, server.URL)
		b := open(t, client, redisstore.Options{})
		if !redisstore.WritesNatively(t.Context(), b) {
			t.Fatal("the server does not take native writes")
		}
		older := &olderProcess{t, client}
		for _, how := range []string{"Attach", "Resume"} {
			id := store.NewID()
			name := b.Namespace() + ":" + id
			older.run("create", name, strings.Repeat("a", 22), 60000, "k", "v")
			s := mine(t, b, id)
			if how == "Resume" {
				var err error
				if s, err = b.Resume(t.Context(), id, store.Terms{Lease: lease}); err != nil {
					t.Fatal(err)
				}
			}
			wantGet(t, how, s, "v")
			for _, err := range b.Renew(t.Context(), []store.Store{s}, 2*lease) {
				if err != nil {
					t.Errorf("Renew() after %s = %v, want nil", how, err)
				}
			}
			hook := hooked(client)
			for range 2 {
				if err := s.Set(t.Context(), "k", []byte("v2")); err != nil {
					t.Errorf("Set() after %s = %v, want nil", how, err)
				}
			}
			sent := hook.take()
			if want := map[string]int{"Attach": 2, "Resume": 2}[how]; sent["hsetex"] != want {
				t.Errorf("two Sets after %s sent %v, want %d HSETEX", how, sent, want)
			}
			if scripts := sent["evalsha"] + sent["eval"]; how == "Resume" && scripts > 0 || how == "Attach" && scripts == 0 {
				t.Errorf("two Sets after %s sent %v, want a script only for a session without a fence", how, sent)
			}
			want := []string{"\x00L" + tokenIn(t, client, name), "\x00r", "\x00t"}
			if got := reserved(t, client, name); !slices.Equal(got, want) {
				t.Errorf("reserved fields after %s and Set are %q, want %q", how, got, want)
			}
		}
	})
}
