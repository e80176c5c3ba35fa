package batch

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store/internal/await"
)

// foretold expects replies by the second argument of a command: a number of bytes,
// or "?" until it has learned of one.
type foretold struct {
	mu      sync.Mutex
	learned map[string]bool
}

func (f *foretold) Expect(cmd redis.Cmder) int {
	arg := cmd.Args()[1].(string)
	f.mu.Lock()
	defer f.mu.Unlock()
	var n int
	if strings.HasPrefix(arg, "?") && !f.learned[arg] {
		return -1
	}
	fmt.Sscan(strings.TrimPrefix(arg, "?"), &n)
	return n
}

func (f *foretold) Learn(cmd redis.Cmder) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.learned == nil {
		f.learned = make(map[string]bool)
	}
	f.learned[cmd.Args()[1].(string)] = true
}

// The replies that are expected for one pipeline are bounded.
func TestTakeByReplies(t *testing.T) {
	for _, tc := range []struct {
		name    string
		replies []string
		want    []int
	}{
		{"small", []string{"1", "1", "1", "1", "1", "1"}, []int{6}},
		{"by bytes", []string{"400", "400", "400", "400"}, []int{2, 2}},
		{"larger than a pipeline", []string{"1", "5000", "1"}, []int{1, 1, 1}},
		{"unknown", []string{"?1", "?1", "?1", "?1", "?1", "1"}, []int{4, 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLane(&Batcher{opts: Options{MaxReplyBytes: 1000, Replies: new(foretold)}.withDefaults(10, 10)}, nil)
			for _, n := range tc.replies {
				l.queue.push(newCall(t.Context(), again("echo", n)))
			}
			var got []int
			for l.queue.len() > 0 {
				var bt batch
				l.take(&bt)
				got = append(got, len(bt.calls))
			}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("batches of %v = %v, want %v", tc.replies, got, tc.want)
			}
		})
	}
}

// What was unknown when it was queued is looked at again when it leaves, and replies
// are learned from, alone and in pipelines.
func TestRepliesAreLearned(t *testing.T) {
	client := newClient(t, redis.Options{Addr: startRedis(t)})
	f := new(foretold)
	b := New(client, Options{Replies: f})
	if err := b.Process(t.Context(), again("echo", "?1")); err != nil || f.Expect(again("echo", "?1")) != 1 {
		t.Errorf("after Process() = %v alone: Expect() = %d, want 1", err, f.Expect(again("echo", "?1")))
	}
	for i, err := range oneBatch(t, b, again("echo", "?2"), again("echo", "?3"), again("nonsense", "?4")) {
		if (err != nil) != (i == 2) {
			t.Errorf("command %d = %v", i, err)
		}
	}
	for arg, want := range map[string]int{"?2": 2, "?3": 3, "?4": -1} {
		if got := f.Expect(again("echo", arg)); got != want {
			t.Errorf("after a pipeline: Expect(%q) = %d, want %d", arg, got, want)
		}
	}
}

// Commands with large replies pass by a stalled pipeline and hold none up, and Close
// waits for them.
func TestLargeRepliesTravelAside(t *testing.T) {
	b, link := stalled(t, Options{MaxInFlight: 1, Replies: new(foretold)}, 1)
	large := fmt.Sprint(largeReply)
	outcomes := make(chan error, 2)
	for i, ctx := range []context.Context{context.Background(), t.Context()} {
		go func() { outcomes <- b.Process(ctx, again("echo", large)) }()
		await.Until(t, "it travels aside", func() bool { b.only.mu.Lock(); defer b.only.mu.Unlock(); return b.only.aside == i+1 })
	}
	if !queueIs(b, 0)() {
		t.Error("a command with a large reply waits in the queue")
	}
	closed := make(chan error, 1)
	go func() { closed <- b.Close(context.Background()) }()
	await.Until(t, "the batcher is closed", func() bool { b.only.mu.Lock(); defer b.only.mu.Unlock(); return b.only.closed })
	select {
	case err := <-closed:
		t.Errorf("Close() = %v before its commands have ended", err)
	default:
	}
	link.resume()
	for range 2 {
		if err := <-outcomes; err != nil {
			t.Errorf("Process() with a large reply = %v, want nil", err)
		}
	}
	if err := <-closed; err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
}
