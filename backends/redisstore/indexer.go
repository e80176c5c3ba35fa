package redisstore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/keyspace"
)

var _ store.Indexer = (*Backend)(nil)

// pageSize is about how many members of a list one call of Entries returns.
const pageSize = 256

var (
	errEntry  = errors.New("an index entry needs a list of 1 to 64 of the characters A-Z a-z 0-9 _ . - and a member of 1 to 1024 bytes")
	errTTL    = errors.New("the time that an index entry is to stay must be positive")
	errExpect = errors.New("RenewIf needs the values that are expected of each session")
	errCursor = errors.New("the cursor does not come from Entries")
)

// fewEntries is up to how many entries are put one by one, together with the operations of others. These
// are those of a write, which is waiting for them.
const fewEntries = 4

// PutEntries makes each entry stay for ttl; see [store.Indexer]. It is one round trip for every 1024 entries.
func (b *Backend) PutEntries(ctx context.Context, entries []store.IndexEntry, ttl time.Duration) []error {
	return b.eachEntry(ctx, entries, func(refused error) *renewal {
		if refused == nil && ttl <= 0 {
			refused = errTTL
		}
		return &renewal{refused: refused, lease: expiryOf(ttl), script: putScript}
	})
}

// RemoveEntries removes each entry; see [store.Indexer].
func (b *Backend) RemoveEntries(ctx context.Context, entries []store.IndexEntry) error {
	for _, err := range b.eachEntry(ctx, entries, func(refused error) *renewal {
		return &renewal{refused: refused, script: removeScript}
	}) {
		if err != nil {
			return err
		}
	}
	return nil
}

// eachEntry does with each entry what the renewal that of returns says.
func (b *Backend) eachEntry(ctx context.Context, entries []store.IndexEntry, of func(refused error) *renewal) []error {
	r := of(b.open(ctx))
	r.b, r.ctx, r.errs = b, ctx, make([]error, len(entries))
	r.todo = make([]target, 0, len(entries))
	for i := range entries {
		switch e := &entries[i]; {
		case r.refused != nil:
			r.errs[i] = r.refused
		case !keyspace.IsList(e.Index) || len(e.Member) == 0 || len(e.Member) > keyspace.MaxMember:
			r.errs[i] = errEntry
		default:
			r.todo = append(r.todo, target{at: i, name: b.namespace.List(e.Index), member: e.Member})
		}
	}
	if len(r.todo) <= fewEntries {
		r.each(r.todo)
	} else {
		r.all()
	}
	return r.outcomes()
}

// Entries returns a page of a list; see [store.Indexer].
func (b *Backend) Entries(ctx context.Context, index, cursor string) (members []string, next string, err error) {
	if err := b.open(ctx); err != nil {
		return nil, "", err
	}
	if !keyspace.IsList(index) {
		return nil, "", errEntry
	}
	if cursor == "" {
		cursor = "0"
	} else if !isDigits(cursor) {
		return nil, "", errCursor
	}
	reply, err := b.eval(ctx, read, pageScript, b.namespace.List(index), cursor, pageSize)
	if err != nil {
		return nil, "", err
	}
	page := reply.([]any)
	for _, m := range page[1:] {
		members = append(members, m.(string))
	}
	if next = page[0].(string); next == "0" {
		next = ""
	}
	return members, next, nil
}

// RenewIf is Renew on a condition; see [store.Indexer].
func (b *Backend) RenewIf(ctx context.Context, sessions []store.Store, expect [][]store.Entry, lease time.Duration) []error {
	if len(expect) != len(sessions) {
		return slices.Repeat([]error{errExpect}, len(sessions))
	}
	return b.renewAll(sessions, &renewal{b: b, ctx: ctx, lease: expiryOf(lease), expect: expect, script: renewIfScript})
}

// SuspendIf is Suspend on a condition; see [store.Indexer].
func (b *Backend) SuspendIf(ctx context.Context, session store.Store, expect []store.Entry, grace time.Duration) error {
	s := b.ours(session)
	if s == nil {
		return errForeign
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	args, err := expected([]any{expiryOf(grace)}, expect)
	if err != nil {
		return err
	}
	defer s.forget()
	cmd, err := b.evalCommand(ctx, again, suspendIfScript, 0, s.name, s.token, args...)
	s.tell(err)
	if err != nil {
		return err
	}
	err = s.endBy(cmd.answer())
	if err == nil && cmd.answer() == answerOtherValues {
		err = store.ErrConflict
	}
	if err != nil && cmd.repeated {
		return &unknownError{cause: errSince}
	}
	return err
}

// expected appends what the scripts take of values that are expected.
func expected(args []any, expect []store.Entry) ([]any, error) {
	for _, e := range expect {
		if err := store.CheckKey(e.Key); err != nil {
			return nil, err
		}
		present := 0
		if e.Value != nil {
			present = 1
		}
		args = append(args, e.Key, present, e.Value)
	}
	return args, nil
}

// TimeLeft returns how long the session has yet; see [store.Indexer].
func (b *Backend) TimeLeft(ctx context.Context, session store.Store) (time.Duration, error) {
	s := b.ours(session)
	if s == nil {
		return 0, errForeign
	}
	if err := s.check(ctx); err != nil {
		return 0, err
	}
	answer, err := b.evalList(ctx, read, timeLeftScript, 1, s.name, s.token)
	if err == nil {
		err = s.endBy(answer)
	}
	if err != nil {
		return 0, err
	}
	left, err := timeOf(answer.([]any))
	if err != nil {
		return 0, b.explain(errReply)
	}
	return left, nil
}

// timeOf returns the time that a list of milliseconds says, and zero where it is too long to be one.
func timeOf(list []any) (time.Duration, error) {
	left, err := strconv.ParseInt(list[0].(string), 10, 64)
	if err != nil {
		return 0, err
	}
	return time.Duration(left+1) * time.Millisecond, nil // PTTL rounds down
}

// sameKeys reports whether the same keys are expected of all sessions of a group.
func (r *renewal) sameKeys(group []target) bool {
	first := r.expect[group[0].at]
	for _, t := range group[1:] {
		if !slices.EqualFunc(first, r.expect[t.at], func(a, b store.Entry) bool { return a.Key == b.Key }) {
			return false
		}
	}
	return true
}

// noValue takes the place of a value that is absent.
var noValue any = ""

// flagsOf holds the flags of few keys, so that they need no memory.
var flagsOf = map[string]any{"0": "0", "1": "1", "00": "00", "01": "01", "10": "10", "11": "11", "000": "000", "110": "110", "101": "101", "111": "111"}

// An expectedValue is the value of an entry as an argument. Its address takes no memory of its own.
type expectedValue store.Entry

// MarshalBinary returns the value.
func (e *expectedValue) MarshalBinary() ([]byte, error) { return e.Value, nil }

// mergedRenewIf appends what the merged script takes for a group.
func (r *renewal) mergedRenewIf(args []any, group []target) []any {
	first := r.expect[group[0].at]
	args = append(args, r.lease, len(first))
	for _, e := range first {
		args = append(args, e.Key)
	}
	for i := range group {
		t := &group[i]
		at := len(args) + 1
		args = append(args, t.s.token, nil)
		present := make([]byte, 0, 8)
		for j := range r.expect[t.at] {
			e := &r.expect[t.at][j]
			if e.Value == nil {
				present = append(present, '0')
				args = append(args, noValue)
				continue
			}
			present = append(present, '1')
			args = append(args, (*expectedValue)(e))
		}
		if args[at] = flagsOf[string(present)]; args[at] == nil {
			args[at] = string(present)
		}
	}
	return args
}
