package memstore_test

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"unsafe"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/internal/heap"
)

// Sessions that lose most of their keys give the memory back, one key at a time,
// in one Commit, and across Resume.
func TestTablesShrink(t *testing.T) {
	const sessions, most = 40, 1000
	ctx := t.Context()
	key := func(i int) string { return fmt.Sprint("key", i) }
	ways := map[string]func(s store.Store) error{
		"Delete": func(s store.Store) error {
			for i := 2; i < most; i++ {
				if err := s.Delete(ctx, key(i)); err != nil {
					return err
				}
			}
			return nil
		},
		"Commit": func(s store.Store) error {
			var gone []store.Entry
			for i := 2; i < most; i++ {
				gone = append(gone, store.Entry{Key: key(i)})
			}
			_, err := store.Commit(ctx, s, nil, gone)
			return err
		},
	}
	for name, remove := range ways {
		t.Run(name, func(t *testing.T) {
			b := open(t)
			before := heap.Live()
			var all []store.Store
			for n := range sessions {
				s := create(t, b, fmt.Sprint(n))
				for i := range most {
					if err := s.Set(ctx, key(i), []byte("v")); err != nil {
						t.Fatal(err)
					}
				}
				all = append(all, s)
			}
			peak := heap.Live() - before
			for n, s := range all {
				if err := remove(s); err != nil {
					t.Fatalf("%s = %v, want nil", name, err)
				}
				if n%2 == 0 {
					next, err := b.Resume(ctx, fmt.Sprint(n), terms)
					if err != nil {
						t.Fatal(err)
					}
					all[n] = next
				}
			}
			if after := max(heap.Live(), before) - before; after > peak/4 {
				t.Errorf("%d sessions take %d KiB after %s of all keys but two, %d KiB at most before; want less than a quarter", sessions, after>>10, name, peak>>10)
			}
			for _, s := range all {
				wantValue(t, s, key(0), "v")
				wantValue(t, s, key(1), "v")
				_, err := s.Get(ctx, key(2))
				wantErr(t, "Get of a removed key", err, store.ErrNotFound)
				if keys, err := store.Keys(ctx, s); len(keys) != 2 || err != nil {
					t.Fatalf("Keys() = %q, %v, want two", keys, err)
				}
			}
			runtime.KeepAlive(b)
		})
	}
}

// Readers see every write while the table under them grows and shrinks.
func TestReadersWhileTablesChange(t *testing.T) {
	ctx := t.Context()
	s := create(t, open(t), "a", store.Entry{Key: "k", Value: []byte("0")})
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			last := 0
			for {
				select {
				case <-done:
					return
				default:
				}
				b, err := s.Get(ctx, "k")
				n, _ := strconv.Atoi(string(b))
				if err != nil || n < last {
					t.Errorf("Get(k) = %q, %v, want a number from %d on", b, err, last)
					return
				}
				last = n
			}
		})
	}
	n := 0
	for range 30 {
		for i := range 200 {
			n++
			wantErr(t, "Set", s.Set(ctx, fmt.Sprint("x", i), []byte("v")), nil)
			wantErr(t, "Set", s.Set(ctx, "k", strconv.AppendInt(nil, int64(n), 10)), nil)
		}
		for i := range 200 {
			n++
			wantErr(t, "Delete", s.Delete(ctx, fmt.Sprint("x", i)), nil)
			wantErr(t, "Set", s.Set(ctx, "k", strconv.AppendInt(nil, int64(n), 10)), nil)
			wantValue(t, s, "k", strconv.Itoa(n))
		}
	}
	close(done)
	wg.Wait()
}

// A program that invents keys does not cost the sessions that use a few a copy
// of each.
func TestInventedKeysDoNotTakeThePlaceOfOthers(t *testing.T) {
	ctx := t.Context()
	b := open(t)
	invent := create(t, b, "inventor")
	fill := func(round int) {
		for i := range 10_000 {
			key := fmt.Sprintf("room:%d:%d", round, i)
			wantErr(t, "Set", invent.Set(ctx, key, []byte("v")), nil)
			wantErr(t, "Delete", invent.Delete(ctx, key), nil)
		}
	}
	fill(0)
	usual := []string{"logins", "tenant", "userId"}
	const sessions = 1000
	copies := map[*byte]bool{}
	for n := range sessions {
		if n%100 == 0 {
			fill(n + 1)
		}
		var initial []store.Entry
		for _, key := range usual {
			initial = append(initial, store.Entry{Key: key, Value: []byte("v")})
		}
		keys, err := store.Keys(ctx, create(t, b, fmt.Sprint(n), initial...))
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			copies[unsafe.StringData(key)] = true
		}
	}
	if most := sessions / 10; len(copies) > most {
		t.Errorf("%d sessions hold %d copies of three keys, want at most %d", sessions, len(copies), most)
	}
}

// Nor do keys that share their set drive out each other, whatever the seed: two are asked for in turn, among invented ones.
func TestKeysOfOneSetAreKept(t *testing.T) {
	for range 50 {
		n := memstore.NewNames()
		usual := n.OfOneSet("logins", 2)
		copies := map[*byte]bool{}
		for i := range 1000 {
			if i%100 == 0 {
				for k := range 2000 {
					n.Keep(fmt.Sprintf("room:%d:%d", i, k))
				}
			}
			for _, key := range usual {
				copies[unsafe.StringData(n.Keep(key))] = true
			}
		}
		if most := 100; len(copies) > most {
			t.Fatalf("1000 sessions hold %d copies of two keys of one set, want at most %d", len(copies), most)
		}
	}
}

func TestNamespaceIsChecked(t *testing.T) {
	ctx := t.Context()
	for _, ns := range []string{"a:b", "a b", "ü", string(make([]byte, 65))} {
		b := memstore.New(&memstore.Options{Namespace: ns})
		defer b.Close()
		if _, err := b.Create(ctx, "a", nil, terms); err == nil {
			t.Errorf("Create() with Namespace %q = nil, want an error", ns)
		}
		if _, err := b.Attach(ctx, "a", terms); err == nil {
			t.Errorf("Attach() with Namespace %q = nil, want an error", ns)
		}
	}
	for ns, want := range map[string]string{"": "store", "chat.v2_x-1": "chat.v2_x-1"} {
		b := memstore.New(&memstore.Options{Namespace: ns})
		defer b.Close()
		if got := b.Namespace(); got != want {
			t.Errorf("New(Namespace %q).Namespace() = %q, want %q", ns, got, want)
		}
		create(t, b, "a")
	}
}
