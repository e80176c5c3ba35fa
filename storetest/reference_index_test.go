package storetest_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sessionkv/store"
)

var errBadEntry = errors.New("reference: no such list or member")

func goodEntry(e store.IndexEntry) bool {
	return goodList(e.Index) && e.Member != "" && len(e.Member) <= 1024
}

func goodList(list string) bool {
	return list != "" && len(list) <= 64 && strings.Trim(list, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == ""
}

// PutEntries keeps the members of all lists in one slice for each list.
func (b *reference) PutEntries(ctx context.Context, entries []store.IndexEntry, ttl time.Duration) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := make([]error, len(entries))
	failed := false
	for i, e := range entries {
		errs[i] = b.putEntry(ctx, e, ttl)
		failed = failed || errs[i] != nil
	}
	if !failed {
		return nil
	}
	return errs
}

func (b *reference) putEntry(ctx context.Context, e store.IndexEntry, ttl time.Duration) error {
	if err := b.open(ctx); err != nil && !b.has("entries are put after all") {
		return err
	}
	if (!goodEntry(e) || ttl <= 0) && !b.has("bad entries are accepted") {
		return errBadEntry
	}
	switch b.bug {
	case "entries last twice as long":
		ttl *= 2
	case "entries last half as long":
		ttl /= 2
	case "entries never end":
		ttl = 1000 * time.Hour
	case "members are text":
		e.Member = strings.ToValidUTF8(e.Member, "\ufffd")
	case "members end at NUL":
		e.Member, _, _ = strings.Cut(e.Member, "\x00")
	case "lists ignore case":
		e.Index = strings.ToLower(e.Index)
	case "all lists are one":
		e.Index = "one"
	}
	if b.lists == nil {
		b.lists = make(map[string][]refMember)
	}
	list := b.lists[e.Index]
	until := time.Now().Add(ttl)
	i := slices.IndexFunc(list, func(m refMember) bool { return m.name == e.Member })
	switch {
	case i < 0:
		list = append(list, refMember{e.Member, until})
	case b.has("PutEntries shortens"), until.After(list[i].until) && !b.has("PutEntries lengthens nothing"):
		list[i].until = until
	}
	b.lists[e.Index] = list
	return nil
}

type refMember struct {
	name  string
	until time.Time
}

func (b *reference) RemoveEntries(ctx context.Context, entries []store.IndexEntry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.open(ctx); err != nil {
		return err
	}
	for _, e := range entries {
		list := b.lists[e.Index]
		switch b.bug {
		case "RemoveEntries removes nothing":
			continue
		case "RemoveEntries removes by prefix":
			list = slices.DeleteFunc(list, func(m refMember) bool { return strings.HasPrefix(m.name, e.Member) })
		default:
			if i := slices.IndexFunc(list, func(m refMember) bool { return m.name == e.Member }); i >= 0 {
				list = slices.Delete(list, i, i+1)
			} else if b.has("RemoveEntries of the absent fails") {
				return errBadEntry
			}
		}
		b.lists[e.Index] = list
	}
	return nil
}

func (b *reference) Entries(ctx context.Context, index, cursor string) (members []string, next string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.open(ctx); err != nil {
		return nil, "", err
	}
	switch b.bug {
	case "lists ignore case":
		index = strings.ToLower(index)
	case "all lists are one":
		index = "one"
	}
	const page = 100
	list := b.lists[index]
	if b.has("Entries returns 1000 at most") {
		list = list[:min(len(list), 1000)]
	}
	// In the order of the members, after the one that cursor says: nothing moves.
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b refMember) int { return strings.Compare(a.name, b.name) })
	from := 0
	if b.has("Entries counts instead of remembering where it was") {
		sorted = list
		from, _ = strconv.Atoi(cursor)
	} else if cursor != "" {
		from, _ = slices.BinarySearchFunc(sorted, cursor, func(m refMember, c string) int { return strings.Compare(m.name, c) })
	}
	from = min(from, len(sorted))
	to := min(from+page, len(sorted))
	if b.has("Entries returns everything at once") {
		to = len(sorted)
	}
	for _, m := range sorted[from:to] {
		if time.Now().Before(m.until) {
			members = append(members, m.name)
		}
	}
	if to < len(sorted) {
		next = sorted[to].name
		if b.has("Entries counts instead of remembering where it was") {
			next = strconv.Itoa(to)
		}
	}
	return members, next, nil
}

// meets reports whether the session of raw has the values.
func (b *reference) meets(raw store.Store, expect []store.Entry) error {
	s, ok := raw.(*refStore)
	if !ok || s.b != b {
		return nil // which Renew and Suspend refuse
	}
	l := s.life()
	if l == nil {
		return nil
	}
	for _, e := range expect {
		now, there := l.values[b.keyName(e.Key)]
		switch {
		case b.has("conditions ignore absence") && e.Value == nil:
		case b.has("conditions take empty for absent") && len(now) == 0 && len(e.Value) == 0:
		case b.has("conditions compare lengths") && len(now) == len(e.Value):
		case there != (e.Value != nil), string(now) != string(e.Value):
			return store.ErrConflict
		}
	}
	return nil
}

func (b *reference) RenewIf(ctx context.Context, sessions []store.Store, expect [][]store.Entry, lease time.Duration) []error {
	if b.has("RenewIf expects nothing") {
		return b.Renew(ctx, sessions, lease)
	}
	errs := make([]error, len(sessions))
	failed := false
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, s := range sessions {
		if i >= 128 && b.has("RenewIf reaches 128 sessions only") {
			break
		}
		errs[i] = b.open(ctx)
		if errs[i] == nil {
			errs[i] = b.meets(s, expect[i])
		}
		switch {
		case errs[i] == nil && b.has("RenewIf shortens"):
			if l := s.(*refStore).life(); l != nil {
				l.until = time.Now().Add(lease)
				continue
			}
			errs[i] = store.ErrDestroyed
		case errs[i] == nil || b.has("a refused RenewIf renews"):
			if err := b.renew(ctx, s, lease, 1); errs[i] == nil {
				errs[i] = err
			}
		}
		failed = failed || errs[i] != nil
	}
	if failed && b.has("one refused RenewIf refuses all") {
		for i := range errs {
			errs[i] = store.ErrConflict
		}
	}
	if !failed {
		return nil
	}
	return errs
}

func (b *reference) SuspendIf(ctx context.Context, session store.Store, expect []store.Entry, grace time.Duration) error {
	b.mu.Lock()
	err := b.open(ctx)
	if err == nil && !b.has("SuspendIf expects nothing") {
		err = b.meets(session, expect)
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	return b.Suspend(ctx, session, grace)
}

func (b *reference) TimeLeft(ctx context.Context, session store.Store) (time.Duration, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.open(ctx); err != nil {
		return 0, err
	}
	s, ok := session.(*refStore)
	if !ok || s.b != b {
		return 0, errForeign
	}
	l := s.life()
	if l == nil {
		return 0, store.ErrDestroyed
	}
	if b.has("TimeLeft says half") {
		return time.Until(l.until) / 2, nil
	}
	return time.Until(l.until), nil
}
