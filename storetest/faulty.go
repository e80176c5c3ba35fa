package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sessionkv/store"
)

// An Op names an operation of a [store.Backend] or a [store.Store].
//
// Typed keys make these of their own methods: Key.Get, GetOr and Lookup are OpGet, Set is OpSet. SetIfAbsent,
// Save and the writes of Take, Update and Session.Update are OpCommit. Load of several keys is OpGetMany. The
// renewal of leases is OpRenew. The last step of Sessions.Rotate is OpDestroyIf. Where there are indexes, a Set
// of an indexed key is OpPutEntries and OpCommit. Key.Find is OpEntries, OpAttach and OpGet. RenewIf and
// SuspendIf of the backend are OpRenew and OpSuspend.
type Op string

// The operations. AnyOp is all of them.
const (
	AnyOp     Op = ""
	OpCreate  Op = "create"
	OpAttach  Op = "attach"
	OpResume  Op = "resume"
	OpRenew   Op = "renew"
	OpSuspend Op = "suspend"
	OpGet     Op = "get"
	OpSet     Op = "set"
	OpHas     Op = "has"
	OpDelete  Op = "delete"
	OpDestroy Op = "destroy"
	OpGetMany Op = "getmany"
	OpCommit  Op = "commit"
	OpKeys    Op = "keys"

	OpDestroyIf Op = "destroyif"

	OpPutEntries    Op = "putentries"
	OpRemoveEntries Op = "removeentries"
	OpEntries       Op = "entries"
	OpTimeLeft      Op = "timeleft"

	OpScan Op = "scan"
)

// ErrFault is what an operation fails with when it was told to fail with nil.
var ErrFault = errors.New("storetest: this failure was asked for")

// errNotFaulty refuses a FaultyBackend that Faulty did not make.
var errNotFaulty = errors.New("storetest: this FaultyBackend is nil or was not made by Faulty over a Backend")

// A FaultyBackend is a [store.Backend] with operations that fail on request. All
// else goes to the backend beneath, with all its abilities. [Faulty] makes it. Its
// methods are safe for concurrent use.
type FaultyBackend struct {
	store.Backend // the Stores of this one ask for faults

	mu     sync.Mutex
	faults []*fault   // guarded by mu; the oldest first
	calls  map[Op]int // guarded by mu
}

// A fault is what was asked for.
type fault struct {
	op    Op
	err   error
	once  bool
	after bool // the operation is done first
}

// Faulty returns backend with operations that can be told to fail.
func Faulty(backend store.Backend) *FaultyBackend {
	f := &FaultyBackend{calls: make(map[Op]int)}
	f.Backend = store.WrapStores(backend, func(s store.Store) store.Store { return &faultyStore{f, s} })
	return f
}

// Fail makes every op fail with err, before it does anything, until [FaultyBackend.Heal].
func (f *FaultyBackend) Fail(op Op, err error) { f.add(&fault{op: op, err: err}) }

// FailOnce makes the next op fail with err, before it does anything.
func (f *FaultyBackend) FailOnce(op Op, err error) { f.add(&fault{op: op, err: err, once: true}) }

// LoseReply makes the next op take effect and then fail, as when the reply gets lost on
// the network: with [store.ErrUnknownOutcome] when it writes.
func (f *FaultyBackend) LoseReply(op Op) {
	f.add(&fault{op: op, err: store.ErrUnknownOutcome, once: true, after: true})
}

// Heal takes back what was asked for each of ops, or everything when none is given.
func (f *FaultyBackend) Heal(ops ...Op) {
	if !f.made() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = slices.DeleteFunc(f.faults, func(x *fault) bool { return len(ops) == 0 || slices.Contains(ops, x.op) })
}

// Calls returns how often op was called, whether it failed or not.
func (f *FaultyBackend) Calls(op Op) int {
	if !f.made() {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if op != AnyOp {
		return f.calls[op]
	}
	n := 0
	for _, calls := range f.calls {
		n += calls
	}
	return n
}

// made reports whether Faulty has made f, over a Backend.
func (f *FaultyBackend) made() bool { return f != nil && f.Backend != nil }

func (f *FaultyBackend) add(x *fault) {
	if !f.made() {
		return
	}
	if x.err == nil {
		x.err = ErrFault
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, x)
}

// begin counts a call of op. It returns the error that the call is to fail with now,
// and the one that it is to fail with when it is done.
func (f *FaultyBackend) begin(op Op) (now, after error) {
	if !f.made() {
		return errNotFaulty, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	for i, x := range f.faults {
		if x.op != AnyOp && x.op != op {
			continue
		}
		if x.once {
			f.faults = slices.Delete(f.faults, i, i+1)
		}
		if x.after {
			return nil, x.err
		}
		return x.err, nil
	}
	return nil, nil
}

// call is one call of op.
func call[T any](f *FaultyBackend, op Op, do func() (T, error)) (T, error) {
	var zero T
	err, after := f.begin(op)
	if err != nil {
		return zero, err
	}
	v, err := do()
	if err == nil && after != nil {
		return zero, after
	}
	return v, err
}

// Namespace implements [store.Backend].
func (f *FaultyBackend) Namespace() string {
	if !f.made() {
		return ""
	}
	return f.Backend.Namespace()
}

// Close implements [store.Backend].
func (f *FaultyBackend) Close() error {
	if !f.made() {
		return nil
	}
	return f.Backend.Close()
}

func (f *FaultyBackend) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	return call(f, OpCreate, func() (store.Store, error) { return f.Backend.Create(ctx, id, initial, t) })
}

func (f *FaultyBackend) Attach(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	return call(f, OpAttach, func() (store.Store, error) { return f.Backend.Attach(ctx, id, t) })
}

func (f *FaultyBackend) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	return call(f, OpResume, func() (store.Store, error) { return f.Backend.Resume(ctx, id, t) })
}

func (f *FaultyBackend) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	if f.made() && (len(sessions) == 0 || ctx.Err() != nil) {
		return f.Backend.Renew(ctx, sessions, lease)
	}
	err, after := f.begin(OpRenew)
	var errs []error
	if err == nil {
		errs, err = f.Backend.Renew(ctx, sessions, lease), after
	}
	if err == nil || errs != nil {
		return errs
	}
	return slices.Repeat([]error{err}, len(sessions))
}

func (f *FaultyBackend) Suspend(ctx context.Context, session store.Store, grace time.Duration) error {
	_, err := call(f, OpSuspend, func() (struct{}, error) { return struct{}{}, f.Backend.Suspend(ctx, session, grace) })
	return err
}

// Places implements [store.Placer] where the backend beneath does.
func (f *FaultyBackend) Places() func(id string) uint32 {
	if !f.made() {
		return nil
	}
	return store.Places(f.Backend)
}

// Watch implements [store.Watcher] where the backend beneath does.
func (f *FaultyBackend) Watch(session store.Store, hint func()) (stop func(), err error) {
	if !f.made() {
		return nil, errNotFaulty
	}
	return store.Watch(f.Backend, session, hint)
}

// faultyStore is a Store of a FaultyBackend.
type faultyStore struct {
	f *FaultyBackend
	s store.Store
}

func (s *faultyStore) Get(ctx context.Context, key string) ([]byte, error) {
	return call(s.f, OpGet, func() ([]byte, error) { return s.s.Get(ctx, key) })
}

func (s *faultyStore) Set(ctx context.Context, key string, value []byte) error {
	_, err := call(s.f, OpSet, func() (struct{}, error) { return struct{}{}, s.s.Set(ctx, key, value) })
	return err
}

func (s *faultyStore) Has(ctx context.Context, key string) (bool, error) {
	return call(s.f, OpHas, func() (bool, error) { return s.s.Has(ctx, key) })
}

func (s *faultyStore) Delete(ctx context.Context, key string) error {
	_, err := call(s.f, OpDelete, func() (struct{}, error) { return struct{}{}, s.s.Delete(ctx, key) })
	return err
}

func (s *faultyStore) Destroy(ctx context.Context) error {
	_, err := call(s.f, OpDestroy, func() (struct{}, error) { return struct{}{}, s.s.Destroy(ctx) })
	return err
}

func (s *faultyStore) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	return call(s.f, OpGetMany, func() ([][]byte, error) { return store.GetMany(ctx, s.s, keys) })
}

func (s *faultyStore) Commit(ctx context.Context, expect, write []store.Entry) ([][]byte, error) {
	current, _, err := s.commit(func() ([][]byte, time.Duration, error) {
		current, err := store.Commit(ctx, s.s, expect, write)
		return current, 0, err
	})
	return current, err
}

func (s *faultyStore) CommitTimed(ctx context.Context, expect, write []store.Entry) ([][]byte, time.Duration, error) {
	return s.commit(func() ([][]byte, time.Duration, error) { return store.CommitTimed(ctx, s.s, expect, write) })
}

func (s *faultyStore) commit(commit func() ([][]byte, time.Duration, error)) (current [][]byte, left time.Duration, err error) {
	err, after := s.f.begin(OpCommit)
	if err != nil {
		return nil, 0, err
	}
	current, left, err = commit()
	if err == nil && after != nil {
		return nil, 0, after
	}
	return current, left, err // a refusal comes with the current values
}

func (s *faultyStore) Keys(ctx context.Context) ([]string, error) {
	return call(s.f, OpKeys, func() ([]string, error) { return store.Keys(ctx, s.s) })
}

func (s *faultyStore) DestroyIf(ctx context.Context, values []store.Entry) error {
	_, err := call(s.f, OpDestroyIf, func() (struct{}, error) { return struct{}{}, store.DestroyIf(ctx, s.s, values) })
	return err
}
