package backends

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store"
)

// A placed is a Store with the backend that handed it out. It has the abilities that the Store has.
type placed struct {
	store.Store
	m       *Migration
	at      *place
	id      string      // of a session at the old backend
	unswept atomic.Bool // it was destroyed, and a copy may be left
}

var (
	_ store.ManyGetter           = (*placed)(nil)
	_ store.Committer            = (*placed)(nil)
	_ store.KeyLister            = (*placed)(nil)
	_ store.ConditionalDestroyer = (*placed)(nil)
	_ store.StableReader         = (*placed)(nil)
)

// handOut returns what callers get for a Store of one of the backends.
func (m *Migration) handOut(at *place, id string, s store.Store, err error) (store.Store, error) {
	if err != nil {
		return nil, err
	}
	h := &placed{Store: s, m: m, at: at}
	if at == &m.old {
		h.id = id
	}
	return h, nil
}

var errForeign = fmt.Errorf("%w; renew and suspend it through its own", store.ErrForeignStore)

// own returns what m handed out.
func (m *Migration) own(s store.Store) (*placed, error) {
	if !m.made() {
		return nil, errNotMigrate
	}
	h, ok := s.(*placed)
	if !ok || h == nil || h.m != m {
		return nil, errForeign
	}
	return h, nil
}

// split calls f once for the sessions of each place, with the Stores beneath and their places in sessions. It returns nil, or
// an error or nil for each session.
func (m *Migration) split(ctx context.Context, sessions []store.Store, f func(p *place, part []store.Store, which []int) []error) []error {
	var errs []error
	fail := func(i int, err error) {
		if err == nil {
			return
		}
		if errs == nil {
			errs = make([]error, len(sessions))
		}
		errs[i] = err
	}
	type part struct {
		stores []store.Store
		which  []int
	}
	var older, newer part
	for i, s := range sessions {
		h, err := m.own(s)
		if err != nil {
			fail(i, err)
			continue
		}
		p := &newer
		if h.at == &m.old {
			p = &older
		}
		p.stores = append(p.stores, h.Store)
		p.which = append(p.which, i)
	}
	if !m.made() {
		return errs
	}
	unusable := m.usable(ctx)
	for _, c := range []struct {
		at *place
		part
	}{{&m.old, older}, {&m.new, newer}} {
		if len(c.stores) == 0 {
			continue
		}
		var answers []error
		if unusable == nil {
			answers = f(c.at, c.stores, c.which)
		}
		for n, i := range c.which {
			if unusable != nil {
				fail(i, unusable)
			} else {
				fail(i, errorAt(answers, n))
			}
		}
	}
	return errs
}

// errorAt returns the error of one of several things, where nil means no errors at all.
func errorAt(errs []error, i int) error {
	if i < len(errs) {
		return errs[i]
	}
	return nil
}

// open returns nil, or ErrClosed.
func (h *placed) open() error {
	if h.m.closed.Load() {
		return store.ErrClosed
	}
	return nil
}

func (h *placed) Get(ctx context.Context, key string) ([]byte, error) {
	if err := h.open(); err != nil {
		return nil, err
	}
	return h.Store.Get(ctx, key)
}

// GetCurrent is Get that asks the server.
func (h *placed) GetCurrent(ctx context.Context, key string) ([]byte, error) {
	if err := h.open(); err != nil {
		return nil, err
	}
	return current(ctx, h.Store, key)
}

func (h *placed) Set(ctx context.Context, key string, value []byte) error {
	if err := h.open(); err != nil {
		return err
	}
	return h.Store.Set(ctx, key, value)
}

func (h *placed) Has(ctx context.Context, key string) (bool, error) {
	if err := h.open(); err != nil {
		return false, err
	}
	return h.Store.Has(ctx, key)
}

func (h *placed) Delete(ctx context.Context, key string) error {
	if err := h.open(); err != nil {
		return err
	}
	return h.Store.Delete(ctx, key)
}

func (h *placed) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if err := h.open(); err != nil {
		return nil, err
	}
	return store.GetMany(ctx, h.Store, keys)
}

func (h *placed) Commit(ctx context.Context, expect, write []store.Entry) ([][]byte, error) {
	if err := h.open(); err != nil {
		return nil, err
	}
	return store.Commit(ctx, h.Store, expect, write)
}

func (h *placed) CommitTimed(ctx context.Context, expect, write []store.Entry) ([][]byte, time.Duration, error) {
	if err := h.open(); err != nil {
		return nil, 0, err
	}
	return store.CommitTimed(ctx, h.Store, expect, write)
}

func (h *placed) Keys(ctx context.Context) ([]string, error) {
	if err := h.open(); err != nil {
		return nil, err
	}
	return store.Keys(ctx, h.Store)
}

func (h *placed) StableReads() bool { return store.StableReads(h.Store) }

// Destroy ends the session, and at the old backend then the copy that a mover has made or left. The
// copy is not touched when this life has ended before: it may be on its way to be the session.
func (h *placed) Destroy(ctx context.Context) error {
	if err := h.open(); err != nil {
		return err
	}
	if h.at == &h.m.new {
		return h.Store.Destroy(ctx)
	}
	if !h.unswept.Load() {
		err := errorAt(h.at.Renew(ctx, []store.Store{h.Store}, 0), 0)
		if errors.Is(err, store.ErrDestroyed) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if err := h.Store.Destroy(ctx); err != nil {
		return err
	}
	return h.sweep(ctx)
}

// DestroyIf is Destroy on a condition.
func (h *placed) DestroyIf(ctx context.Context, values []store.Entry) error {
	if err := h.open(); err != nil {
		return err
	}
	err := store.DestroyIf(ctx, h.Store, values)
	if err == nil && h.at == &h.m.old {
		cleaning, cancel := cleanup(ctx)
		defer cancel()
		_ = h.sweep(cleaning) // what it cannot remove ends with its lease; the session has ended
	}
	return err
}

// sweep removes what a mover has made of a session that was destroyed at the old backend.
func (h *placed) sweep(ctx context.Context) error {
	h.unswept.Store(true)
	c, mark, err := h.m.look(ctx, h.id, store.Terms{Lease: time.Minute})
	if err == nil && mark != nil {
		err = kill(ctx, c, mark)
	}
	if err != nil {
		return fmt.Errorf("the session is destroyed, but a copy of it may be left at the new backend; destroy it again: %w", err)
	}
	h.unswept.Store(false)
	return nil
}

// String keeps sessions out of what is printed.
func (h *placed) String() string { return "backends.Store(ID withheld)" }

// GoString does the same for %#v.
func (h *placed) GoString() string { return h.String() }

// LogValue does the same for logs.
func (h *placed) LogValue() slog.Value { return slog.StringValue(h.String()) }

// String keeps sessions out of what is printed.
func (m *Migration) String() string { return "backends.Migration" }

// GoString does the same for %#v.
func (m *Migration) GoString() string { return m.String() }

// LogValue does the same for logs.
func (m *Migration) LogValue() slog.Value { return slog.StringValue(m.String()) }
