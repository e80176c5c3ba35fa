package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// A scriptCase runs one script on each of many sessions, which have the keys "k",
// "old" and "other".
type scriptCase struct {
	name  string
	many  int  // more than one, so that scripts merge
	fresh bool // the sessions do not live yet
	run   func(b *redisstore.Backend, id string, s store.Store) error
}

var scriptCases = []scriptCase{
	{"Create", 1, true, func(b *redisstore.Backend, id string, _ store.Store) error {
		_, err := b.Create(context.Background(), id, []store.Entry{{Key: "k", Value: []byte("v")}, {Key: "l", Value: []byte("w")}}, store.Terms{Lease: lease})
		return err
	}},
	{"Resume", 1, false, func(b *redisstore.Backend, id string, _ store.Store) error {
		_, err := b.Resume(context.Background(), id, store.Terms{Lease: time.Second})
		return err
	}},
	{"Set", 1, false, setNew},
	{"Sets", setters, false, setNew},
	{"Has", 1, false, func(_ *redisstore.Backend, _ string, s store.Store) error {
		_, err := s.Has(context.Background(), "k")
		return err
	}},
	{"Keys", 1, false, func(_ *redisstore.Backend, _ string, s store.Store) error {
		_, err := store.Keys(context.Background(), s)
		return err
	}},
	{"Delete", 1, false, func(_ *redisstore.Backend, _ string, s store.Store) error {
		return s.Delete(context.Background(), "old")
	}},
	{"Commit that sets", 1, false, commitOf(store.Entry{Key: "k", Value: []byte("new")}, store.Entry{Key: "k2", Value: []byte("v2")})},
	{"Commit that deletes", 1, false, commitOf(store.Entry{Key: "k"}, store.Entry{Key: "old"})},
	{"Commit that sets and deletes", 1, false, commitOf(store.Entry{Key: "k", Value: []byte("new")}, store.Entry{Key: "old"}, store.Entry{Key: "k2", Value: []byte("v2")})},
	{"Commit of many", 1, false, func() func(*redisstore.Backend, string, store.Store) error {
		write := []store.Entry{{Key: "old"}}
		for i := range 7000 { // more than one HSET takes
			write = append(write, store.Entry{Key: fmt.Sprint("many", i), Value: []byte("v")})
		}
		return commitOf(write...)
	}()},
	{"Renew", 1, false, renewOne},
	{"Suspend", 1, false, func(b *redisstore.Backend, _ string, s store.Store) error {
		return b.Suspend(context.Background(), s, time.Second)
	}},
	{"Destroy", 1, false, func(_ *redisstore.Backend, _ string, s store.Store) error { return s.Destroy(context.Background()) }},
}

func setNew(_ *redisstore.Backend, _ string, s store.Store) error {
	return s.Set(context.Background(), "k2", []byte("v2"))
}

func renewOne(b *redisstore.Backend, _ string, s store.Store) error {
	return errors.Join(b.Renew(context.Background(), []store.Store{s}, time.Hour)...)
}

func commitOf(write ...store.Entry) func(*redisstore.Backend, string, store.Store) error {
	return func(_ *redisstore.Backend, _ string, s store.Store) error {
		_, err := store.Commit(context.Background(), s, []store.Entry{{Key: "k", Value: []byte("v")}}, write)
		return err
	}
}

// A script of which the server refuses any one command, in whatever place, leaves the session as it
// was. It keeps all fields, and the time that it has left.
func TestRefusedCommandsChangeNothing(t *testing.T) {
	for _, flavour := range []testserver.Flavour{testserver.FlavourRedis, testserver.FlavourRedis8, testserver.FlavourValkey, testserver.FlavourValkey9} {
		t.Run(string(flavour), func(t *testing.T) {
			server := testserver.Redis(t, testserver.WithFlavour(flavour), testserver.WithArgs("--loglevel", "warning"))
			ns := namespace(t)
			client := dial(t, server.URL)
			admin := open(t, client, redisstore.Options{Namespace: ns})
			look := func(t *testing.T, id string) state {
				t.Helper()
				fields, err := client.HGetAll(t.Context(), ns+":"+id).Result()
				if err != nil {
					t.Fatal(err)
				}
				left, err := client.PTTL(t.Context(), ns+":"+id).Result()
				if err != nil {
					t.Fatal(err)
				}
				return state{fields, left}
			}
			all := rule(t, ns)
			for i, right := range all {
				if !strings.HasPrefix(right, "+") || strings.HasPrefix(right, "+eval") {
					continue
				}
				user := "without" + right[1:]
				rights := slices.Delete(slices.Clone(all), i, i+1)
				if _, err := server.Do(append([]string{"ACL", "SETUSER", user, "reset", "on", ">pw"}, rights...)...); err != nil {
					t.Fatal(err)
				}
				b := open(t, dial(t, server.URL, func(o *redis.Options) { o.Username, o.Password = user, "pw" }), redisstore.Options{Namespace: ns})
				for _, c := range scriptCases {
					t.Run(right+"/"+c.name, func(t *testing.T) {
						ids, sessions, before := make([]string, c.many), make([]store.Store, c.many), make([]state, c.many)
						for i := range ids {
							ids[i] = store.NewID()
							if c.fresh {
								continue
							}
							if _, err := admin.Create(t.Context(), ids[i], []store.Entry{
								{Key: "k", Value: []byte("v")}, {Key: "old", Value: []byte("w")}, {Key: "other", Value: []byte("x")},
							}, store.Terms{Lease: lease}); err != nil {
								t.Fatal(err)
							}
							before[i] = look(t, ids[i])
							var err error
							if sessions[i], err = b.Attach(t.Context(), ids[i], store.Terms{MaxKeys: 10000}); err != nil {
								return // a user who may not read gets no handle
							}
						}
						errs := []error{nil}
						if c.many == 1 {
							errs[0] = c.run(b, ids[0], sessions[0])
						} else {
							errs = together(t, server, func(i int) error { return c.run(b, ids[i], sessions[i]) })
						}
						for i, err := range errs {
							after := look(t, ids[i])
							if after.left == -1 {
								t.Errorf("%s = %v, and the session has no expiry", c.name, err)
							}
							if err == nil {
								continue
							}
							if errors.Is(err, store.ErrUnknownOutcome) || errors.Is(err, store.ErrDestroyed) {
								t.Errorf("%s = %v, want a refusal", c.name, err)
							}
							if c.fresh {
								if len(after.fields) > 0 {
									t.Errorf("%s = %v, and left %q", c.name, err, after.fields)
								}
								continue
							}
							if diff := cmp.Diff(before[i].fields, after.fields); diff != "" {
								t.Errorf("%s = %v, and changed the session (-before +after):\n%s", c.name, err, diff)
							}
							if after.left > before[i].left || after.left < before[i].left/2 {
								t.Errorf("%s = %v, and changed the time that is left from %v to %v", c.name, err, before[i].left, after.left)
							}
						}
					})
				}
			}
		})
	}
}

// A server that is out of memory does all that frees memory or needs none, and refuses
// the rest as a whole.
func TestOutOfMemoryFrees(t *testing.T) {
	for _, flavour := range []testserver.Flavour{testserver.FlavourRedis, testserver.FlavourRedis8, testserver.FlavourValkey, testserver.FlavourValkey9} {
		t.Run(string(flavour), func(t *testing.T) {
			server := testserver.Redis(t, testserver.WithFlavour(flavour), testserver.WithArgs("--loglevel", "warning"))
			b := open(t, dial(t, server.URL), redisstore.Options{})
			for _, c := range scriptCases {
				id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")}, store.Entry{Key: "old", Value: []byte("w")})
				before := contents(t, b, id)
				if c.fresh {
					id = store.NewID()
				}
				if _, err := server.Do("CONFIG", "SET", "maxmemory", "1"); err != nil {
					t.Fatal(err)
				}
				err := c.run(b, id, s)
				if _, err := server.Do("CONFIG", "SET", "maxmemory", "0"); err != nil {
					t.Fatal(err)
				}
				needs := c.fresh || strings.HasPrefix(c.name, "Set") || strings.Contains(c.name, "sets") || strings.Contains(c.name, "many")
				if needs {
					wantRefused(t, c.name, err, "no memory left", id)
				} else if err != nil {
					t.Errorf("%s = %v, want nil", c.name, err)
				}
				if diff := cmp.Diff(before, contents(t, b, id)); needs && !c.fresh && diff != "" {
					t.Errorf("%s changed the session (-before +after):\n%s", c.name, diff)
				}
			}
		})
	}
}
