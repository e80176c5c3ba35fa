package store

import (
	"context"
	"errors"
	"sync"
)

// A Target is where [Load] puts one value; see [Key.Into] and [Key.IntoOr]. It
// can be used many times, and by goroutines at once, which then put one value
// after the other.
type Target interface {
	name() string

	// decode returns the function that puts the value of raw in its place. When there is no value,
	// raw is nil. Outside of a transaction, tx is nil.
	decode(ctx context.Context, s *Session, tx *Tx, raw []byte) (put func(), err error)
}

// A Change is one write of a [Save] or a [Sessions.Create]; see [Key.To] and
// [Key.Unset]. It can be used many times, and by goroutines at once.
type Change interface {
	name() string
	encode(s *Session, buf *buffer) ([]byte, error) // nil removes the value
}

var errNilTarget = errors.New("a Target is nil; make it with Into or IntoOr")

// Load reads several typed values of one session, as they were at one instant,
// in one round trip. Either all destinations are set or, after an error, none.
//
//	err := store.Load(ctx, sess, UserID.Into(&id), Tenant.IntoOr(&tenant, "none"))
//
// A backend that cannot read several keys at once fails with
// [errors.ErrUnsupported].
func Load(ctx context.Context, s *Session, targets ...Target) error {
	if err := s.usable(); err != nil {
		return &Error{Op: "load", Err: err}
	}
	keys := make([]string, len(targets))
	for i, t := range targets {
		if t == nil {
			return &Error{Op: "load", Err: errNilTarget}
		}
		if err := s.usableKey(t.name()); err != nil {
			return wrap("load", t.name(), err)
		}
		keys[i] = t.name()
	}
	raws, err := loadRaw(ctx, s.raw, keys)
	if err != nil {
		return opError("load", s.noticed(err))
	}
	return putAll(ctx, s, nil, targets, raws)
}

// putAll sets all destinations, or after an error none.
func putAll(ctx context.Context, s *Session, tx *Tx, targets []Target, raws [][]byte) error {
	var few [8]func() // spares an allocation
	puts := few[:0]
	for i, t := range targets {
		put, err := t.decode(ctx, s, tx, raws[i])
		if err != nil {
			return wrap("load", t.name(), err)
		}
		puts = append(puts, put)
	}
	for _, put := range puts {
		put()
	}
	return nil
}

// loadRaw reads keys at one instant. One key alone needs no further ability.
func loadRaw(ctx context.Context, raw Store, keys []string) ([][]byte, error) {
	switch len(keys) {
	case 0:
		return nil, ctx.Err()
	case 1:
		b, err := raw.Get(ctx, keys[0])
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		return [][]byte{b}, nil
	}
	return GetMany(ctx, raw, keys)
}

// Save writes several typed values of one session in one atomic step and one
// round trip: other readers see all of it or nothing.
//
//	err := store.Save(ctx, sess, UserID.To("u-42"), Tenant.Unset())
//
// Each key may appear once. A backend without conditional writes fails with
// [errors.ErrUnsupported].
func Save(ctx context.Context, s *Session, changes ...Change) error {
	if err := s.usable(); err != nil {
		return &Error{Op: "save", Err: err}
	}
	buf := getBuffer()
	defer buf.release()
	entries, err := s.encodeChanges("save", buf, changes)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := s.commit(ctx, nil, entries); err != nil {
		return opError("save", s.noticed(err))
	}
	return nil
}

// commit is Commit on the raw store. What it writes is forgotten: every conditional
// write of a session comes this way.
func (s *Session) commit(ctx context.Context, expect, write []Entry) (current [][]byte, err error) {
	if s.sessions.indexes.touches(write) {
		current, err = s.commitIndexed(ctx, expect, write)
	} else {
		current, err = Commit(ctx, s.raw, expect, write)
	}
	if err == nil {
		s.forgetWritten(write)
	}
	return current, err
}

// encodeChanges encodes changes into buf for the operation op.
func (s *Session) encodeChanges(op string, buf *buffer, changes []Change) ([]Entry, error) {
	entries := make([]Entry, len(changes))
	for i, c := range changes {
		if c == nil {
			return nil, &Error{Op: op, Err: errors.New("a Change is nil; make it with To or Unset")}
		}
		if err := s.usableKey(c.name()); err != nil {
			return nil, wrap(op, c.name(), err)
		}
		b, err := c.encode(s, buf)
		if err != nil {
			return nil, wrap(op, c.name(), err)
		}
		entries[i] = Entry{Key: c.name(), Value: b}
	}
	return entries, nil
}

// into is the Target of a typed key.
type into[T any] struct {
	key      CodecKey[T]
	optional bool
	fallback T // where optional

	mu  sync.Mutex // held while *dst is written
	dst *T
}

func (i *into[T]) name() string { return i.key.name }

func (i *into[T]) decode(ctx context.Context, s *Session, tx *Tx, raw []byte) (put func(), err error) {
	if i.dst == nil {
		return nil, errors.New("the destination is a nil pointer; pass the address of a variable")
	}
	if raw != nil {
		var v T
		var ok bool
		var err error
		if tx == nil {
			v, ok, err = i.key.read(ctx, s, raw)
		} else {
			v, ok, err = i.key.In(tx).decode(raw)
		}
		if err != nil {
			return nil, err
		}
		if ok {
			return func() { i.put(v) }, nil
		}
	}
	if !i.optional {
		return nil, ErrNotFound
	}
	return func() { i.put(i.fallback) }, nil
}

func (i *into[T]) put(v T) {
	i.mu.Lock()
	defer i.mu.Unlock()
	*i.dst = v
}

// assignment is the Change that stores a typed value.
type assignment[T any] struct {
	key   CodecKey[T]
	value T
}

func (a *assignment[T]) name() string { return a.key.name }

func (a *assignment[T]) encode(s *Session, buf *buffer) ([]byte, error) {
	return encode(s, buf, a.key.name, a.key.codec, a.value)
}

// removal is the Change that removes the value of a key.
type removal string

func (r removal) name() string { return string(r) }

func (r removal) encode(*Session, *buffer) ([]byte, error) { return nil, nil }
