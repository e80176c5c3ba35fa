package backends

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

// MigrateOptions configures [Migrate]. The zero value is ready to use.
type MigrateOptions struct {
	// Stay leaves sessions where they are, and begins new ones on the old backend. Sessions that
	// have moved are found all the same. It is for the deployment before the move. While each
	// process has either Stay or moves, no client loses its session by the process it meets.
	Stay bool

	// MoveOnAttach lets Attach move sessions, too, with the time that they have left. It is for
	// sessions that no process owns, as those of [store.Sessions.CreateFor] and of package
	// httpsession, which nobody ever resumes. A session that a process owns is taken from it, so leave
	// it off where there are such. It needs an old backend that is a [store.Indexer].
	MoveOnAttach bool

	// Logger gets a line when the new backend refuses a session for good, the first time only. Nil drops it.
	Logger *slog.Logger
}

// MigrationStats counts what a [Migration] has done in this process.
type MigrationStats struct {
	Moved   uint64    // sessions that were moved to the new backend
	Kept    uint64    // sessions that were resumed at the old one, because the new one refuses them, or by Stay
	Failed  uint64    // moves that failed; the session stayed where it was, unless the error said that it is unknown
	Old     uint64    // calls of Attach and Resume that found their session at the old backend
	LastOld time.Time // of these calls the last; zero when there was none
}

// A Migration is a [store.Backend] that moves sessions from an old backend to a new one while clients
// use them. It begins sessions on the new backend. Resume moves a session whole. Attach finds a session
// in either place and leaves it there. Its owner may be a process that serves the client from the old
// backend alone. [Migrate] makes it. Every method is safe for concurrent use.
//
// # How a session moves
//
// Two servers have no step in common. What a move has is the contract. DestroyIf ends a life in one step with the
// comparison of its values, and Commit compares as well. Create fails while a session lives. Resume refuses all
// earlier handles, however late their calls come. So:
//
//  1. Look at the new backend. A session there that has no mark of a move is the session: it has moved, or was begun there.
//  2. Attach to it at the old one. Nothing is disturbed yet: a move that fails leaves the session, its
//     owner and its deadline as they were.
//  3. Read all values.
//  4. Create a copy at the new backend, with a mark that says "pending". Nobody serves a session with a mark.
//  5. Ask whether the session still lives at the old backend. A Destroy that came before step 4 shows here, a
//     later one through a Migration removes the copy. Then make the mark "ready".
//  6. DestroyIf at the old backend with the values of step 3. That is the move: in this step all handles of
//     before end, and the copy becomes the session. A write that came in between changes the values. Then the
//     copy is removed and step 3 follows again, so every write that was acknowledged comes along.
//  7. Remove the mark, and hand out the session.
//
// Writers that never pause could keep step 6 from its end. After three attempts a Resume at the old backend refuses
// them. Such a Resume also comes when the reply to step 6 was lost. A session that still lives there refuses the
// lost step from then on. One that is gone has moved.
//
// # What others meet meanwhile
//
// While the session lives at the old backend, it is the session, whatever copy is at the new one. Who looks at the new backend and
// finds nothing looks at the old one. Then it looks once more at the new one, because the session may have moved in between. A mark
// with nothing at the old backend means that a mover is at step 7. It is waited for, a second at most. If it has died, whoever comes
// removes a "ready" mark and goes on with the session, and drops a "pending" one. A mark beside a living session is waited for as
// well, then refused with a Resume, removed, and the session is moved anew. So a mover may die after any step. The next Resume, on
// any node, finds the session, within the lease that its owner's death would have left it.
//
// Of two movers of one session one wins step 6. The other waits for it, and resumes the session at the new
// backend, as the later of two Resumes does anywhere.
//
// Destroy through a Migration, at the old backend, removes a copy that has a mark after it. It does
// so by changing the mark to "dead" first, where step 7 finds it. A handle whose life has ended before touches nothing.
//
// # What remains
//
//   - A process on the old backend alone does not see the new one: a client that comes to it after
//     the move begins a new session. Deploy Stay first, and there is no such process when sessions move.
//   - Such a process does not remove copies, either. If a mover dies at step 6, and such a process
//     destroys the session within a lease of that, a Resume after it may find the copy. The same goes for a
//     session that ends there in that time because it was suspended for less.
//   - An ID that is begun at both backends at once lives twice. IDs of [store.NewID] are never begun twice.
//   - Sealed values, and indexes, are bound to the namespace, and cannot change it: [Migration.Namespace] is that of
//     the new backend. Use the same one where [store.Options] has a Sealer or Indexes.
//   - Both servers must answer. While the new one does not, nothing is begun or found, and nothing is lost.
//   - What the new backend refuses for good, because it is too large for it, stays at the old one and is resumed there.
//
// # Abilities
//
// Stores read many keys, commit, list keys and end conditionally where their own backend does. A session
// moves only where both do all of that. Notices, indexes and scans are there where both backends have
// them. Entries of indexes are put to both, since processes on either alone must find them.
type Migration struct {
	old, new place
	opts     MigrateOptions
	ctx      context.Context // ends with Close
	stop     context.CancelFunc
	closed   atomic.Bool

	mu    sync.Mutex     // orders the beginning of moves and Close
	moves sync.WaitGroup // moves in progress

	moved, kept, failed, met atomic.Uint64
	lastOld                  atomic.Int64 // Unix nanoseconds
	refused                  sync.Once    // logs
}

// A place is one of the two backends.
type place struct{ store.Backend }

var (
	errNotMigrate  = errors.New("backends: this Migration is nil or was not made by Migrate")
	errNoBackend   = errors.New("backends: Migrate needs two backends, and one is nil; pass what Open returned")
	errSameBackend = errors.New("backends: Migrate was given the same backend twice; there is nothing to move")
	errFromMemory  = errors.New("backends: Migrate cannot move sessions from or to memory: no other process reaches it, and it ends with its own; open the new backend alone, and clients begin anew")
)

// Migrate returns a backend that begins sessions on to and moves those of from there, as clients come back. Use it
// in place of from on every node, and to alone when from is empty; docs/migrate-backends.md has the
// steps. The two may be any backends of servers, also of different namespaces. Closing the Migration closes
// both. A nil opts means defaults.
func Migrate(from, to store.Backend, opts *MigrateOptions) (*Migration, error) {
	if isNil(from) || isNil(to) {
		return nil, errNoBackend
	}
	if same(from, to) {
		return nil, errSameBackend
	}
	for _, b := range []store.Backend{from, to} {
		if _, ok := beneath(b).(*memstore.Backend); ok {
			return nil, errFromMemory
		}
	}
	return migrate(from, to, opts), nil
}

// migrate is Migrate without its refusals.
func migrate(from, to store.Backend, opts *MigrateOptions) *Migration {
	m := &Migration{old: place{from}, new: place{to}}
	if opts != nil {
		m.opts = *opts
	}
	if m.opts.Logger == nil {
		m.opts.Logger = silent
	}
	m.ctx, m.stop = context.WithCancel(context.Background())
	return m
}

// isNil reports whether b is nil or holds a nil pointer.
func isNil(b store.Backend) bool {
	if b == nil {
		return true
	}
	v := reflect.ValueOf(b)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// beneath returns the backend that Open has put an owner around.
func beneath(b store.Backend) store.Backend {
	if o, ok := b.(*owning); ok {
		return o.Backend
	}
	return b
}

// same reports whether a and b are one backend.
func same(a, b store.Backend) bool {
	a, b = beneath(a), beneath(b)
	return reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

func (m *Migration) made() bool { return m != nil && m.new.Backend != nil }

// usable returns nil, or why no call can succeed.
func (m *Migration) usable(ctx context.Context) error {
	switch {
	case !m.made():
		return errNotMigrate
	case ctx.Err() != nil:
		return ctx.Err()
	case m.closed.Load():
		return store.ErrClosed
	}
	return nil
}

// Stats returns what this process has moved so far. The old backend is empty when no process that uses it alone, or
// with Stay, is left. LastOld of all others must be longer ago than any session lives without a call.
func (m *Migration) Stats() MigrationStats {
	if !m.made() {
		return MigrationStats{}
	}
	s := MigrationStats{Moved: m.moved.Load(), Kept: m.kept.Load(), Failed: m.failed.Load(), Old: m.met.Load()}
	if at := m.lastOld.Load(); at != 0 {
		s.LastOld = time.Unix(0, at)
	}
	return s
}

// meet counts a session that was found at the old backend.
func (m *Migration) meet() {
	m.met.Add(1)
	m.lastOld.Store(time.Now().UnixNano())
}

// Namespace returns that of the new backend.
func (m *Migration) Namespace() string {
	if !m.made() {
		return ""
	}
	return m.new.Namespace()
}

// Create implements [store.Backend].
func (m *Migration) Create(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	if m.opts.Stay {
		return m.createOld(ctx, id, initial, t)
	}
	// First the old backend: what lives there is to move, and nothing may block its way.
	switch _, err := m.old.Attach(ctx, id, store.Terms{Lease: t.Lease}); {
	case err == nil:
		return nil, store.ErrExists
	case !errors.Is(err, store.ErrNoSession):
		return nil, err
	}
	s, err := m.new.Create(ctx, id, initial, t)
	return m.handOut(&m.new, id, s, err)
}

// createOld begins a session at the old backend, unless it lives at the new one. It looks after it has
// begun it: looking before, it would miss one that moves in between.
func (m *Migration) createOld(ctx context.Context, id string, initial []store.Entry, t store.Terms) (store.Store, error) {
	s, err := m.old.Create(ctx, id, initial, t)
	if err != nil {
		return nil, err
	}
	_, err = m.new.Attach(ctx, id, store.Terms{Lease: t.Lease})
	if errors.Is(err, store.ErrNoSession) {
		return m.handOut(&m.old, id, s, nil)
	}
	if err == nil {
		err = store.ErrExists
	}
	cleaning, cancel := cleanup(ctx)
	defer cancel()
	if left := s.Destroy(cleaning); left != nil {
		return nil, errors.Join(err, left)
	}
	return nil, err
}

// Attach implements [store.Backend].
func (m *Migration) Attach(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	var w waiting
	for move := m.opts.MoveOnAttach && !m.opts.Stay; ; {
		seen, err := m.see(ctx, &w, id, t)
		if err != nil {
			return nil, err
		}
		switch {
		case seen.new != nil && seen.mark == nil:
			return m.handOut(&m.new, id, seen.new, nil)
		case move && seen.mark != nil && !w.over(seen.mark):
			if err := w.pause(ctx); err != nil {
				return nil, err
			}
		case move:
			move = false // once
			left := m.timeLeft(ctx, seen.old)
			if left <= 0 {
				continue
			}
			m.meet()
			s, err := m.move(ctx, id, store.Terms{Lease: left, MaxKeys: t.MaxKeys}, seen)
			if err == nil || errors.Is(err, store.ErrUnknownOutcome) {
				return s, err
			}
		default:
			m.meet()
			return m.handOut(&m.old, id, seen.old, nil)
		}
	}
}

// Resume implements [store.Backend]. It moves the session.
func (m *Migration) Resume(ctx context.Context, id string, t store.Terms) (store.Store, error) {
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	var w waiting
	for again := 0; ; {
		seen, err := m.see(ctx, &w, id, t)
		if err != nil {
			return nil, err
		}
		switch {
		case seen.new != nil && seen.mark == nil:
			s, err := m.new.Resume(ctx, id, t)
			return m.handOut(&m.new, id, s, err)
		case m.opts.Stay:
			m.meet()
			s, err := m.keep(ctx, id, t, seen)
			if !errors.Is(err, errAgain) {
				return s, err
			}
		case seen.mark != nil && !w.over(seen.mark):
			if err := w.pause(ctx); err != nil {
				return nil, err
			}
		default:
			m.meet()
			s, err := m.move(ctx, id, t, seen)
			if errors.Is(err, errRefused) {
				s, err = m.keep(ctx, id, t, sight{})
			}
			if !errors.Is(err, errAgain) {
				return s, err
			}
			if again++; again == mostAgain {
				m.failed.Add(1)
				return nil, errRestless
			}
		}
	}
}

// mostAgain is how often a move begins anew because somebody else was faster.
const mostAgain = 20

var errRestless = errors.New("backends: the session does not stand still long enough to be moved; is the lease shorter than a move takes?")

// keep resumes a session at the old backend, and removes what a mover has left.
func (m *Migration) keep(ctx context.Context, id string, t store.Terms, seen sight) (store.Store, error) {
	s, err := m.old.Resume(ctx, id, t)
	if errors.Is(err, store.ErrNoSession) {
		return nil, errAgain // it may have moved
	}
	if err != nil {
		return nil, err
	}
	m.kept.Add(1)
	if seen.mark != nil {
		// The copy was seen before this life began, so it is nobody's session.
		cleaning, cancel := cleanup(ctx)
		defer cancel()
		_ = kill(cleaning, seen.new, seen.mark) // otherwise it ends with its lease
	}
	return m.handOut(&m.old, id, s, nil)
}

// Renew implements [store.Backend].
func (m *Migration) Renew(ctx context.Context, sessions []store.Store, lease time.Duration) []error {
	return m.split(ctx, sessions, func(p *place, part []store.Store, _ []int) []error {
		return p.Renew(ctx, part, lease)
	})
}

// Suspend implements [store.Backend].
func (m *Migration) Suspend(ctx context.Context, session store.Store, grace time.Duration) error {
	h, err := m.own(session)
	if err != nil {
		return err
	}
	if err := m.usable(ctx); err != nil {
		return err
	}
	return h.at.Suspend(ctx, h.Store, grace)
}

// Watch implements [store.Watcher] where both backends do.
func (m *Migration) Watch(session store.Store, hint func()) (stop func(), err error) {
	h, err := m.own(session)
	if err != nil {
		return nil, err
	}
	for _, p := range []*place{&m.old, &m.new} {
		if _, ok := beneath(p.Backend).(store.Watcher); !ok {
			return store.Watch(p.Backend, h.Store, hint) // says what is missing
		}
	}
	return store.Watch(h.at.Backend, h.Store, hint)
}

// Close closes both backends, after moves in progress have ended or been taken back. Closing twice is
// harmless.
func (m *Migration) Close() error {
	if !m.made() {
		return nil
	}
	m.mu.Lock()
	m.closed.Store(true)
	m.mu.Unlock()
	m.stop()
	m.moves.Wait()
	return errors.Join(m.old.Close(), m.new.Close())
}

// timeLeft returns for how long a session at the old backend lives, 0 where that cannot be told.
func (m *Migration) timeLeft(ctx context.Context, s store.Store) time.Duration {
	x, err := store.AsIndexer(m.old.Backend)
	if err != nil {
		return 0
	}
	left, err := x.TimeLeft(ctx, s)
	if err != nil {
		return 0
	}
	return left
}

// cleanupTime is how long a call goes on after its context, to leave nothing half done.
const cleanupTime = 5 * time.Second

func cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
}
