package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// A Resume that is held up on the network, and arrives when its caller has tried again,
// does not end the life that the second attempt began.
func TestLateResume(t *testing.T) {
	server := testserver.SharedRedis(t)
	both(t, func(t *testing.T, o redisstore.Options) {
		o.Namespace = namespace(t)
		p := newProxy(t, server.Addr)
		slow := open(t, dial(t, "redis://"+p.addr), o)
		b := open(t, dial(t, server.URL), o)
		id, _ := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
		if _, err := slow.Resume(t.Context(), id, store.Terms{Lease: lease}); err != nil { // teach the script
			t.Fatal(err)
		}

		p.arm(request, "evalsha", nil)
		first, err := slow.Resume(t.Context(), id, store.Terms{Lease: lease})
		if err != nil || !p.sprung() {
			t.Fatalf("Resume() = %v, want it to repeat what got lost", err)
		}
		// The request that got lost arrives now.
		p.mu.Lock()
		late := p.requests[len(p.requests)-1]
		for _, r := range p.requests {
			if bytes.Contains(r, []byte("evalsha")) {
				late = r
				break
			}
		}
		p.mu.Unlock()
		conn, err := net.Dial("tcp", server.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		arrive := func(want string, s store.Store) {
			t.Helper()
			answer := make([]byte, 1024)
			if _, err := conn.Write(late); err != nil {
				t.Fatal(err)
			}
			n, err := conn.Read(answer)
			if err != nil || !strings.HasPrefix(string(answer[:n]), want) {
				t.Errorf("the late Resume was answered %q, %v, want %q", answer[:n], err, want)
			}
			wantGet(t, "after a late Resume", s, "v")
		}
		arrive(":1", first) // the life that it began itself
		second, err := b.Resume(t.Context(), id, store.Terms{Lease: lease})
		if err != nil {
			t.Fatal(err)
		}
		arrive("*2", second) // another life
	})
}

// A Destroy or Delete that replicas did not confirm is not confirmed by its repetition
// either, until they have it.
func TestRepeatedWritesNeedConfirmation(t *testing.T) {
	for _, flavour := range []testserver.Flavour{testserver.FlavourRedis, testserver.FlavourRedis8, testserver.FlavourValkey} {
		t.Run(string(flavour), func(t *testing.T) {
			args := testserver.WithArgs("--loglevel", "warning", "--repl-diskless-sync-delay", "0")
			primary := testserver.Redis(t, testserver.WithFlavour(flavour), args)
			replica := testserver.Redis(t, testserver.WithFlavour(flavour), args)
			host, port, _ := strings.Cut(primary.Addr, ":")
			if _, err := replica.Do("REPLICAOF", host, port); err != nil {
				t.Fatal(err)
			}
			client := dial(t, primary.URL)
			eventually(t, "WAIT", func() error { return client.Wait(t.Context(), 1, time.Second).Err() },
				func(error) bool { return client.Wait(t.Context(), 1, time.Second).Val() == 1 })
			b := open(t, client, redisstore.Options{WaitReplicas: 1, WaitTimeout: 20 * time.Millisecond})
			_, s := createSoon(t, b)
			_, destroyed := createSoon(t, b)
			id, looked := createSoon(t, b)
			calls := map[string]func() error{
				"Delete":  func() error { return s.Delete(t.Context(), "k") },
				"Take":    func() error { _, err := store.Commit(t.Context(), s, nil, []store.Entry{{Key: "k"}}); return err },
				"Destroy": func() error { return destroyed.Destroy(t.Context()) },
				"Destroy after a look": func() error {
					_, _ = looked.Get(t.Context(), "k") // which says that the life has ended
					return looked.Destroy(t.Context())
				},
			}
			replica.Pause()
			for name, call := range calls {
				for i := range 3 {
					if err := call(); !errors.Is(err, store.ErrUnknownOutcome) || strings.Contains(err.Error(), "connection failed") {
						t.Errorf("%s number %d without a replica = %v, want ErrUnknownOutcome", name, i+1, err)
					} else {
						wantSilent(t, err, id)
					}
				}
			}
			replica.Resume()
			for name, call := range calls {
				eventually(t, name+" with the replica", call, func(err error) bool { return err == nil })
			}
			for _, key := range client.Keys(t.Context(), b.Namespace()+":*").Val() {
				if client.PTTL(t.Context(), key).Val() < 0 || client.HExists(t.Context(), key, "\x00x").Val() {
					t.Errorf("a session has no expiry, or more fields than it should: %q", client.HKeys(t.Context(), key).Val())
				}
			}
		})
	}
}

// createSoon creates a session that replicas have confirmed.
func createSoon(t *testing.T, b *redisstore.Backend) (id string, s store.Store) {
	t.Helper()
	eventually(t, "Create", func() (err error) {
		id = store.NewID()
		s, err = b.Create(t.Context(), id, []store.Entry{{Key: "k", Value: []byte("v")}}, store.Terms{Lease: lease})
		return err
	}, func(err error) bool { return err == nil })
	return id, s
}

// A cluster's client that has nothing on where slots are, over connections that break all the time,
// makes no wrong outcome. What is stored is not called a conflict, and nothing is done twice.
func TestBrokenRedirections(t *testing.T) {
	c := testserver.RedisCluster(t)
	healthy := dialCluster(t, c)
	for _, o := range []redisstore.Options{{}, {DisableBatching: true}, {WaitReplicas: 1, WaitTimeout: quickWait}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			o.Namespace = namespace(t)
			w := new(wire)
			client := closing(t, redis.NewClusterClient(&redis.ClusterOptions{
				Dialer: w.dial, Protocol: 2, DialerRetries: 1, ReadTimeout: time.Second,
				ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) {
					return []redis.ClusterSlot{{Start: 0, End: 16383, Nodes: []redis.ClusterNode{{Addr: c.Nodes[0].Addr}}}}, nil
				},
			}))
			b := open(t, client, o)
			helper := open(t, healthy, redisstore.Options{Namespace: o.Namespace})
			stop := make(chan struct{})
			var pause atomic.Int64 // between cuts; longer where the machine is too slow to get anything through
			pause.Store(int64(3 * time.Millisecond))
			var cutter sync.WaitGroup
			cutter.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Duration(pause.Load())):
						w.cut()
					}
				}
			})
			const rounds, callers = 10, 32
			var done, unknown int
			for round := 0; round < rounds || done == 0 && t.Context().Err() == nil; round++ {
				if done == 0 && round > 0 {
					pause.Store(2 * pause.Load())
				}
				ids, errs, increments := make([]string, callers), make([]error, callers), make([]error, callers)
				var wg sync.WaitGroup
				for i := range callers {
					ids[i] = store.NewID()
					wg.Go(func() {
						s, err := b.Create(t.Context(), ids[i], []store.Entry{{Key: "n", Value: []byte("0")}}, store.Terms{Lease: lease})
						if err != nil {
							errs[i] = err
							return
						}
						_, errs[i] = store.Commit(t.Context(), s, []store.Entry{{Key: "k"}}, []store.Entry{{Key: "k", Value: []byte("v")}})
						increments[i] = increment(t, s)
					})
				}
				wg.Wait()
				for i := range callers {
					switch err := errs[i]; {
					case err == nil:
						done++
					case errors.Is(err, store.ErrUnknownOutcome):
						unknown++
					case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrExists), errors.Is(err, store.ErrDestroyed):
						t.Errorf("Create and Commit of an own session = %v", err)
					}
					value := contents(t, helper, ids[i])
					if errs[i] == nil && value["k"] != "v" {
						t.Errorf("Commit = nil, and the session has %q", value)
					}
					if n := value["n"]; increments[i] == nil && errs[i] == nil && n != "1" || n > "1" {
						t.Errorf("after an increment = %v the counter is %q", increments[i], n)
					}
				}
			}
			close(stop)
			cutter.Wait()
			t.Logf("%d done, %d unknown", done, unknown)
		})
	}
}

// What is kept from being sent has a known outcome: by a limiter, a dialer that does not
// come back, a hook.
func TestSurelyNotSent(t *testing.T) {
	server := testserver.SharedRedis(t)
	both(t, func(t *testing.T, o redisstore.Options) {
		o.Namespace = namespace(t)
		id, _ := create(t, open(t, dial(t, server.URL), o), store.Entry{Key: "k", Value: []byte("v")})
		writes := func(t *testing.T, b *redisstore.Backend, want error) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					_, err := b.Create(ctx, store.NewID(), nil, store.Terms{Lease: lease})
					if err == nil || errors.Is(err, store.ErrUnknownOutcome) || errors.Is(err, store.ErrExists) || want != nil && !errors.Is(err, want) {
						t.Errorf("Create() = %v, want %v and a known outcome", err, want)
					}
					_, err = b.Resume(ctx, id, store.Terms{Lease: lease})
					if err == nil || errors.Is(err, store.ErrUnknownOutcome) || errors.Is(err, store.ErrNoSession) {
						t.Errorf("Resume() = %v, want a known outcome", err)
					}
				})
			}
			wg.Wait()
		}
		t.Run("limiter", func(t *testing.T) {
			writes(t, open(t, dial(t, server.URL, func(o *redis.Options) { o.Limiter = closedLimiter{} }), o), nil)
		})
		t.Run("dialer", func(t *testing.T) {
			writes(t, open(t, dial(t, server.URL, func(o *redis.Options) {
				o.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			}), o), context.DeadlineExceeded)
		})
		t.Run("hook", func(t *testing.T) {
			client := dial(t, server.URL)
			client.AddHook(keepBack{})
			writes(t, open(t, client, o), nil)
		})
	})
}

type closedLimiter struct{}

func (closedLimiter) Allow() error       { return errors.New("the limiter allows nothing") }
func (closedLimiter) ReportResult(error) {}

// keepBack keeps commands back and says that all is well.
type keepBack struct{}

func (keepBack) DialHook(next redis.DialHook) redis.DialHook { return next }
func (keepBack) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(context.Context, redis.Cmder) error { return nil }
}

func (keepBack) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(context.Context, []redis.Cmder) error { return nil }
}

// A handle from Attach outlives what the cache has of an earlier life.
func TestCacheDoesNotEndNewHandles(t *testing.T) {
	server := testserver.SharedRedis(t)
	ns := namespace(t)
	here := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns, Cache: cached.Cache})
	elsewhere := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns})
	for range 200 {
		id, s := create(t, here, store.Entry{Key: "k", Value: []byte("v")})
		wantGet(t, "into the cache", s, "v")
		if _, err := elsewhere.Resume(t.Context(), id, store.Terms{Lease: lease}); err != nil {
			t.Fatal(err)
		}
		s, err := here.Attach(t.Context(), id, store.Terms{})
		if err != nil {
			t.Fatal(err)
		}
		wantGet(t, "on the new handle", s, "v")
	}
}

// The two ways in which a life ends are told apart.
func TestEndsAreToldApart(t *testing.T) {
	server := testserver.SharedRedis(t)
	both(t, func(t *testing.T, o redisstore.Options) {
		b := open(t, dial(t, server.URL), o)
		for _, resumed := range []bool{true, false} {
			for _, op := range operations {
				if op.attaches || op.name == "Create" || op.name == "Attach" {
					continue
				}
				id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
				other, err := b.Resume(t.Context(), id, store.Terms{Lease: lease})
				if err == nil && !resumed {
					err = other.Destroy(t.Context())
				}
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					err := op.run(t.Context(), b, id, s)
					if !errors.Is(err, store.ErrDestroyed) || errors.Is(err, store.ErrResumed) != resumed {
						t.Errorf("%s on a life that ended = %v, want ErrDestroyed, and ErrResumed: %t", op.name, err, resumed)
					}
				}
			}
		}
	})
}

// A write that is repeated because its reply was lost does not claim that it has not happened, when
// others have ended in between what it may have begun. Nor does it end what they have begun.
func TestRepetitionAfterOthers(t *testing.T) {
	server := testserver.SharedRedis(t)
	type call func(ctx context.Context, b *redisstore.Backend, id string, s store.Store) error
	writes := map[string]call{
		"Resume": func(ctx context.Context, b *redisstore.Backend, id string, _ store.Store) error {
			_, err := b.Resume(ctx, id, store.Terms{Lease: lease})
			return err
		},
		"Suspend": func(ctx context.Context, b *redisstore.Backend, _ string, s store.Store) error {
			return b.Suspend(ctx, s, lease)
		},
	}
	resume := func(ctx context.Context, b *redisstore.Backend, id string) (store.Store, error) {
		return b.Resume(ctx, id, store.Terms{Lease: lease})
	}
	others := map[string]func(ctx context.Context, b *redisstore.Backend, id string) (store.Store, error){
		"Destroy": func(ctx context.Context, b *redisstore.Backend, id string) (store.Store, error) {
			s, err := b.Attach(ctx, id, store.Terms{})
			if err != nil {
				return nil, err
			}
			return nil, s.Destroy(ctx)
		},
		"Resume": resume,
		"Resume and Destroy": func(ctx context.Context, b *redisstore.Backend, id string) (store.Store, error) {
			s, err := resume(ctx, b, id)
			if err != nil {
				return nil, err
			}
			return nil, s.Destroy(ctx)
		},
		"Destroy and Create": func(ctx context.Context, b *redisstore.Backend, id string) (store.Store, error) {
			s, err := b.Attach(ctx, id, store.Terms{})
			if err == nil {
				err = s.Destroy(ctx)
			}
			if err != nil {
				return nil, err
			}
			return b.Create(ctx, id, []store.Entry{{Key: "k", Value: []byte("v")}}, store.Terms{Lease: lease})
		},
	}
	both(t, func(t *testing.T, o redisstore.Options) {
		o.Namespace = namespace(t)
		elsewhere := open(t, dial(t, server.URL), o)
		p := newProxy(t, server.Addr)
		b := open(t, dial(t, "redis://"+p.addr), o)
		taught, s := create(t, b)
		for _, write := range writes {
			if err := write(t.Context(), b, taught, s); err != nil && !errors.Is(err, store.ErrDestroyed) {
				t.Fatal(err)
			}
		}
		for writeName, write := range writes {
			for otherName, other := range others {
				t.Run(writeName+" then "+otherName, func(t *testing.T) {
					id, s := create(t, b, store.Entry{Key: "k", Value: []byte("v")})
					began := make(chan store.Store, 1)
					p.arm(reply, "evalsha", func() {
						theirs, err := other(context.Background(), elsewhere, id)
						if err != nil {
							t.Errorf("%s = %v", otherName, err)
						}
						began <- theirs
					})
					err := write(t.Context(), b, id, s)
					if !p.sprung() {
						t.Fatal("no reply was lost")
					}
					theirs := <-began
					if !errors.Is(err, store.ErrUnknownOutcome) || errors.Is(err, store.ErrNoSession) || errors.Is(err, store.ErrDestroyed) {
						t.Errorf("%s = %v, want ErrUnknownOutcome alone", writeName, err)
					}
					if err != nil {
						wantSilent(t, err, id)
					}
					if theirs != nil {
						wantGet(t, "of the other life", theirs, "v")
					}
				})
			}
		}
	})
}
