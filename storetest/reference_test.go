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
	errs   []error          // guarded by mu; for bugs only

	lists map[string][]refMember // guarded by mu

	destroyed []string // guarded by mu; for bugs only: IDs

	watched map[string]func() // guarded by mu; for bugs only: ends the watching of a session
}

// life is what is kept of a session.
type life struct {
	token  int
	until  time.Time
	values map[string][]byte

	suspended bool              // for bugs only
	terms     store.Terms       // for bugs only: as it was begun
	before    map[string][]byte // for bugs only: the values before the last write
}

// refStore is a handle.
type refStore struct {
	b       *reference
	id      string
	token   int
	maxKeys int

	attached bool            // for bugs only: from Attach
	resumed  bool            // for bugs only: from Resume
	counted  int             // for bugs only: the keys that this handle counts
	seen     map[string]bool // for bugs only: "key=value" that this handle has written
	names    []string        // for bugs only: what Keys returned
}

var errForeign = fmt.Errorf("reference: %w", store.ErrForeignStore)

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

// granted is how long a lease really is.
func (b *reference) granted(lease time.Duration) time.Duration {
	switch b.bug {
	case "leases are cut in half":
		return lease / 2
	case "leases are three times too long":
		return 3 * lease
	case "leases are twice as long":
		return 2 * lease
	case "leases are cut to whole seconds":
		return lease.Truncate(time.Second)
	case "leases are cut to milliseconds":
		return lease.Truncate(time.Millisecond)
	case "leases last a minute at most":
		return min(lease, time.Minute)
	case "leases of years overflow":
		if lease > 30*24*time.Hour {
			return time.Millisecond
		}
	}
	return lease
}

func (b *reference) begin(id string, t store.Terms, values map[string][]byte) *refStore {
	b.serial++
	token := b.serial
	if b.has("the token is the ID") {
		token = 0
	}
	l := &life{token: token, until: time.Now().Add(b.granted(t.Lease)), values: values, terms: t}
	if old := b.lives[b.name(id)]; b.has("expired values stay") && old != nil && values == nil {
		l.values = old.values
	}
	if l.values == nil {
		l.values = make(map[string][]byte)
	}
	b.lives[b.name(id)] = l
	return &refStore{b: b, id: id, token: token, maxKeys: t.MaxKeys, counted: len(l.values)}
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
	if b.has("Create compacts its argument") {
		initial = slices.DeleteFunc(initial, func(e store.Entry) bool { return e.Value == nil })
	}
	var values map[string][]byte
	for _, e := range initial {
		if e.Value == nil && b.has("nil initial values are not checked") {
			continue
		}
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
	n := len(values)
	if b.has("nil initial values count as keys") {
		n = len(initial)
	}
	if t.MaxKeys > 0 && n > t.MaxKeys && !b.has("Create ignores MaxKeys") {
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
		case "a refused Create renews":
			if until := time.Now().Add(t.Lease); until.After(l.until) {
				l.until = until
			}
			return nil, store.ErrExists
		case "a refused Create leases anew":
			l.until = time.Now().Add(t.Lease)
			return nil, store.ErrExists
		case "Create returns what lives":
			return &refStore{b: b, id: id, token: l.token, maxKeys: t.MaxKeys}, nil
		case "error with ID":
			return nil, fmt.Errorf("session %q: %w", id, store.ErrExists)
		case "error with half of the ID":
			return nil, fmt.Errorf("session %.10s…: %w", id, store.ErrExists)
		default:
			return nil, store.ErrExists
		}
	}
	if b.has("initial values are lost") {
		values = nil
	}
	if b.has("Create begins first, then writes") {
		s := b.begin(id, t, nil)
		l := b.lives[b.name(id)]
		for k, v := range values {
			b.pause()
			l.values[k] = v
		}
		return s, nil
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
	switch b.bug {
	case "Attach renews":
		l.until = time.Now().Add(time.Hour)
	case "Attach leases anew":
		l.until = time.Now().Add(t.Lease)
	case "Attach writes back":
		b.writeBack(l)
	case "Attach ends a suspension":
		if l.suspended {
			l.until, l.suspended = time.Now().Add(l.terms.Lease), false
		}
	case "Attach refuses what is beyond MaxKeys":
		if t.MaxKeys > 0 && len(l.values) > t.MaxKeys {
			return nil, store.ErrTooManyKeys
		}
	case "each handle counts for itself":
		return &refStore{b: b, id: id, token: l.token, maxKeys: t.MaxKeys, counted: len(l.values)}, nil
	}
	return &refStore{b: b, id: id, token: l.token, maxKeys: t.MaxKeys, attached: true}, nil
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
		return &refStore{b: b, id: id, token: l.token, maxKeys: t.MaxKeys}, nil
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
	case "Resume copies before it fences":
		values := maps.Clone(l.values)
		b.pause()
		if b.alive(id) != l {
			return nil, store.ErrNoSession
		}
		return b.begin(id, t, values), nil
	case "Resume copies, then begins":
		values := maps.Clone(l.values)
		b.pause()
		return b.begin(id, t, values), nil
	case "Resume leases three times too long":
		t.Lease *= 3
	case "Resume refuses an empty session":
		if len(l.values) == 0 {
			return nil, store.ErrNoSession
		}
	case "Resume refuses what is beyond MaxKeys":
		if t.MaxKeys > 0 && len(l.values) > t.MaxKeys {
			return nil, store.ErrTooManyKeys
		}
	case "Resume drops MaxKeys":
		t.MaxKeys = 0
	}
	r := b.begin(id, t, l.values)
	r.resumed = true
	return r, nil
}

func (b *reference) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := make([]error, len(sessions))
	if b.has("Renew reuses its list of errors") && len(sessions) <= len(b.errs) {
		errs = b.errs[:len(sessions)]
		clear(errs)
	}
	b.errs = errs
	if b.has("Renew sorts its argument") {
		slices.SortFunc(sessions, func(a, b store.Store) int {
			return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
		})
	}
	failed := b.has("Renew always returns a slice")
	for i, raw := range sessions {
		if i > 0 && b.has("Renew reaches one session only") || i >= 128 && b.has("Renew reaches 128 sessions only") {
			break
		}
		errs[i] = b.renew(ctx, raw, lease, len(sessions))
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

// ours returns what the backend handed out.
func (b *reference) ours(ctx context.Context, raw store.Store) (*refStore, error) {
	if err := b.open(ctx); err != nil && b.has("an ended context hides foreign Stores") {
		return nil, err
	}
	s, ok := raw.(*refStore)
	switch {
	case ok && s.b == b:
		return s, b.open(ctx)
	case b.has("foreign Stores are ignored"):
		return nil, nil
	case b.has("foreign Stores are refused with an error of another kind"):
		return nil, errors.New("reference: a foreign Store")
	default:
		return nil, errForeign
	}
}

func (b *reference) renew(ctx context.Context, raw store.Store, lease time.Duration, of int) error {
	s, err := b.ours(ctx, raw)
	if s == nil || err != nil {
		return err
	}
	l := s.life()
	switch {
	case l == nil && b.has("Renew resurrects"):
		b.lives[b.name(s.id)] = &life{token: s.token, until: time.Now().Add(lease), values: make(map[string][]byte)}
		return nil
	case l == nil:
		if later := b.alive(s.id); later != nil && b.has("Renew reaches later lives") {
			later.until = time.Now().Add(lease)
		}
		return store.ErrDestroyed
	case b.has("Renew checks first, then renews"):
		b.pause()
		if later := b.alive(s.id); later != nil && time.Now().Add(lease).After(later.until) {
			later.until = time.Now().Add(lease)
		}
	case b.has("Renew writes back"):
		b.writeBack(l)
	case b.has("Renew through Attach does nothing") && s.attached:
	case b.has("Renew of a suspended session does nothing") && l.suspended:
	case b.has("Renew of a suspended session fails") && l.suspended:
		return store.ErrDestroyed
	case b.has("Renew of several shortens") && of > 1 && lease > 0,
		b.has("Renew shortens a grace") && l.suspended && lease > 0:
		l.until = time.Now().Add(lease)
	case b.has("Renew leases three times too long") && lease > 0:
		if until := time.Now().Add(3 * lease); until.After(l.until) {
			l.until = until
		}
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
	s, err := b.ours(ctx, raw)
	if b.has("Suspend ignores foreign Stores") && errors.Is(err, store.ErrForeignStore) {
		return nil
	}
	if s == nil || err != nil {
		return err
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
	l.suspended = true
	switch {
	case b.has("graces are three times too long"):
		l.until = time.Now().Add(3 * grace)
	case b.has("graces are cut to whole seconds"):
		l.until = time.Now().Add(grace.Truncate(time.Second))
	case b.has("Suspend through Attach does nothing") && s.attached:
	case b.has("Suspend ends an empty session") && len(l.values) == 0:
		delete(b.lives, b.name(s.id))
	case b.has("Suspend writes back"):
		b.writeBack(l)
		l.until = until
	case b.has("Suspend checks first, then writes"):
		b.pause()
		if later := b.alive(s.id); later != nil {
			later.until = time.Now().Add(grace)
		}
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

// writeBack writes the values of l as they were a moment ago.
func (b *reference) writeBack(l *life) {
	values := maps.Clone(l.values)
	b.pause()
	l.values = values
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

// later returns the session's life as it is a moment after l was found to be the
// right one.
func (b *reference) later(s *refStore, l *life, when bug) *life {
	if !b.has(when) {
		return l
	}
	b.pause()
	if later := b.alive(s.id); later != nil {
		return later
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
	if l != nil && s.b.has("reads prolong the lease") {
		l.until = time.Now().Add(time.Hour)
	}
	if l != nil && s.b.has("reads end a suspension") && l.suspended {
		l.until, l.suspended = time.Now().Add(l.terms.Lease), false
	}
	if l == nil {
		if s.b.has("reads after the end find nothing") {
			l = &life{values: map[string][]byte{}}
			return f(l)
		}
		if s.b.has("error with half of the ID") {
			return fmt.Errorf("session %.10s…: %w", s.id, store.ErrDestroyed)
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
			l = &life{token: s.token, until: time.Now().Add(time.Hour), values: make(map[string][]byte)}
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
			l = &life{token: s.token, until: time.Now().Add(time.Hour), values: make(map[string][]byte)}
			s.b.lives[s.b.name(s.id)] = l
		}
	}
	switch s.b.bug {
	case "writes prolong the lease":
		l.until = time.Now().Add(time.Hour)
	case "writes take the lease away":
		l.until = time.Now()
	case "a write ends a suspension":
		if l.suspended {
			l.until, l.suspended = time.Now().Add(l.terms.Lease), false
		}
	case "Set writes the whole session back":
		values := maps.Clone(l.values)
		s.b.pause()
		l.values = values
	}
	before := maps.Clone(l.values)
	err := f(l)
	if err == nil {
		l.before = before
	}
	switch {
	case err != nil && s.b.has("refused writes prolong the lease"):
		l.until = time.Now().Add(time.Hour)
	case err != nil && s.b.has("refused writes take the lease away"):
		l.until = time.Now()
	case err == nil && len(l.values) == 0 && s.b.has("removing the last key prolongs the lease"):
		l.until = time.Now().Add(time.Hour)
	case err == nil && len(l.values) == 0 && len(before) > 0 && s.b.has("removing the last key ends the session"):
		delete(s.b.lives, s.b.name(s.id))
	}
	return err
}

func (s *refStore) Get(ctx context.Context, key string) (value []byte, err error) {
	err = s.read(ctx, []string{key}, func(l *life) error {
		l = s.b.later(s, l, "Get checks the life, then reads")
		values := l.values
		if s.attached && s.b.has("Get through Attach is one write behind") {
			values = l.before
		}
		v, ok := values[s.b.keyName(key)]
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
	if s.b.has("the limit is checked before the life") && s.fullForOthers(key) {
		return store.ErrTooManyKeys
	}
	return s.write(ctx, []string{key}, func(l *life) error {
		name := s.b.keyName(key)
		old, had := l.values[name]
		if s.b.has("a nil value deletes") && value == nil {
			delete(l.values, name)
			return nil
		}
		limit := s.maxKeys
		if s.b.has("MaxKeys is ignored in large sessions") && len(l.values) > 200 {
			limit = 0
		}
		if s.b.has("MaxKeys is off by one") {
			limit++
		}
		n := len(l.values)
		if s.b.has("each handle counts for itself") {
			if n = s.counted; !had {
				s.counted++
			}
		}
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
		if s.seen == nil {
			s.seen = make(map[string]bool)
		}
		s.seen[key+"="+string(value)] = true
		return nil
	})
}

// fullForOthers reports whether the session, whichever life it is in, has no room
// for key.
func (s *refStore) fullForOthers(key string) bool {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	l := s.b.alive(s.id)
	return l != nil && s.maxKeys > 0 && len(l.values) >= s.maxKeys && l.values[key] == nil
}

func (s *refStore) Has(ctx context.Context, key string) (has bool, err error) {
	err = s.read(ctx, []string{key}, func(l *life) error {
		values := l.values
		if s.attached && s.b.has("Has through Attach is one write behind") {
			values = l.before
		}
		var v []byte
		v, has = values[s.b.keyName(key)]
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
	if l != nil && s.b.has("Destroy checks first, then removes") {
		s.b.pause()
	}
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
	if s.b.has("Scan names what was destroyed") {
		s.b.destroyed = append(s.b.destroyed, s.id)
	}
	delete(s.b.lives, s.b.name(s.id))
	return nil
}

func (s *refStore) DestroyIf(ctx context.Context, values []store.Entry) error {
	if s.b.has("DestroyIf is not supported, but done") {
		_ = s.Destroy(ctx)
		return errors.ErrUnsupported
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if err := s.b.open(ctx); err != nil {
		return err
	}
	for _, e := range values {
		if err := s.b.checkKey(e.Key); err != nil {
			return err
		}
	}
	l := s.life()
	if l == nil && s.b.has("DestroyIf forgives the dead") {
		return nil
	}
	if later := s.b.alive(s.id); l == nil && later != nil && s.b.has("DestroyIf hits later lives") {
		l = later
	}
	if l == nil {
		return store.ErrDestroyed
	}
	present := 0
	for _, e := range values {
		got, ok := l.values[s.b.keyName(e.Key)]
		switch {
		case e.Value == nil && s.b.has("DestroyIf ignores expected absence"):
			present++
			continue
		case s.b.has("DestroyIf takes empty for absent") && len(e.Value) == 0 && len(got) == 0:
			if ok {
				present++
			}
			continue
		case ok != (e.Value != nil) || s.b.has("DestroyIf compares lengths") && len(got) != len(e.Value):
			return store.ErrConflict
		case !s.b.has("DestroyIf compares lengths") && !bytes.Equal(got, e.Value):
			return store.ErrConflict
		}
		if ok {
			present++
		}
	}
	if present != len(l.values) && !s.b.has("DestroyIf overlooks further keys") {
		return store.ErrConflict
	}
	if s.b.has("DestroyIf compares first, then removes") {
		s.b.pause()
		if s.life() == nil {
			return store.ErrDestroyed
		}
	}
	if s.b.has("DestroyIf only empties") {
		clear(l.values)
		return nil
	}
	delete(s.b.lives, s.b.name(s.id))
	return nil
}

func (s *refStore) GetMany(ctx context.Context, keys []string) (values [][]byte, err error) {
	if len(keys) == 0 && s.b.has("an empty GetMany asks nobody") {
		return nil, nil
	}
	if s.b.has("GetMany is torn", "GetMany is torn in a moment") {
		for _, k := range keys {
			v, err := s.Get(ctx, k)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return nil, err
			}
			values = append(values, v)
			if s.b.has("GetMany is torn") {
				yield()
			}
		}
		return values, nil
	}
	if s.b.has("GetMany sorts its argument") {
		slices.Sort(keys)
	}
	err = s.read(ctx, keys, func(l *life) error {
		l = s.b.later(s, l, "GetMany checks the life, then reads")
		if s.attached && s.b.has("GetMany through Attach is one write behind") && l.before != nil {
			l = &life{values: l.before}
		}
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

func (s *refStore) CommitTimed(ctx context.Context, expect, write []store.Entry) ([][]byte, time.Duration, error) {
	current, err := s.Commit(ctx, expect, write)
	if err != nil {
		return current, 0, err
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	l := s.life()
	if l == nil {
		return nil, 0, nil
	}
	if s.b.has("CommitTimed says half") {
		return nil, time.Until(l.until) / 2, nil
	}
	return nil, max(0, time.Until(l.until)), nil
}

func (s *refStore) Commit(ctx context.Context, expect, write []store.Entry) (current [][]byte, err error) {
	if s.b.has("Commit is not supported, but done") {
		for _, e := range write {
			_ = s.Set(ctx, e.Key, e.Value)
		}
		return nil, errors.ErrUnsupported
	}
	if len(expect)+len(write) == 0 && s.b.has("an empty Commit asks nobody") {
		return nil, nil
	}
	if s.b.has("Commit checks the limit first") && s.maxKeys > 0 && len(write) > s.maxKeys {
		return nil, store.ErrTooManyKeys
	}
	keys := make([]string, 0, len(expect)+len(write))
	for _, e := range expect {
		keys = append(keys, e.Key)
	}
	for _, e := range write {
		keys = append(keys, e.Key)
	}
	err = s.write(ctx, keys, func(l *life) error {
		l = s.b.later(s, l, "Commit checks the life, then compares")
		found := s.b.current(l, keys[:len(expect)])
		if s.b.has("a refused Commit is torn") {
			for i, k := range keys[:len(expect)] {
				found[i] = l.values[k]
				s.b.pause()
			}
		}
		if s.b.has("Commit accepts the old value after a Delete") {
			for i, e := range expect {
				if found[i] == nil && s.seen[e.Key+"="+string(e.Value)] {
					found[i] = e.Value
				}
			}
		}
		if s.b.has("Commit looks at 100 expectations only") && len(expect) > 100 {
			expect = expect[:100]
		}
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
		limit := s.maxKeys
		if s.attached && s.b.has("Commit through Attach has no limit") || s.resumed && s.b.has("Commit after Resume has no limit") {
			limit = 0
		}
		if s.b.has("Commit counts first, then writes") {
			if err := s.b.apply(&life{values: maps.Clone(l.values)}, write, limit); err != nil {
				return err
			}
			s.b.pause()
			limit = 0
		}
		if s.b.has("Commit writes one key after another") {
			for i := range write {
				if err := s.b.apply(l, write[i:i+1], limit); err != nil {
					return err
				}
				s.b.pause()
			}
			return nil
		}
		return s.b.apply(l, write, limit)
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
		if s.b.has("Keys returns one list again and again") {
			s.names = append(s.names[:0], keys...)
			keys = s.names
		}
		switch s.b.bug {
		case "Keys are torn":
			first := keys[: len(keys)/2 : len(keys)/2]
			s.b.pause()
			rest := slices.Sorted(maps.Keys(l.values))
			if len(first) > 0 {
				rest = slices.DeleteFunc(rest, func(k string) bool { return k <= first[len(first)-1] })
			}
			keys = append(first, rest...)
		case "Keys lists 100 at most":
			keys = keys[:min(len(keys), 100)]
		case "Keys through Attach are one write behind":
			if s.attached && l.before != nil {
				keys = slices.Sorted(maps.Keys(l.before))
			}
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
