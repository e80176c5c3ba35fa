package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
)

// open opens the store that the flags or the environment name.
func (c *call) open(ctx context.Context, logger *slog.Logger) error {
	address := cmp.Or(c.url, os.Getenv("STORE_URL"))
	if address == "" {
		return wrongf("%s: no store is named; set STORE_URL, such as redis://localhost:6379/0?namespace=chat, or give -url", c.name)
	}
	scheme, _, _ := strings.Cut(address, ":")
	if scheme == "memory" && c.name != "check" {
		return wrongf("%s: a memory store lies within its process, and cannot be looked at from another one", c.name)
	}
	b, err := backends.OpenWith(ctx, address, &backends.Options{Logger: logger})
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, backends.ErrURL) {
			return wrongf("%s: %s", c.name, strings.TrimPrefix(err.Error(), "backends: "))
		}
		return err
	}
	c.store, c.scheme = b, strings.ToLower(scheme)
	return nil
}

func (c *call) close() error {
	if c.store == nil {
		return nil
	}
	return c.store.Close()
}

// A session is what a look at one has found.
type session struct {
	id    string
	raw   store.Store
	left  time.Duration
	known bool // left is
}

// lookLease is never used: no session is begun or renewed with it.
const lookLease = time.Minute

// look attaches to a session. It returns nil where none lives.
func (c *call) look(ctx context.Context, id string) (*session, error) {
	for range 5 {
		raw, err := c.store.Attach(ctx, id, store.Terms{Lease: lookLease})
		if errors.Is(err, store.ErrNoSession) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		s := &session{id: id, raw: raw}
		indexer, err := store.AsIndexer(c.store)
		if err != nil {
			return s, nil
		}
		s.left, err = indexer.TimeLeft(ctx, raw)
		if err == nil {
			s.known = true
			return s, nil
		}
		if !errors.Is(err, store.ErrDestroyed) { // which it is also when another node has resumed it
			return nil, err
		}
	}
	return nil, nil
}

// leftMillis returns the time left for JSON, nil where it is not known.
func (s *session) leftMillis() *int64 {
	if !s.known {
		return nil
	}
	ms := s.left.Milliseconds()
	return &ms
}

func (s *session) leftText() string {
	if !s.known {
		return "?"
	}
	return short(s.left)
}

// values returns all keys of a session with their values, those of one instant. It returns nil, nil where the session
// has ended.
func (c *call) values(ctx context.Context, s *session) ([]store.Entry, error) {
	for range 5 {
		entries, err := valuesOf(ctx, s.raw)
		if !errors.Is(err, store.ErrDestroyed) {
			return entries, err
		}
		again, err := c.look(ctx, s.id)
		if again == nil || err != nil {
			return nil, err
		}
		*s = *again
	}
	return nil, errors.New("a session is resumed again and again, so that its values cannot be read")
}

func valuesOf(ctx context.Context, raw store.Store) ([]store.Entry, error) {
	keys, err := store.Keys(ctx, raw)
	for range 10 {
		if err != nil {
			return nil, err
		}
		values, err := store.GetMany(ctx, raw, keys)
		if err != nil {
			return nil, err
		}
		entries := make([]store.Entry, 0, len(keys))
		for i, key := range keys {
			if i < len(values) && values[i] != nil {
				entries = append(entries, store.Entry{Key: key, Value: values[i]})
			}
		}
		// The keys may have changed before the values were read.
		after, err := store.Keys(ctx, raw)
		if err != nil {
			return nil, err
		}
		if slices.Equal(keys, after) && len(entries) == len(keys) {
			return entries, nil
		}
		keys = after
	}
	return nil, errors.New("the keys of a session change faster than they can be read")
}
