package store

import (
	"bytes"
	"context"
	"errors"
)

// A Tx is a transaction over the keys of one session; see [Session.Update]. It
// belongs to the function that it was passed to and to its goroutine.
type Tx struct {
	ctx     context.Context
	session *Session
	known   entryList // values that the last refusal brought along
	read    entryList // values that fn has seen; they must still hold at the commit
	written entryList // in the order of their first write; a nil Value deletes
	buf     *buffer
	over    bool
}

var (
	errTxOver   = errors.New("the transaction is over; use it only within its function")
	errTxNil    = errors.New("the transaction is nil; use the one that Session.Update passes")
	errNoChange = errors.New("the function is nil; pass the one that makes the change")
)

// Update runs fn as a transaction over several keys of the session: typed reads and writes through
// [Key.In]. When fn returns nil, all its writes take effect in one atomic step, provided that every
// value it read is still the same on the server. Otherwise fn runs again on the new values, which
// cost no further round trip. Update tries until it succeeds or ctx ends. An error of fn ends the
// transaction without a write and is returned.
//
//	err := sess.Update(ctx, func(tx *store.Tx) error {
//		credits, err := Credits.In(tx).GetOr(0)
//		if err != nil {
//			return err
//		}
//		if credits == 0 {
//			return errNoCredits
//		}
//		return Credits.In(tx).Set(credits - 1)
//	})
//
// fn may run several times and must have no other effects. A run that will not
// commit may see values of different moments. Update may be called by many
// goroutines and nodes at once.
func (s *Session) Update(ctx context.Context, fn func(tx *Tx) error) error {
	if err := s.usable(); err != nil {
		return &Error{Op: "update", Err: err}
	}
	if fn == nil {
		return &Error{Op: "update", Err: errNoChange}
	}
	tx := &Tx{ctx: ctx, session: s, buf: getBuffer()}
	defer func() {
		tx.over = true
		tx.buf.release()
		tx.buf = nil
	}()
	var retry backoff
	for {
		if err := fn(tx); err != nil {
			return opError("update", err)
		}
		if len(tx.written.all) == 0 && len(tx.read.all) <= 1 {
			return nil // a single read is consistent
		}
		current, err := s.commit(ctx, tx.read.all, tx.written.all)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrConflict) {
			return opError("update", s.noticed(err))
		}
		tx.restart(current)
		if err := retry.conflicted(ctx, s); err != nil {
			return &Error{Op: "update", Err: err}
		}
	}
}

// restart prepares another run of fn that starts from the current values.
func (tx *Tx) restart(current [][]byte) {
	tx.known.clear()
	for i, e := range tx.read.all {
		tx.known.put(e.Key, current[i])
	}
	tx.read.clear()
	tx.written.clear()
	tx.buf.reset()
}

// get returns the stored bytes under key as they are within the transaction, or nil when there is
// no value.
func (tx *Tx) get(key string) ([]byte, error) {
	if err := tx.usable(key); err != nil {
		return nil, err
	}
	if e := tx.written.find(key); e != nil {
		// Decoded strings may share memory with what they were decoded from, and
		// the buffer behind written is reused.
		return bytes.Clone(e.Value), nil
	}
	if e := tx.read.find(key); e != nil {
		return e.Value, nil
	}
	var raw []byte
	if e := tx.known.find(key); e != nil {
		raw = e.Value
	} else {
		var err error
		raw, err = getCurrent(tx.ctx, tx.session.raw, key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return nil, tx.session.noticed(err)
		}
	}
	tx.read.put(key, raw)
	return raw, nil
}

// Load reads several values as [TxValue.Get] reads one, but in one round trip. Either all
// destinations are set or, after an error, none. What it has read costs no further round
// trip in the transaction, so a transaction over many keys begins with it.
//
//	err := sess.Update(ctx, func(tx *store.Tx) error {
//		var credits, price int
//		if err := tx.Load(Credits.Into(&credits), Price.IntoOr(&price, 1)); err != nil {
//			return err
//		}
//		return Credits.In(tx).Set(credits - price)
//	})
func (tx *Tx) Load(targets ...Target) error {
	if err := tx.open(); err != nil {
		return &Error{Op: "load", Err: err}
	}
	var missing entryList // with no value: as if they were expected to be absent
	for _, t := range targets {
		if t == nil {
			return &Error{Op: "load", Err: errNilTarget}
		}
		if err := tx.usable(t.name()); err != nil {
			return wrap("load", t.name(), err)
		}
		if !tx.has(t.name()) {
			missing.put(t.name(), nil)
		}
	}
	if len(missing.all) > 1 { // one alone is read as ever
		// A Commit that writes nothing and is refused brings all values along, from the server. A
		// client's cache, from which GetMany may answer, can be behind.
		current, err := Commit(tx.ctx, tx.session.raw, missing.all, nil)
		switch {
		case err == nil, errors.Is(err, ErrConflict):
			for i, e := range missing.all {
				if err != nil {
					e.Value = current[i]
				}
				tx.known.put(e.Key, e.Value)
			}
		case !errors.Is(err, errors.ErrUnsupported): // else they are read one by one
			return opError("load", tx.session.noticed(err))
		}
	}
	raws := make([][]byte, len(targets))
	for i, t := range targets {
		var err error
		if raws[i], err = tx.get(t.name()); err != nil {
			return wrap("load", t.name(), err)
		}
	}
	return putAll(tx.ctx, tx.session, tx, targets, raws)
}

// has reports whether reading key costs no round trip.
func (tx *Tx) has(key string) bool {
	return tx.written.find(key) != nil || tx.read.find(key) != nil || tx.known.find(key) != nil
}

// A TxValue is the value of a key within a transaction; [Key.In] makes it.
type TxValue[T any] struct {
	tx  *Tx
	key CodecKey[T]
}

// Get returns the value, or an error that satisfies errors.Is(err, [ErrNotFound]).
func (v TxValue[T]) Get() (T, error) {
	value, ok, err := v.Lookup()
	if err == nil && !ok {
		err = wrap("get", v.key.name, ErrNotFound)
	}
	return value, err
}

// Lookup returns the value and whether there is one.
func (v TxValue[T]) Lookup() (value T, ok bool, err error) {
	raw, err := v.tx.get(v.key.name)
	if err != nil {
		return value, false, wrap("get", v.key.name, err)
	}
	if raw == nil {
		return value, false, nil
	}
	if value, ok, err = v.decode(raw); err != nil {
		return value, false, wrap("get", v.key.name, err)
	}
	return value, ok, nil
}

// decode returns the value of raw, and follows [Undecodable] as part of the transaction.
func (v TxValue[T]) decode(raw []byte) (value T, ok bool, err error) {
	if value, err = decode[T](v.tx.session, v.key.name, v.key.codec, raw); err == nil {
		return value, true, nil
	}
	var zero T
	do, err := v.tx.session.judge(v.key.name, v.key.policy, err)
	if err != nil {
		return zero, false, err
	}
	if do == Drop {
		v.tx.written.put(v.key.name, nil)
	}
	return zero, false, nil
}

// GetOr returns the value, or fallback when there is none.
func (v TxValue[T]) GetOr(fallback T) (T, error) {
	value, ok, err := v.Lookup()
	if err == nil && !ok {
		return fallback, nil
	}
	return value, err
}

// Has reports whether there is a value. It counts as a read, and follows
// [Undecodable].
func (v TxValue[T]) Has() (bool, error) {
	if err := v.tx.usable(v.key.name); err != nil {
		return false, wrap("has", v.key.name, err)
	}
	if v.key.policy.in(v.tx.session.sessions) != Fail {
		_, ok, err := v.Lookup()
		return ok, err
	}
	raw, err := v.tx.get(v.key.name)
	if err != nil {
		return false, wrap("has", v.key.name, err)
	}
	return raw != nil, nil
}

// Set makes value what the transaction writes.
func (v TxValue[T]) Set(value T) error {
	if err := v.tx.usable(v.key.name); err != nil {
		return wrap("set", v.key.name, err)
	}
	data, err := encode(v.tx.session, v.tx.buf, v.key.name, v.key.codec, value)
	if err != nil {
		return wrap("set", v.key.name, err)
	}
	v.tx.written.put(v.key.name, data)
	return nil
}

// Delete makes the transaction remove the value.
func (v TxValue[T]) Delete() error {
	if err := v.tx.usable(v.key.name); err != nil {
		return wrap("delete", v.key.name, err)
	}
	v.tx.written.put(v.key.name, nil)
	return nil
}

// open returns nil, or why tx cannot be used.
func (tx *Tx) open() error {
	switch {
	case tx == nil, tx.session == nil:
		return errTxNil
	case tx.over:
		return errTxOver
	default:
		return nil
	}
}

// usable returns nil, or why key cannot be read or written in tx.
func (tx *Tx) usable(key string) error {
	if err := tx.open(); err != nil {
		return err
	}
	return tx.session.usableKey(key)
}
