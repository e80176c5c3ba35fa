package hazelcaststore

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/hazelcaststore/internal/document"
)

// A handle is a [store.Store] on one life.
type handle struct {
	life    *life
	maxKeys int // zero or less: no limit
}

var (
	_ store.Store      = (*handle)(nil)
	_ store.ManyGetter = (*handle)(nil)
	_ store.Committer  = (*handle)(nil)
	_ store.KeyLister  = (*handle)(nil)

	_ store.ConditionalDestroyer = (*handle)(nil)
)

// Get implements [store.Store]: one read of the document.
func (h *handle) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := h.view(ctx, key)
	if err != nil {
		return nil, err
	}
	value := v.Get(key)
	if value == nil {
		return nil, store.ErrNotFound
	}
	return detach(value, v), nil
}

// Has implements [store.Store]. Hazelcast cannot look into a document, so that this
// is as expensive as Get.
func (h *handle) Has(ctx context.Context, key string) (bool, error) {
	v, err := h.view(ctx, key)
	if err != nil {
		return false, err
	}
	return v.Get(key) != nil, nil
}

// GetMany implements [store.ManyGetter]: one read of the document.
func (h *handle) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	v, err := h.view(ctx, keys...)
	if err != nil {
		return nil, err
	}
	values := v.GetMany(keys)
	for i := range values {
		values[i] = detach(values[i], v)
	}
	return values, nil
}

// Keys implements [store.KeyLister]: one read of the document.
func (h *handle) Keys(ctx context.Context) ([]string, error) {
	v, err := h.view(ctx)
	if err != nil {
		return nil, err
	}
	return v.Keys(), nil
}

func (h *handle) view(ctx context.Context, keys ...string) (document.View, error) {
	if err := h.life.check(ctx, keys...); err != nil {
		return document.View{}, err
	}
	return h.life.view(ctx)
}

// detach copies a value that is a small part of a large document. Otherwise the document would stay
// in memory for as long as the caller holds the value.
func detach(value []byte, v document.View) []byte {
	const large = 4 << 10
	if size := len(v.Bytes()); value == nil || size <= large || len(value) >= size/4 {
		return value
	}
	return append(make([]byte, 0, len(value)), value...)
}

// Set implements [store.Store].
func (h *handle) Set(ctx context.Context, key string, value []byte) error {
	if err := h.life.check(ctx, key); err != nil {
		return err
	}
	return h.doSet(ctx, key, value)
}

// fits refuses to let the document grow beyond the limit.
func (b *Backend) fits(d *document.Draft, write ...store.Entry) error {
	if b.documentSize <= 0 {
		return nil
	}
	growth := 0
	for _, e := range write {
		growth += d.Growth(e.Key, e.Value)
	}
	if growth > 0 && d.Size()+growth > b.documentSize {
		return &sizeError{b.documentSize}
	}
	return nil
}

// copied returns a copy that is never nil. The write of it may outlast
// the caller's patience.
func copied(value []byte) []byte { return append(make([]byte, 0, len(value)), value...) }

// Delete implements [store.Store].
func (h *handle) Delete(ctx context.Context, key string) error {
	if err := h.life.check(ctx, key); err != nil {
		return err
	}
	return h.life.do(ctx, &op{apply: func(d *document.Draft) error {
		d.Delete(key)
		return nil
	}})
}

// Commit implements [store.Committer]. A key that appears twice in write gets the
// later value.
func (h *handle) Commit(ctx context.Context, expect, write []store.Entry) ([][]byte, error) {
	if err := h.life.check(ctx); err != nil && !errors.Is(err, store.ErrDestroyed) {
		return nil, err
	}
	expect, err := copiedEntries(expect)
	if err != nil {
		return nil, err
	}
	if write, err = copiedEntries(write); err != nil {
		return nil, err
	}
	if err := h.life.check(ctx); err != nil {
		return nil, err
	}
	var current [][]byte
	err = h.life.do(ctx, &op{apply: func(d *document.Draft) error {
		var err error
		current, err = h.commit(d, expect, write)
		return err
	}})
	if !errors.Is(err, store.ErrConflict) {
		return nil, err
	}
	return current, err
}

func copiedEntries(entries []store.Entry) ([]store.Entry, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	copies := make([]store.Entry, len(entries))
	for i, e := range entries {
		if err := store.CheckKey(e.Key); err != nil {
			return nil, err
		}
		if e.Value != nil {
			e.Value = copied(e.Value)
		}
		copies[i] = e
	}
	return copies, nil
}

func (h *handle) commit(d *document.Draft, expect, write []store.Entry) (current [][]byte, err error) {
	for _, e := range expect {
		now := d.Get(e.Key)
		if (now == nil) != (e.Value == nil) || !bytes.Equal(now, e.Value) {
			return values(d, expect), store.ErrConflict
		}
	}
	if h.maxKeys > 0 && overfull(d, write, h.maxKeys) {
		return nil, store.ErrTooManyKeys
	}
	if err := h.life.backend.fits(d, write...); err != nil {
		return nil, err
	}
	for _, e := range write {
		if e.Value == nil {
			d.Delete(e.Key)
		} else {
			d.Put(e.Key, e.Value)
		}
	}
	return nil, nil
}

func values(d *document.Draft, entries []store.Entry) [][]byte {
	values := make([][]byte, len(entries))
	for i, e := range entries {
		values[i] = d.Kept(e.Key)
	}
	return values
}

// overfull reports whether write adds a key and leaves more than maxKeys.
func overfull(d *document.Draft, write []store.Entry, maxKeys int) bool {
	count, adds := d.Len(), false
	for _, e := range write {
		switch had := d.Get(e.Key) != nil; {
		case !had && e.Value != nil:
			count++
			adds = true
		case had && e.Value == nil:
			count--
		}
	}
	return adds && count > maxKeys
}

// Destroy implements [store.Store].
func (h *handle) Destroy(ctx context.Context) error {
	switch err := h.life.check(ctx); {
	case errors.Is(err, store.ErrDestroyed):
		return nil
	case err != nil:
		return err
	}
	err := h.life.do(ctx, &op{})
	h.life.backend.tellAll(h.life.key, err)
	return err
}

// DestroyIf implements [store.ConditionalDestroyer].
func (h *handle) DestroyIf(ctx context.Context, values []store.Entry) error {
	keys := make([]string, len(values))
	for i, e := range values {
		keys[i] = e.Key
	}
	if err := h.life.check(ctx, keys...); err != nil {
		return err
	}
	values, err := copiedEntries(values) // an attempt may outlast the caller's patience
	if err != nil {
		return err
	}
	if err := h.life.backend.keepTime(ctx); err != nil {
		return err
	}
	var sent atomic.Bool
	_, err = await(h.life.backend, ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, h.life.removeIf(ctx, values, &sent)
	})
	if err != nil && err == ctx.Err() && sent.Load() {
		err = unknown(err)
	}
	h.life.backend.tellAll(h.life.key, err)
	return err
}
