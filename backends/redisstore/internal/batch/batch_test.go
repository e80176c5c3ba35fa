package batch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store/internal/await"
)

// onceCmd is a command that must not be sent twice.
type onceCmd struct{ *redis.Cmd }

func (onceCmd) NoRetry() bool { return true }

func once(args ...any) onceCmd { return onceCmd{redis.NewCmd(context.Background(), args...)} }

func again(args ...any) *redis.Cmd { return redis.NewCmd(context.Background(), args...) }

// oneBatch executes cmds in a single pipeline, and returns their errors.
func oneBatch(t *testing.T, b *Batcher, cmds ...redis.Cmder) []error {
	t.Helper()
	return oneBatchIn(t, b.only, cmds...)
}

func oneBatchIn(t *testing.T, l *lane, cmds ...redis.Cmder) []error {
	t.Helper()
	errs := make([]error, len(cmds))
	var wg sync.WaitGroup
	l.mu.Lock()
	l.inFlight++
	for i, cmd := range cmds {
		c := newCall(t.Context(), cmd)
		l.queue.push(c)
		wg.Go(func() { errs[i] = c.wait(t.Context(), l) })
	}
	l.mu.Unlock()
	l.run(gathering)
	wg.Wait()
	return errs
}

func closeNow(t *testing.T, b *Batcher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
}

func TestProcessGivesEveryCallerItsOwnReply(t *testing.T) {
	client := newClient(t, redis.Options{Addr: startRedis(t)})
	for _, opts := range []Options{{}, {MaxInFlight: 1}, {MaxBatch: 3}, {MaxBytes: 1}} {
		t.Run(fmt.Sprintf("%+v", opts), func(t *testing.T) {
			b := New(client, opts)
			defer closeNow(t, b)
			client.FlushAll(t.Context())
			const callers, rounds = 64, 30
			withCancel, cancel := context.WithCancel(t.Context())
			defer cancel()
			var wg sync.WaitGroup
			for w := range callers {
				ctx := context.Background()
				if w%2 == 0 {
					ctx = withCancel
				}
				wg.Go(func() {
					key := fmt.Sprint("own", w)
					for i := range rounds {
						want := fmt.Sprint(w, "/", i)
						if err := b.Process(ctx, once("set", key, want)); err != nil {
							t.Errorf("Process(set) = %v, want nil", err)
						}
						get := redis.NewStringCmd(ctx, "get", key)
						if err := b.Process(ctx, get); err != nil || get.Val() != want {
							t.Errorf("Process(get) = %q, %v, want %q, nil", get.Val(), err, want)
						}
						if err := b.Process(ctx, once("incr", "sum")); err != nil {
							t.Errorf("Process(incr) = %v, want nil", err)
						}
					}
				})
			}
			wg.Wait()
			if got, err := client.Get(t.Context(), "sum").Int(); got != callers*rounds || err != nil {
				t.Errorf("sum of increments = %d, %v, want %d, nil", got, err, callers*rounds)
			}
		})
	}
}

func TestErrorStaysWithItsCommand(t *testing.T) {
	client := newClient(t, redis.Options{Addr: startRedis(t)})
	b := New(client, Options{})
	defer closeNow(t, b)
	client.HSet(t.Context(), "hash", "f", "v")
	get := again("hget", "hash", "f")
	errs := oneBatch(t, b,
		once("get", "hash"),
		again("evalsha", strings.Repeat("0", 40), 1, "hash"),
		again("hget", "hash", "none"),
		get,
		once("nonsense"),
		once("hset", "hash", "g", "w"),
	)
	for i, prefix := range []string{"WRONGTYPE", "NOSCRIPT", "redis: nil", "", "ERR unknown command", ""} {
		if got := fmt.Sprint(errs[i]); prefix != "" && !strings.HasPrefix(got, prefix) || prefix == "" && errs[i] != nil {
			t.Errorf("error of command %d = %v, want prefix %q", i, errs[i], prefix)
		}
		if Unknown(errs[i]) {
			t.Errorf("Unknown(%v) = true, want false", errs[i])
		}
	}
	if get.Val() != "v" {
		t.Errorf("hget = %v, want v", get.Val())
	}
}

func TestCutConnection(t *testing.T) {
	addr := startRedis(t)
	direct := newClient(t, redis.Options{Addr: addr})
	one := len(":1\r\n")
	for _, tc := range []struct {
		name    string
		cut     int
		unknown []bool // of the writes a, b and c
		read    int    // how many of the two reads have their reply
	}{
		{"before the first reply", 0, []bool{true, true, true}, 0},
		{"within the first reply", 2, []bool{true, true, true}, 0},
		{"after the first reply", one, []bool{false, true, true}, 0},
		{"after a write and a read", one + len("$1\r\nv\r\n"), []bool{false, true, true}, 1},
		{"before the last reply", 2*one + len("$1\r\nv\r\n$1\r\nw\r\n"), []bool{false, false, true}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			direct.FlushAll(t.Context())
			direct.MSet(t.Context(), "r1", "v", "r2", "w")
			link := newLink(t, addr)
			client := newClient(t, redis.Options{Addr: link.addr, PoolSize: 4})
			b := New(client, Options{})
			defer closeNow(t, b)
			oneBatch(t, b, again("ping"), again("ping")) // past the handshake
			link.cutAfter(tc.cut)
			writes := []redis.Cmder{once("incr", "a"), once("incr", "b"), once("incr", "c")}
			r1, r2 := again("get", "r1"), again("get", "r2")
			errs := oneBatch(t, b, writes[0], r1, r2, writes[1], writes[2])
			for i, at := range []int{0, 3, 4} {
				key := string(rune('a' + i))
				if n, err := direct.Get(t.Context(), key).Int(); n != 1 || err != nil {
					t.Errorf("write %s was executed %d times (%v), want 1", key, n, err)
				}
				if got := Unknown(errs[at]); got != tc.unknown[i] || !got && errs[at] != nil {
					t.Errorf("write %s: error %v, unknown %t, want unknown %t", key, errs[at], got, tc.unknown[i])
				}
				if val := writes[i].(onceCmd).Val(); !tc.unknown[i] && val != int64(1) {
					t.Errorf("write %s: result %v, want 1", key, val)
				}
			}
			for i, r := range []*redis.Cmd{r1, r2} {
				if err := errs[1+i]; i < tc.read && (err != nil || r.Val() != []any{"v", "w"}[i]) || i >= tc.read && !Unknown(err) {
					t.Errorf("read %d = %v, %v, want its reply: %t", i, r.Val(), err, i < tc.read)
				}
			}
		})
	}
}

func TestLoneWriteIsSentOnce(t *testing.T) {
	addr := startRedis(t)
	direct := newClient(t, redis.Options{Addr: addr})
	link := newLink(t, addr)
	client := newClient(t, redis.Options{Addr: link.addr})
	b := New(client, Options{})
	defer closeNow(t, b)
	for i, ctx := range []context.Context{context.Background(), t.Context()} {
		if err := client.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		link.cutAfter(0)
		if err := b.Process(ctx, once("incr", "n")); !Unknown(err) {
			t.Errorf("Process(incr) = %v, want an unknown outcome", err)
		}
		if n, err := direct.Get(t.Context(), "n").Int(); n != i+1 || err != nil {
			t.Errorf("executed %d times (%v), want %d", n, err, i+1)
		}
		link.cutAfter(0)
		get := again("get", "n")
		if err := b.Process(ctx, get); err != nil || get.Val() != fmt.Sprint(i+1) {
			t.Errorf("Process(get) = %v, %v, want %d, nil", get.Val(), err, i+1)
		}
	}
}

func TestEndOfContext(t *testing.T) {
	addr := startRedis(t)
	link := newLink(t, addr)
	client := newClient(t, redis.Options{Addr: link.addr})
	b := New(client, Options{MaxInFlight: 1})
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	link.pause()
	cause := errors.New("caller is gone")
	ctx1, cancel1 := context.WithCancelCause(t.Context())
	// With a deadline that the client does not keep: not on our goroutine.
	ctx1, stop := context.WithTimeout(ctx1, time.Hour)
	defer stop()
	ctx2, cancel2 := context.WithCancelCause(t.Context())
	sent, waiting, stays := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() { sent <- b.Process(ctx1, once("incr", "sent")) }()
	direct := newClient(t, redis.Options{Addr: addr})
	await.Until(t, "the first is executed", func() bool { return direct.Exists(t.Context(), "sent").Val() == 1 })
	go func() { waiting <- b.Process(ctx2, once("incr", "waiting")) }()
	await.Until(t, "the second is queued", queueIs(b, 1))
	go func() { stays <- b.Process(context.Background(), once("incr", "stays")) }()
	await.Until(t, "the third is queued", queueIs(b, 2))

	cancel2(cause)
	if err := <-waiting; !errors.Is(err, ErrNotSent) || !errors.Is(err, cause) || Unknown(err) {
		t.Errorf("queued: Process() = %v, unknown %t, want ErrNotSent because of %v", err, Unknown(err), cause)
	}
	cancel1(cause)
	if err := <-sent; errors.Is(err, ErrNotSent) || !errors.Is(err, cause) || !Unknown(err) {
		t.Errorf("in progress: Process() = %v, unknown %t, want an unknown outcome because of %v", err, Unknown(err), cause)
	}
	link.resume()
	if err := <-stays; err != nil {
		t.Errorf("bystander: Process() = %v, want nil", err)
	}
	closeNow(t, b)
	if got := direct.MGet(t.Context(), "sent", "waiting", "stays").Val(); fmt.Sprint(got) != "[1 <nil> 1]" {
		t.Errorf("executed: %v, want [1 <nil> 1]", got)
	}
	if err := b.Process(ctx1, once("incr", "late")); !errors.Is(err, ErrNotSent) || !errors.Is(err, cause) {
		t.Errorf("after its end: Process() = %v, want ErrNotSent", err)
	}
}

func TestHangingServer(t *testing.T) {
	link := newLink(t, startRedis(t))
	client := newClient(t, redis.Options{Addr: link.addr, ReadTimeout: 300 * time.Millisecond, MaxRetries: -1})
	b := New(client, Options{MaxInFlight: 2})
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	link.pause()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if err := b.Process(ctx, once("incr", "n")); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("caller %d with a deadline: Process() = %v, want DeadlineExceeded", i, err)
			}
		})
	}
	wg.Wait()
	if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close(ctx) = %v, want DeadlineExceeded", err)
	}
	closeNow(t, b) // the client's ReadTimeout ends what is in progress
	await.Until(t, "no goroutine of the batcher is left", func() bool {
		buf := make([]byte, 1<<20)
		return !strings.Contains(string(buf[:runtime.Stack(buf, true)]), "(*lane).run")
	})
}

func TestDeadlineOfLoneCaller(t *testing.T) {
	link := newLink(t, startRedis(t))
	for _, kept := range []bool{false, true} {
		client := newClient(t, redis.Options{Addr: link.addr, ContextTimeoutEnabled: kept})
		b := New(client, Options{})
		if err := b.Process(t.Context(), again("ping")); err != nil {
			t.Fatal(err)
		}
		link.pause()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err := b.Process(ctx, once("incr", "n"))
		if !errors.Is(err, context.DeadlineExceeded) || !Unknown(err) {
			t.Errorf("ContextTimeoutEnabled %t: Process() = %v, want DeadlineExceeded and an unknown outcome", kept, err)
		}
		cancel()
		link.resume()
		closeNow(t, b)
	}
}

func TestNotSent(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	nobody := newClient(t, redis.Options{Addr: closed.Addr().String(), MaxRetries: -1, DialerRetries: 1})
	b := New(nobody, Options{})
	defer closeNow(t, b)
	for i, err := range oneBatch(t, b, once("incr", "a"), once("incr", "b"), again("get", "a")) {
		if err == nil || Unknown(err) {
			t.Errorf("no server: error of command %d = %v, unknown %t, want one that is not sent", i, err, Unknown(err))
		}
	}

	busy := newClient(t, redis.Options{Addr: startRedis(t), PoolSize: 1, PipelinePoolSize: -1, PoolTimeout: time.Millisecond, MaxRetries: -1})
	conn := busy.Conn()
	defer conn.Close()
	if err := conn.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	b = New(busy, Options{})
	defer closeNow(t, b)
	for i, err := range oneBatch(t, b, once("incr", "a"), once("incr", "b")) {
		if !errors.Is(err, redis.ErrPoolTimeout) || Unknown(err) {
			t.Errorf("no connection free: error of command %d = %v, unknown %t, want ErrPoolTimeout", i, err, Unknown(err))
		}
	}
}

func TestClose(t *testing.T) {
	client := newClient(t, redis.Options{Addr: startRedis(t)})
	b := New(client, Options{MaxInFlight: 1, MaxBatch: 2})
	var ok, refused atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for {
				err := b.Process(context.Background(), once("incr", "n"))
				switch {
				case err == nil:
					ok.Add(1)
				case errors.Is(err, ErrNotSent):
					refused.Add(1)
					return
				default:
					t.Errorf("Process() = %v, want nil or ErrNotSent", err)
					return
				}
			}
		})
	}
	await.Until(t, "some have run", func() bool { return ok.Load() > 100 })
	closeNow(t, b)
	closeNow(t, b)
	wg.Wait()
	if n, _ := client.Get(t.Context(), "n").Int64(); n != ok.Load() || refused.Load() != 50 {
		t.Errorf("server counts %d, callers %d, refused %d, want equal counts and 50", n, ok.Load(), refused.Load())
	}
}

func TestTake(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts Options
		size []int // of the arguments; < 0: withdrawn
		want []int // commands in each batch
	}{
		{"all", Options{MaxBatch: 10, MaxBytes: 1000}, []int{1, 1, 1}, []int{3}},
		{"by number", Options{MaxBatch: 2, MaxBytes: 1000}, []int{1, 1, 1, 1, 1}, []int{2, 2, 1}},
		{"by bytes", Options{MaxBatch: 10, MaxBytes: 100}, []int{40, 40, 40}, []int{2, 1}},
		{"large alone", Options{MaxBatch: 10, MaxBytes: 100}, []int{1, 5000, 1, 1}, []int{1, 1, 2}},
		{"without withdrawn", Options{MaxBatch: 2, MaxBytes: 100}, []int{-1, 1, -1, 1, -1}, []int{2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLane(&Batcher{opts: tc.opts.withDefaults(10, 10)}, nil)
			for _, n := range tc.size {
				c := newCall(t.Context(), again(strings.Repeat("x", max(0, n))))
				l.queue.push(c)
				if n < 0 && !l.withdraw(c) {
					t.Fatal("withdraw() of a queued call = false")
				}
			}
			var got []int
			for l.queue.len() > 0 {
				var bt batch
				l.take(&bt)
				got = append(got, len(bt.calls))
			}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("batches of %v = %v, want %v", tc.size, got, tc.want)
			}
		})
	}
}

func TestOtherClientsAreNotMerged(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": startRedis(t)}})
	t.Cleanup(func() { _ = ring.Close() })
	b := New(ring, Options{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := b.Process(t.Context(), once("incr", "n")); err != nil {
				t.Errorf("Process() = %v, want nil", err)
			}
		})
	}
	wg.Wait()
	closeNow(t, b)
	if n, err := ring.Get(t.Context(), "n").Int(); n != 20 || err != nil {
		t.Errorf("executed %d times (%v), want 20", n, err)
	}
}
