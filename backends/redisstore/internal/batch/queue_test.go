package batch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store/internal/await"
)

// stalled returns a batcher whose server does not answer until the link is
// resumed, with n batches in flight.
func stalled(t *testing.T, o Options, n int) (*Batcher, *link) {
	t.Helper()
	link := newLink(t, startRedis(t))
	client := newClient(t, redis.Options{Addr: link.addr, ReadTimeout: -1, WriteTimeout: -1, PoolSize: 20, PipelinePoolSize: 20})
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	b := New(client, o)
	link.pause()
	t.Cleanup(link.resume)
	for i := range n {
		go func() { _ = b.Process(context.Background(), again("echo", fmt.Sprint(i))) }()
		await.Until(t, "the batch is in flight", func() bool {
			b.only.mu.Lock()
			defer b.only.mu.Unlock()
			return b.only.inFlight == i+1 && b.only.queue.len() == 0
		})
	}
	return b, link
}

// queueIs reports whether n calls wait.
func queueIs(b *Batcher, n int) func() bool {
	return func() bool { b.only.mu.Lock(); defer b.only.mu.Unlock(); return b.only.queue.len() == n }
}

// Callers who have left the queue leave nothing behind there.
func TestWithdrawnCallsLeaveNoMemory(t *testing.T) {
	const callers = 300
	b, _ := stalled(t, Options{MaxInFlight: 1}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	values := make([]weak.Pointer[[4096]byte], callers)
	var wg sync.WaitGroup
	for i := range callers {
		value := new([4096]byte)
		values[i] = weak.Make(value)
		wg.Go(func() {
			if err := b.Process(ctx, once("set", "k", value[:])); !errors.Is(err, ErrNotSent) || !errors.Is(err, context.Canceled) {
				t.Errorf("Process() of a caller who left = %v, want ErrNotSent and Canceled", err)
			}
		})
	}
	await.Until(t, "all wait", queueIs(b, callers))
	if size := b.only.queue.bytes; size < callers*4096 {
		t.Errorf("the queue counts %d bytes, want at least %d", size, callers*4096)
	}
	cancel()
	wg.Wait()
	if q := &b.only.queue; q.len() != 0 || q.bytes != 0 || len(q.calls) != 0 {
		t.Errorf("the queue has %d calls with %d bytes in %d places, want none", q.len(), q.bytes, len(q.calls))
	}
	await.Until(t, "no value is kept", func() bool {
		runtime.GC()
		for _, v := range values {
			if v.Value() != nil {
				return false
			}
		}
		return true
	})
}

// A queue hands out what was put into it, in order, whatever is withdrawn.
func TestQueueKeepsOrder(t *testing.T) {
	l := newLane(&Batcher{opts: Options{MaxBatch: 7}.withDefaults(10, 10)}, nil)
	var want, got []string
	next := 0
	for round := range 200 {
		var put []*call
		for range round % 13 {
			c := newCall(t.Context(), again("echo", fmt.Sprint(next)))
			next++
			l.queue.push(c)
			put = append(put, c)
		}
		for i, c := range put {
			if (i+round)%3 == 0 {
				if !l.withdraw(c) {
					t.Fatal("withdraw() of a queued call = false")
				}
			} else {
				want = append(want, c.Args()[1].(string))
			}
		}
		var bt batch
		l.take(&bt)
		for _, c := range bt.calls {
			got = append(got, c.Args()[1].(string))
		}
	}
	for l.queue.len() > 0 {
		var bt batch
		l.take(&bt)
		for _, c := range bt.calls {
			got = append(got, c.Args()[1].(string))
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("taken: %v, want %v", got, want)
	}
	if q := l.queue; q.bytes != 0 || q.gone != 0 {
		t.Errorf("an empty queue counts %d bytes and %d withdrawn calls", q.bytes, q.gone)
	}
}

func TestQueueIsBounded(t *testing.T) {
	for name, o := range map[string]Options{
		"in number": {MaxInFlight: 1, MaxQueue: 5},
		"in bytes":  {MaxInFlight: 1, MaxQueueBytes: 5 * size(again("echo", "x"))},
	} {
		t.Run(name, func(t *testing.T) {
			b, link := stalled(t, o, 1)
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					if err := b.Process(context.Background(), again("echo", "x")); err != nil {
						t.Errorf("Process() within the bound = %v, want nil", err)
					}
				})
			}
			await.Until(t, "five wait", queueIs(b, 5))
			if err := b.Process(t.Context(), again("echo", "x")); !errors.Is(err, ErrQueueFull) || !errors.Is(err, ErrNotSent) || Unknown(err) {
				t.Errorf("Process() beyond the bound = %v, want ErrQueueFull and ErrNotSent", err)
			}
			link.resume()
			wg.Wait()
			if err := b.Process(t.Context(), again("echo", "x")); err != nil {
				t.Errorf("Process() afterwards = %v, want nil", err)
			}
		})
	}
}

// More than one batch that waits starts further batches, without new calls.
func TestWhatOverflowsStartsBatches(t *testing.T) {
	const inFlight = 8
	b, link := stalled(t, Options{MaxInFlight: inFlight, MaxBatch: 2}, 0)
	l := b.only
	var wg sync.WaitGroup
	l.mu.Lock()
	for i := range 3 * inFlight {
		c := newCall(t.Context(), again("echo", fmt.Sprint(i)))
		l.queue.push(c)
		wg.Go(func() {
			if err := c.wait(context.Background(), l); err != nil {
				t.Errorf("call %d = %v, want nil", i, err)
			}
		})
	}
	l.inFlight++
	l.mu.Unlock()
	go l.run(gathering)
	await.Until(t, "all batches that may be are in flight", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.inFlight == inFlight && l.queue.len() == inFlight
	})
	link.resume()
	wg.Wait()
}

// A caller who only can cancel is heard where the client would wait without end.
func TestCancelWithoutTimeouts(t *testing.T) {
	b, _ := stalled(t, Options{}, 0)
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan error, 1)
	go func() { returned <- b.Process(ctx, once("incr", "n")) }()
	await.Until(t, "it is in flight", func() bool { b.only.mu.Lock(); defer b.only.mu.Unlock(); return b.only.inFlight == 1 })
	cancel()
	select {
	case err := <-returned:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Process() = %v, want Canceled", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("Process() does not return after its context was cancelled")
	}
}

// The look-up of a cluster's nodes keeps nobody beyond the end of his context.
func TestNodesAreLookedUpAside(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // it never accepts
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{ln.Addr().String()}, ReadTimeout: time.Hour, WriteTimeout: time.Hour, DialTimeout: time.Hour})
	defer client.Close()
	for _, deadlines := range []bool{false, true} {
		b := New(client, Options{})
		b.deadlines = deadlines
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		const callers = 20
		returned := make(chan error, callers)
		for range callers {
			go func() { returned <- b.Process(ctx, again("get", "k")) }()
		}
		for range callers {
			select {
			case err := <-returned:
				if !errors.Is(err, ErrNotSent) || !errors.Is(err, context.DeadlineExceeded) || Unknown(err) {
					t.Errorf("Process() = %v, want ErrNotSent and DeadlineExceeded", err)
				}
			case <-time.After(5 * time.Second): // less than the look-up's own bound
				t.Fatal("Process() outlasts its context")
			}
		}
		cancel()
	}
}
