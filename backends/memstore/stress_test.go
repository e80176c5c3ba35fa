package memstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessionkv/store"
)

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func decode(b []byte) uint64 { return binary.BigEndian.Uint64(b) }

// pads are further keys, which make the session as large as a test needs.
func pads(n int) (entries []store.Entry) {
	for i := range n {
		entries = append(entries, store.Entry{Key: fmt.Sprintf("pad%d", i), Value: number(uint64(i))})
	}
	return entries
}

// sizes are numbers of further keys: the first keeps to slots, the second
// outgrows them during the test, the third is large from the beginning.
var sizes = []int{0, 22, 100}

// A writer commits the same number to two keys. Nobody may see the second key
// behind the first, neither in one GetMany nor in two Gets one after the other.
func TestCommitIsOneStep(t *testing.T) {
	for _, size := range sizes {
		t.Run(fmt.Sprintf("pads=%d", size), func(t *testing.T) {
			ctx := t.Context()
			s := create(t, open(t), "a", append(pads(size),
				store.Entry{Key: "x", Value: number(0)}, store.Entry{Key: "y", Value: number(0)})...)
			var done atomic.Bool
			var readers, writers sync.WaitGroup
			for range 2 {
				readers.Go(func() {
					for !done.Load() {
						x, errX := s.Get(ctx, "x")
						y, errY := s.Get(ctx, "y")
						if errX != nil || errY != nil || decode(y) < decode(x) {
							t.Errorf("Get(x), Get(y) = %x, %x, %v, %v, want y not behind x", x, y, errX, errY)
							return
						}
						both, err := store.GetMany(ctx, s, []string{"y", "x"})
						if err != nil || decode(both[0]) != decode(both[1]) {
							t.Errorf("GetMany(y, x) = %x, %v, want the same twice", both, err)
							return
						}
					}
				})
			}
			writers.Go(func() {
				for n := range uint64(3000) {
					write := []store.Entry{{Key: "x", Value: number(n)}, {Key: "y", Value: number(n)}}
					if n%3 == 0 {
						write = append(write, store.Entry{Key: fmt.Sprintf("more%d", n%9)})
						if n%2 == 0 {
							write[2].Value = number(n)
						}
					}
					if _, err := store.Commit(ctx, s, nil, write); err != nil {
						t.Errorf("Commit: %v", err)
						return
					}
				}
			})
			writers.Go(func() {
				for n := range 3000 {
					key := fmt.Sprintf("other%d", n%7)
					wantErr(t, "Set", s.Set(ctx, key, number(uint64(n))), nil)
					if n%2 == 0 {
						wantErr(t, "Delete", s.Delete(ctx, key), nil)
					}
				}
			})
			writers.Wait()
			done.Store(true)
			readers.Wait()
		})
	}
}

// Increments by compare-and-swap from several goroutines lose nothing.
func TestCommitLosesNothing(t *testing.T) {
	for _, size := range sizes {
		ctx := t.Context()
		s := create(t, open(t), "a", pads(size)...)
		const workers, each = 4, 300
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				var now []byte
				for range each {
					for {
						next := number(1)
						if now != nil {
							next = number(decode(now) + 1)
						}
						current, err := store.Commit(ctx, s,
							[]store.Entry{{Key: "n", Value: now}}, []store.Entry{{Key: "n", Value: next}})
						if err == nil {
							now = next
							break
						}
						if !errors.Is(err, store.ErrConflict) {
							t.Errorf("Commit: %v", err)
							return
						}
						now = current[0]
					}
				}
			})
		}
		wg.Wait()
		got, err := s.Get(ctx, "n")
		if err != nil || decode(got) != workers*each {
			t.Errorf("with %d further keys: Get = %x, %v, want %d", size, got, err, workers*each)
		}
	}
}

// While lives follow one another, a handle of an earlier life sees only what was
// written before its life ended, and writes nothing later.
func TestLivesStayApart(t *testing.T) {
	for _, size := range sizes {
		t.Run(fmt.Sprintf("pads=%d", size), func(t *testing.T) {
			ctx := t.Context()
			b := open(t)
			s := create(t, b, "a", append(pads(size), store.Entry{Key: "life", Value: number(0)})...)
			var wg sync.WaitGroup
			for n := range uint64(150) {
				ended := make(chan struct{})
				old := s
				wg.Go(func() { // reads and writes through the life until that ends
					for {
						v, err := old.Get(ctx, "life")
						if err == nil && decode(v) != n && decode(v) != n-1 {
							t.Errorf("life %d reads the value of life %d", n, decode(v))
						}
						errSet := old.Set(ctx, "scratch", number(n))
						if errors.Is(err, store.ErrDestroyed) {
							wantErr(t, "Set after Get said that the session has ended", errSet, store.ErrDestroyed)
							return
						}
						select {
						case <-ended:
							if err == nil {
								_, err = old.Get(ctx, "life")
								wantErr(t, "Get after Resume", err, store.ErrDestroyed)
							}
						default:
						}
					}
				})
				next, err := b.Resume(ctx, "a", terms)
				if err != nil {
					t.Fatalf("Resume: %v", err)
				}
				close(ended)
				scratch, err := next.Get(ctx, "scratch")
				wantErr(t, "Set", next.Set(ctx, "life", number(n+1)), nil)
				again, errAgain := next.Get(ctx, "scratch")
				if string(scratch) != string(again) || !errors.Is(errAgain, err) && err != errAgain {
					t.Errorf("a write of life %d reached the next: %x, then %x", n, scratch, again)
				}
				s = next
			}
			wantErr(t, "Destroy", s.Destroy(ctx), nil)
			wg.Wait()
		})
	}
}

// Everything at once, under the race detector; afterwards nothing is held.
func TestEverythingAtOnce(t *testing.T) {
	ctx := context.Background()
	b := open(t)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			short := store.Terms{Lease: time.Millisecond, MaxKeys: 40}
			for i := range 2000 {
				id := fmt.Sprint((i + worker) % 5)
				s, err := b.Create(ctx, id, pads(i%30), short)
				if errors.Is(err, store.ErrExists) {
					if i%2 == 0 {
						s, err = b.Attach(ctx, id, short)
					} else {
						s, err = b.Resume(ctx, id, short)
					}
				}
				if err != nil {
					wantErr(t, "opening", err, store.ErrNoSession)
					continue
				}
				key := fmt.Sprintf("pad%d", i%35)
				_ = s.Set(ctx, key, number(1)) // each of these may find the session ended
				_, _ = s.Get(ctx, key)
				_, _ = s.Has(ctx, key)
				_ = s.Delete(ctx, key)
				_, _ = store.Keys(ctx, s)
				_, _ = store.Commit(ctx, s, []store.Entry{{Key: key}}, pads(2+i%3))
				b.Renew(ctx, []store.Store{s}, time.Duration(i%3)*time.Millisecond)
				if i%7 == 0 {
					_ = b.Suspend(ctx, s, time.Millisecond)
				}
				if i%3 == 0 {
					_ = s.Destroy(ctx)
					_, err := s.Get(ctx, key)
					wantErr(t, "Get after Destroy", err, store.ErrDestroyed)
				}
			}
		})
	}
	wg.Wait()
	for id := range 5 {
		if s, err := b.Attach(ctx, fmt.Sprint(id), terms); err == nil {
			_ = s.Destroy(ctx) // wantHeld looks
		}
	}
	wantHeld(t, b, 0)
}
