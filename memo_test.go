package store

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sessionkv/store/codec"
)

// The memo is tested from within, because from without it is only faster.

type memoInner struct {
	Tags []string
	N    *int
}

type memoShared struct {
	Roles  []string
	Bytes  []byte
	Counts []int32
	Limits map[string]string
	By     map[int]memoInner
	Inner  []memoInner
	Next   *memoInner
	Pair   [2][]int
	At     time.Time
}

func newMemoShared() memoShared {
	n := 7
	return memoShared{
		Roles: []string{"a", "b"}, Bytes: []byte("xyz"), Counts: []int32{1, 2, 3}, Limits: map[string]string{"k": "v"},
		By: map[int]memoInner{1: {[]string{"t"}, &n}}, Inner: []memoInner{{[]string{"i"}, nil}}, Next: &memoInner{[]string{"n"}, &n},
		Pair: [2][]int{{1}, {2}}, At: time.Unix(1767225600, 0),
	}
}

// spoil changes everything that v shares with its copies.
func (v *memoShared) spoil() {
	v.Roles[0], v.Bytes[0], v.Counts[0] = "spoiled", 0, -1
	_ = append(v.Roles[:1], "spoiled")
	v.Limits["k"], v.Limits["more"] = "spoiled", "x"
	*v.By[1].N = -1
	v.By[1].Tags[0] = "spoiled"
	v.By[2] = memoInner{}
	v.Inner[0].Tags[0] = "spoiled"
	v.Next.Tags[0], *v.Next.N = "spoiled", -1
	v.Pair[1][0] = -1
}

// handle returns a session handle without a backend, for what needs none.
func handle() *Session { return new(Session) }

// rememberAgain does what follows the decoding of a value.
func rememberAgain[T any](s *Session, key string, raw []byte, v T) {
	if s.again(raw) {
		remember(s, key, codec.Msgpack, raw, v)
	}
}

func TestNobodySeesTheChangesOfAnother(t *testing.T) {
	want := newMemoShared()
	raw, err := codec.Append(codec.Msgpack, nil, &want)
	if err != nil {
		t.Fatal(err)
	}
	s := handle()
	for range 2 {
		v := newMemoShared()
		rememberAgain(s, "k", raw, v)
		v.spoil()
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				var got memoShared
				if !remembered(s, codec.Msgpack, raw, &got) {
					t.Error("a value that was decoded twice is not remembered")
					return
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("the remembered value was changed by another (-want +got):\n%s", diff)
					return
				}
				got.spoil()
			}
		})
	}
	wg.Wait()
}

func TestTheMemoIsSizedToNeed(t *testing.T) {
	s := handle()
	raws := make([][]byte, 2*memoSize)
	for i := range raws {
		raws[i] = []byte(fmt.Sprint("raw ", i))
	}
	rememberAgain(s, "0", raws[0], [1]int{0})
	if m := s.memo.Load(); m != nil {
		t.Errorf("after one read the memo holds %d values, want none", len(*m))
	}
	for i, raw := range raws {
		for range 2 {
			rememberAgain(s, fmt.Sprint(i), raw, [1]int{i})
		}
		if m := *s.memo.Load(); len(m) != min(i+1, memoSize) || cap(m) != len(m) {
			t.Fatalf("after %d values the memo has %d of %d, want as many as needed", i+1, len(m), cap(m))
		}
	}
	for i := range raws {
		s.forget(fmt.Sprint(i))
	}
	if m := s.memo.Load(); m != nil {
		t.Errorf("after all values were forgotten the memo holds %d, want no memo", len(*m))
	}
}

func TestCopiersKnowWhatTheyCannotCopy(t *testing.T) {
	type list struct{ Next *list }
	for typ, want := range map[reflect.Type]bool{
		reflect.TypeFor[memoShared]():                       true,
		reflect.TypeFor[[]string]():                         true,
		reflect.TypeFor[[3]int]():                           true,
		reflect.TypeFor[any]():                              false,
		reflect.TypeFor[map[string]any]():                   false,
		reflect.TypeFor[struct{ F func() }]():               false,
		reflect.TypeFor[struct{ E error }]():                false,
		reflect.TypeFor[list]():                             false,
		reflect.TypeFor[struct{ unexported *int }]():        false,
		reflect.TypeFor[map[struct{ P *int }]string]():      false,
		reflect.TypeFor[[]struct{ S [9][]int }]():           false,
		reflect.TypeFor[map[[2]string]map[string][]int8]():  true,
		reflect.TypeFor[struct{ M map[string]chan int }]():  false,
		reflect.TypeFor[struct{ M map[string]***string }](): true,
	} {
		if got := copierOf(typ) != nil; got != want {
			t.Errorf("copierOf(%v) finds a way: %t, want %t", typ, got, want)
		}
	}
}

func TestTheMemoKeepsTypesApart(t *testing.T) {
	s := handle()
	raw, later := []byte("raw"), []byte("later")
	remember(s, "k", codec.Msgpack, raw, [1]int{1})
	remember(s, "k", codec.Msgpack, raw, [1]string{"1"})
	remember(s, "k", codec.JSON, raw, [1]int{2})
	var number, other [1]int
	var text [1]string
	if !remembered(s, codec.Msgpack, raw, &number) || !remembered(s, codec.Msgpack, raw, &text) || !remembered(s, codec.JSON, raw, &other) {
		t.Fatal("of two types and two codecs under one key not all are remembered")
	}
	if number[0] != 1 || text[0] != "1" || other[0] != 2 {
		t.Errorf("remembered %v, %v and %v, want 1, 1 and 2", number, text, other)
	}
	remember(s, "k", codec.Msgpack, later, [1]int{3})
	if n := Remembered(s); n != 1 {
		t.Errorf("after the key was written and read the memo holds %d values, want that one", n)
	}
}

func TestMarksOfNeighboursDiffer(t *testing.T) {
	const start, count = 0xc0100000, 256
	for size := uintptr(8); size <= 2048; size += 8 {
		same := 0
		for i := range uintptr(count) {
			for back := uintptr(1); back <= memoSize; back++ {
				if markOf(start+i*size) == markOf(start+(i+back)*size) {
					same++
				}
			}
		}
		// One in 255 is to be expected.
		if same > count*memoSize/32 {
			t.Errorf("of slices %d bytes apart %d of %d neighbours have the same mark", size, same, count*memoSize)
		}
	}
}

// TestForgottenWhileTheMemoGrows: what Delete dropped does not come back in the longer memo that takes the place of the
// one it was dropped from.
func TestForgottenWhileTheMemoGrows(t *testing.T) {
	for range 2000 {
		s := handle()
		remember(s, "k", codec.Msgpack, []byte("raw"), [1]int{1})
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() { remember(s, fmt.Sprint(i), codec.Msgpack, fmt.Append(nil, i), [1]int{i}) })
		}
		wg.Go(func() { s.forget("k") })
		wg.Wait()
		if m := s.memo.Load(); m != nil {
			for i := range *m {
				if e := (*m)[i].Load(); e != nil && e.key == "k" {
					t.Fatal("a value that was forgotten is in the memo")
				}
			}
		}
	}
}

// TestReluctance: a session whose values are replaced before they were handed out often enough hardly remembers any more,
// until they are.
func TestReluctance(t *testing.T) {
	s := handle()
	var raws [][]byte // so that no address comes again
	// round writes a value and reads it so many times. It reports whether it is remembered then.
	round := func(reads int) bool {
		raw := fmt.Append(make([]byte, 0, 64), "raw ", len(raws))
		raws = append(raws, raw)
		found := false
		for range reads {
			var v [1]int
			if found = remembered(s, codec.Msgpack, raw, &v); !found {
				rememberAgain(s, "k", raw, [1]int{7})
			}
		}
		return found
	}
	count := func(reads int) (n int) {
		for range 64 {
			if round(reads); Remembered(s) > 0 {
				if e := (*s.memo.Load())[0].Load(); e.raw == &raws[len(raws)-1][0] {
					n++
				}
			}
		}
		return n
	}
	count(2)
	if n := count(2); n > 4 {
		t.Errorf("of 64 values that were read twice each, %d are remembered, want a few", n)
	}
	if !round(40) {
		t.Error("a value that was read 40 times is not remembered")
	}
	for range 16 {
		round(40)
	}
	if n := count(5); n < 60 {
		t.Errorf("of 64 values that were read five times each, %d are remembered, want nearly all", n)
	}
}
