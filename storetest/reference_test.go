package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sessionkv/store"
)

// A bug is one way to break the reference backend.
type bug string

// reference is a backend as simple as can be, correct unless it has a bug: one
// map under one mutex.
type reference struct {
	bug bug

	mu     sync.Mutex
	lives  map[string]*life // guarded by mu
	closed bool             // guarded by mu
	serial int              // guarded by mu
}

// life is what is kept of a session.
type life struct {
	token  int
	until  time.Time
	values map[string][]byte
}

// refStore is a handle.
type refStore struct {
	b       *reference
	id      string
	token   int
	maxKeys int
}

var errForeign = errors.New("reference: this Store belongs to another backend")

func newReference(b bug) *reference {
	return &reference{bug: b, lives: make(map[string]*life)}
}

func (b *reference) Namespace() string { return "reference" }

// has reports whether b has one of the bugs.
func (b *reference) has(bugs ...bug) bool { return slices.Contains(bugs, b.bug) }

// name is the name under which a session is kept.
func (b *reference) name(id string) string {
	switch b.bug {
	case "IDs ignore case":
		return strings.ToLower(id)
	case "IDs are cut at 255 bytes":
		return id[:min(len(id), 255)]
	case "IDs end at NUL":
		id, _, _ = strings.Cut(id, "\x00")
		return id
	case "IDs are made valid UTF-8":
		return strings.ToValidUTF8(id, "\ufffd")
	case "IDs lose their spaces":
		return strings.TrimSpace(id)
	case "IDs are unescaped":
		return strings.ReplaceAll(id, "%3A", ":")
	}
	return id
}

// keyName is the name under which a key is kept.
func (b *reference) keyName(key string) string {
	switch b.bug {
	case "keys ignore case":
		return strings.ToLower(key)
	case "keys are cut at 64 bytes":
		return key[:min(len(key), 64)]
	case "keys named token are lost":
		if key == "token" {
			return "_token"
		}
	case "keys are globbed":
		return strings.ReplaceAll(key, "*", "?")
	}
	return key
}

func (b *reference) checkKey(key string) error {
	if b.has("bad keys are accepted") || b.has("long keys are accepted") && len(key) > store.MaxKeyLength {
		return nil
	}
	return store.CheckKey(key)
}

// open is what every method of the backend begins with.
func (b *reference) open(ctx context.Context) error {
	if b.closed && !b.has("usable after Close") {
		return store.ErrClosed
	}
	if b.has("context ignored") {
		return nil
	}
	return ctx.Err()
}

// alive returns the session's current life. Its caller holds mu.
func (b *reference) alive(id string) *life {
	l := b.lives[b.name(id)]
	if l == nil {
		return nil
	}
	if !time.Now().Before(l.until) && !b.has("leases never end") {
		if b.has("expired values stay") {
			return nil
		}
		delete(b.lives, b.name(id))
		return nil
	}
	return l
}

func (b *reference) begin(id string, t store.Terms, values map[string][]byte) *refStore {
	b.serial++
	token := b.serial
	if b.has("the token is the ID") {
		token = 0
	}
	l := &life{token, time.Now().Add(t.Lease), values}
	if b.has("leases are cut in half") {
		l.until = time.Now().Add(t.Lease / 2)
	}
	if old := b.lives[b.name(id)]; b.has("expired values stay") && old != nil && values == nil {
		l.values = old.values
	}
	if l.values == nil {
		l.values = make(map[string][]byte)
	}
	b.lives[b.name(id)] = l
	return &refStore{b, id, token, t.MaxKeys}
}

func (b *reference) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	if err := store.CheckID(id); err != nil && !b.has("long IDs are accepted") {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	var values map[string][]byte
	for _, e := range initial {
		if err := b.checkKey(e.Key); err != nil {
			if b.has("a refused Create leaves a session") {
				b.begin(id, t, values)
			}
			return nil, err
		}
		if values == nil {
			values = make(map[string][]byte)
		}
		if e.Value != nil || b.has("nil initial values are stored") {
			values[b.keyName(e.Key)] = b.own(e.Value, "Create retains")
		}
	}
	if t.MaxKeys > 0 && len(values) > t.MaxKeys && !b.has("Create ignores MaxKeys") {
		return nil, store.ErrTooManyKeys
	}
	if b.has("Create checks first, then writes") {
		exists := b.alive(id) != nil
		b.pause()
		if exists {
			return nil, store.ErrExists
		}
	} else if l := b.alive(id); l != nil {
		switch b.bug {
		case "Create overwrites":
		case "Create returns what lives":
			return &refStore{b, id, l.token, t.MaxKeys}, nil
		case "error with ID":
			return nil, fmt.Errorf("session %q: %w", id, store.ErrExists)
		default:
			return nil, store.ErrExists
		}
	}
	if b.has("initial values are lost") {
		values = nil
	}
	return b.begin(id, t, values), nil
}

func (b *reference) Attach(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	if err := store.CheckID(id); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	l := b.alive(id)
	if l == nil {
		if b.has("Attach creates") {
			return b.begin(id, store.Terms{Lease: time.Minute}, nil), nil
		}
		return nil, store.ErrNoSession
	}
	if b.has("Attach renews") {
		l.until = time.Now().Add(time.Hour)
	}
	return &refStore{b, id, l.token, t.MaxKeys}, nil
}

func (b *reference) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	if err := store.CheckID(id); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	l := b.alive(id)
	if l == nil {
		if b.has("Resume creates") {
			return b.begin(id, t, nil), nil
		}
		return nil, store.ErrNoSession
	}
	switch b.bug {
	case "Resume does not fence":
		l.until = time.Now().Add(t.Lease)
		return &refStore{b, id, l.token, t.MaxKeys}, nil
	case "Resume keeps the old lease":
		until := l.until
		s := b.begin(id, t, l.values)
		b.lives[b.name(id)].until = until
		return s, nil
	case "Resume never shortens":
		until := l.until
		s := b.begin(id, t, l.values)
		if n := b.lives[b.name(id)]; n.until.Before(until) {
			n.until = until
		}
		return s, nil
	case "Resume loses values":
		return b.begin(id, t, nil), nil
	case "Resume drops MaxKeys":
		t.MaxKeys = 0
	}
	return b.begin(id, t, l.values), nil
}

func (b *reference) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := make([]error, len(sessions))
	failed := b.has("Renew always returns a slice")
	for i, raw := range sessions {
		errs[i] = b.renew(ctx, raw, lease)
		failed = failed || errs[i] != nil
	}
	if !failed || b.has("Renew reports nothing") {
		return nil
	}
	if b.has("Renew reports only failures") {
		errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	}
	if b.has("one failed renewal fails all") {
		for i := range errs {
			errs[i] = store.ErrDestroyed
		}
	}
	return errs
}

func (b *reference) renew(ctx context.Context, raw store.Store, lease time.Duration) error {
	if err := b.open(ctx); err != nil {
		return err
	}
	s, ok := raw.(*refStore)
	if !ok || s.b != b {
		if b.has("foreign Stores are ignored") {
			return nil
		}
		return errForeign
	}
	l := s.life()
	switch {
	case l == nil && b.has("Renew resurrects"):
		b.lives[b.name(s.id)] = &life{s.token, time.Now().Add(lease), make(map[string][]byte)}
		return nil
	case l == nil:
		if later := b.alive(s.id); later != nil && b.has("Renew reaches later lives") {
			later.until = time.Now().Add(lease)
		}
		return store.ErrDestroyed
	case b.has("Renew does nothing"):
	case lease == 0 && b.has("Renew with zero renews"):
		l.until = time.Now().Add(time.Minute)
	case b.has("Renew shortens") && lease > 0, time.Now().Add(lease).After(l.until):
		l.until = time.Now().Add(lease)
	}
	return nil
}

func (b *reference) Suspend(ctx context.Context, raw store.Store, grace time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.open(ctx); err != nil {
		return err
	}
	s, ok := raw.(*refStore)
	if !ok || s.b != b {
		return errForeign
	}
	l := s.life()
	if l == nil {
		if later := b.alive(s.id); later != nil && b.has("Suspend reaches later lives") {
			later.until = time.Now().Add(grace)
		}
		if b.has("Suspend of the dead succeeds") {
			return nil
		}
		return store.ErrDestroyed
	}
	until := time.Now().Add(grace)
	switch {
	case b.has("Suspend is ignored"):
	case b.has("Suspend never shortens") && until.Before(l.until):
	case b.has("Suspend never lengthens") && until.After(l.until):
	case b.has("Suspend ends the life"):
		b.begin(s.id, store.Terms{Lease: grace}, l.values)
	default:
		l.until = until
	}
	return nil
}

func (b *reference) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed && b.has("Close twice fails") {
		return store.ErrClosed
	}
	b.closed = true
	return nil
}

// own returns the slice to be kept for a value that was given.
func (b *reference) own(value []byte, retains bug) []byte {
	if b.has(retains) && value != nil {
		return value
	}
	if b.has("large slices are retained") && len(value) > 4096 {
		return value
	}
	if b.has("values are text") {
		return []byte(strings.ToValidUTF8(string(value), "?"))
	}
	if len(value) == 0 && b.has("empty values are nil") {
		return nil
	}
	return append([]byte{}, value...)
}

// pause lets others in between a check and the write that should have been one
// step with it.
func (b *reference) pause() {
	b.mu.Unlock()
	yield()
	b.mu.Lock()
}

// yield gives other goroutines the time for several calls. In a bubble a sleep
// would not end as long as any of them is busy.
func yield() {
	for range 20 {
		runtime.Gosched()
	}
}

// life returns the life of s while it lasts. The caller holds mu.
func (s *refStore) life() *life {
	l := s.b.alive(s.id)
	switch {
	case l == nil && s.b.has("missing means mine"):
		return &life{token: s.token, values: make(map[string][]byte)}
	case l == nil:
		return nil
	case l.token != s.token && !s.b.has("fencing is missing"):
		return nil
	}
	return l
}

// read is what every reading method does under the lock.
func (s *refStore) read(ctx context.Context, keys []string, f func(*life) error) error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if err := s.b.open(ctx); err != nil {
		return err
	}
	for _, key := range keys {
		if err := s.b.checkKey(key); err != nil {
			return err
		}
	}
	l := s.life()
	if l == nil {
		if s.b.has("reads after the end find nothing") {
			l = &life{values: map[string][]byte{}}
			return f(l)
		}
		if s.b.has("error with ID") {
			return fmt.Errorf("session %s: %w", s.id, store.ErrDestroyed)
		}
		return store.ErrDestroyed
	}
	return f(l)
}

// write is what every writing method does under the lock.
func (s *refStore) write(ctx context.Context, keys []string, f func(*life) error) error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if err := s.b.open(ctx); err != nil {
		return err
	}
	for _, key := range keys {
		if err := s.b.checkKey(key); err != nil {
			return err
		}
	}
	l := s.life()
	if l == nil {
		switch b := s.b; {
		case b.has("a write brings the session back") && b.alive(s.id) == nil:
			b.serial++
			l = &life{s.token, time.Now().Add(time.Hour), make(map[string][]byte)}
			b.lives[b.name(s.id)] = l
		case b.has("late writes are dropped silently"):
			return nil
		default:
			return store.ErrDestroyed
		}
	}
	if s.b.has("check first, then write") {
		s.b.pause()
		if l = s.b.alive(s.id); l == nil {
			l = &life{s.token, time.Now().Add(time.Hour), make(map[string][]byte)}
			s.b.lives[s.b.name(s.id)] = l
		}
	}
	if s.b.has("writes prolong the lease") {
		l.until = time.Now().Add(time.Hour)
	}
	if s.b.has("writes take the lease away") {
		l.until = time.Now()
	}
	return f(l)
}

func (s *refStore) Get(ctx context.Context, key string) (value []byte, err error) {
	err = s.read(ctx, []string{key}, func(l *life) error {
		v, ok := l.values[s.b.keyName(key)]
		if !ok || s.b.has("empty is not found") && len(v) == 0 {
			if s.b.has("absent is nil") {
				return nil
			}
			return store.ErrNotFound
		}
		if value = v; v == nil && !s.b.has("empty values are nil") {
			value = []byte{}
		}
		return nil
	})
	return value, err
}

func (s *refStore) Set(ctx context.Context, key string, value []byte) error {
	return s.write(ctx, []string{key}, func(l *life) error {
		name := s.b.keyName(key)
		old, had := l.values[name]
		if s.b.has("a nil value deletes") && value == nil {
			delete(l.values, name)
			return nil
		}
		limit := s.maxKeys
		if s.b.has("MaxKeys is off by one") {
			limit++
		}
		n := len(l.values)
		if s.b.has("MaxKeys checks first, then writes") {
			s.b.pause()
		}
		if limit > 0 && n >= limit && (!had || s.b.has("MaxKeys refuses overwriting")) && !s.b.has("MaxKeys is ignored") {
			if s.b.has("MaxKeys refuses too late") {
				l.values[name] = s.b.own(value, "")
			}
			return store.ErrTooManyKeys
		}
		if s.b.has("Set writes into the old buffer") && had && len(old) == len(value) {
			copy(old, value)
			return nil
		}
		if s.b.has("Set keeps the longer tail") && len(old) > len(value) {
			l.values[name] = append(bytes.Clone(value), old[len(value):]...)
			return nil
		}
		l.values[name] = s.b.own(value, "Set retains")
		return nil
	})
}

func (s *refStore) Has(ctx context.Context, key string) (has bool, err error) {
	err = s.read(ctx, []string{key}, func(l *life) error {
		var v []byte
		v, has = l.values[s.b.keyName(key)]
		if s.b.has("Has is false for empty") && len(v) == 0 {
			has = false
		}
		return nil
	})
	return has, err
}

func (s *refStore) Delete(ctx context.Context, key string) error {
	return s.write(ctx, []string{key}, func(l *life) error {
		name := s.b.keyName(key)
		v, had := l.values[name]
		switch {
		case !had && s.b.has("Delete of absent fails"):
			return store.ErrNotFound
		case s.b.has("Delete overwrites the buffer"):
			clear(v)
		case s.b.has("Delete leaves an empty value"):
			l.values[name] = []byte{}
			return nil
		case s.b.has("Delete removes by prefix"):
			maps.DeleteFunc(l.values, func(k string, _ []byte) bool { return strings.HasPrefix(k, name) })
		}
		delete(l.values, name)
		return nil
	})
}

func (s *refStore) Destroy(ctx context.Context) error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if err := s.b.open(ctx); err != nil {
		return err
	}
	l := s.life()
	switch {
	case s.b.has("Destroy hits later lives"):
	case l == nil && s.b.has("Destroy twice fails"):
		return store.ErrDestroyed
	case l == nil:
		return nil
	case s.b.has("Destroy only empties"):
		clear(l.values)
		return nil
	case s.b.has("Destroy overwrites buffers"):
		for _, v := range l.values {
			clear(v)
		}
	}
	delete(s.b.lives, s.b.name(s.id))
	return nil
}

func (s *refStore) GetMany(ctx context.Context, keys []string) (values [][]byte, err error) {
	if s.b.has("GetMany is torn") {
		for _, k := range keys {
			v, err := s.Get(ctx, k)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return nil, err
			}
			values = append(values, v)
			yield()
		}
		return values, nil
	}
	if s.b.has("GetMany sorts its argument") {
		slices.Sort(keys)
	}
	err = s.read(ctx, keys, func(l *life) error {
		values = s.b.current(l, keys)
		if s.b.has("GetMany has no nil") {
			for i := range values {
				values[i] = append([]byte{}, values[i]...)
			}
		}
		if s.b.has("GetMany leaves out the absent") {
			values = slices.DeleteFunc(values, func(v []byte) bool { return v == nil })
		}
		return nil
	})
	return values, err
}

func (b *reference) current(l *life, keys []string) [][]byte {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		if v, ok := l.values[b.keyName(k)]; ok {
			if values[i] = v; v == nil {
				values[i] = []byte{}
			}
			if b.has("empty is nil in lists") && len(v) == 0 {
				values[i] = nil
			}
		}
	}
	return values
}

func (s *refStore) Commit(ctx context.Context, expect, write []store.Entry) (current [][]byte, err error) {
	if s.b.has("Commit is not supported, but done") {
		for _, e := range write {
			s.Set(ctx, e.Key, e.Value)
		}
		return nil, errors.ErrUnsupported
	}
	keys := make([]string, 0, len(expect)+len(write))
	for _, e := range expect {
		keys = append(keys, e.Key)
	}
	for _, e := range write {
		keys = append(keys, e.Key)
	}
	err = s.write(ctx, keys, func(l *life) error {
		found := s.b.current(l, keys[:len(expect)])
		if !s.b.matches(expect, found) {
			if !s.b.has("a refused Commit returns nothing") {
				current = found
			}
			if s.b.has("a refused Commit returns the first difference") {
				current = found[:1]
			}
			return store.ErrConflict
		}
		if s.b.has("Commit checks first, then writes") {
			s.b.pause()
		}
		return s.b.apply(l, write, s.maxKeys)
	})
	return current, err
}

func (b *reference) matches(expect []store.Entry, found [][]byte) bool {
	if b.has("Commit checks one key only") {
		expect = expect[:min(len(expect), 1)]
	}
	for i, e := range expect {
		got := found[i]
		switch {
		case b.has("Commit ignores expected absence") && e.Value == nil:
		case b.has("Commit takes empty for absent") && len(e.Value) == 0 && len(got) == 0:
		case b.has("Commit compares lengths") && len(e.Value) == len(got) && (e.Value == nil) == (got == nil):
		case b.has("Commit ignores case") && bytes.EqualFold(e.Value, got) && (e.Value == nil) == (got == nil):
		case (e.Value == nil) != (got == nil) || !bytes.Equal(e.Value, got):
			return false
		}
	}
	return true
}

func (b *reference) apply(l *life, write []store.Entry, limit int) error {
	after := len(l.values)
	for _, e := range write {
		_, had := l.values[b.keyName(e.Key)]
		switch {
		case e.Value != nil && !had:
			after++
		case e.Value == nil && had && !b.has("Commit counts no deletes"):
			after--
		}
	}
	grows := after > len(l.values)
	if b.has("Commit refuses above the limit, always") {
		grows = true
	}
	if limit > 0 && after > limit && grows && !b.has("Commit ignores MaxKeys") {
		if !b.has("a refused Commit writes a part") {
			return store.ErrTooManyKeys
		}
		write = write[:1]
	}
	for _, e := range write {
		name := b.keyName(e.Key)
		switch {
		case e.Value != nil:
			l.values[name] = b.own(e.Value, "Commit retains")
		case b.has("Commit stores nil"):
			l.values[name] = []byte{}
		default:
			delete(l.values, name)
		}
	}
	if limit > 0 && after > limit && grows && !b.has("Commit ignores MaxKeys") {
		return store.ErrTooManyKeys
	}
	return nil
}

func (s *refStore) Keys(ctx context.Context) (keys []string, err error) {
	err = s.read(ctx, nil, func(l *life) error {
		keys = slices.Sorted(maps.Keys(l.values))
		switch s.b.bug {
		case "Keys are unsorted":
			slices.Reverse(keys)
		case "Keys list themselves":
			keys = append(keys, "~token")
		case "Keys are sorted as text":
			slices.SortFunc(keys, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
		}
		return nil
	})
	return keys, err
}

func (s *refStore) StableReads() bool { return true }
