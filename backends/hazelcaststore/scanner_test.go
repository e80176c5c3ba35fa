package hazelcaststore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/keyspace"
)

// sortedKeys are the keys of a map, in their order.
type sortedKeys struct {
	names   []string
	counted int
}

func (k *sortedKeys) in(r keyRange) []string {
	first, after := r.bounds()
	from, _ := slices.BinarySearch(k.names, first)
	to := len(k.names)
	if after != "" {
		to, _ = slices.BinarySearch(k.names, after)
	}
	return k.names[from:max(from, to)]
}

func (k *sortedKeys) count(_ context.Context, r keyRange) (int64, error) {
	k.counted++
	return int64(len(k.in(r))), nil
}

func (k *sortedKeys) keysIn(_ context.Context, r keyRange) (ids []string, err error) {
	for _, name := range k.in(r) {
		id, ok := keyspace.Unescape(name)
		if !ok {
			return nil, fmt.Errorf("%q is no name", name)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// Pages name each key once, in its order, and none has more than it may.
func TestPagesOfKeys(t *testing.T) {
	for name, ids := range map[string]func(i int) string{
		"new IDs":        func(int) string { return store.NewID() },
		"numbers":        func(i int) string { return fmt.Sprint("user-", i) },
		"long beginning": func(i int) string { return strings.Repeat("x", 200) + fmt.Sprint(i) },
		"prefixes":       func(i int) string { return strings.Repeat("a", i%500+1) },
		"escapes":        func(i int) string { return strings.Repeat("%", i%100) + strings.Repeat(":", 1+i%60) + fmt.Sprint(i%3) },
		"bytes":          func(i int) string { return string([]byte{byte(rand.N(256)), byte(rand.N(256))}) },
	} {
		t.Run(name, func(t *testing.T) {
			k := new(sortedKeys)
			for i := range 3000 {
				k.names = append(k.names, keyspace.Escape(ids(i)))
			}
			slices.Sort(k.names)
			k.names = slices.Compact(k.names)
			var got []string
			pages := 0
			for cursor, more := "", true; more; more = cursor != "" {
				at := keyRange{to: len(keyBytes)}
				if cursor != "" {
					var ok bool
					if at, ok = parseRange(cursor); !ok {
						t.Fatalf("the cursor %q is refused", cursor)
					}
				}
				page, next, err := pageFrom(t.Context(), k, at, 50)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) > 50 {
					t.Errorf("a page has %d IDs, want 50 at most", len(page))
				}
				for _, id := range page {
					got = append(got, keyspace.Escape(id))
				}
				cursor, pages = next, pages+1
			}
			if diff := cmp.Diff(k.names, got); diff != "" {
				t.Errorf("the pages differ from the keys (-want +got):\n%.2000s", diff)
			}
			t.Logf("%d keys on %d pages, counted %d times", len(k.names), pages, k.counted)
		})
	}
}

func TestScanRefusesCursors(t *testing.T) {
	for _, cursor := range []string{"/", "//", "A", "A/1", "A/0/5", "A/5/5", "A/5/4", "A/1/67", "A/-1/5", "A:/1/5", "A/1/5/6", "é/1/2", strings.Repeat("A", 2000) + "/1/2", "A/x/2", "A/1/"} {
		if r, ok := parseRange(cursor); ok {
			t.Errorf("parseRange(%.20q) = %+v, true, want a refusal", cursor, r)
		}
	}
}

// The members count and send what a range says.
func TestScanByRanges(t *testing.T) {
	b := open(t, dial(t, cluster(t, 1)), namespace())
	var ids []string
	for i := range 150 {
		ids = append(ids, store.NewID(), fmt.Sprint("user:", i))
	}
	for i := range 20 {
		ids = append(ids, strings.Repeat("%", i+1))
	}
	for _, id := range ids {
		if _, err := b.Create(t.Context(), id, nil, store.Terms{Lease: time.Minute}); err != nil {
			t.Fatal(err)
		}
	}
	b.PutEntries(t.Context(), []store.IndexEntry{{Index: "list", Member: "m"}}, time.Minute)
	var got []string
	for cursor, more := (keyRange{to: len(keyBytes)}).String(), true; more; more = cursor != "" {
		at, ok := parseRange(cursor)
		if !ok {
			at = keyRange{to: len(keyBytes)}
		}
		page, next, err := pageFrom(t.Context(), b, at, 40)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page...)
		cursor = next
	}
	slices.Sort(ids)
	slices.Sort(got)
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Errorf("Scan() differs from what lives (-want +got):\n%.2000s", diff)
	}
}
