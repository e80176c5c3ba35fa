package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sessionkv/store"
)

// The keys of the rules about typed sessions.
const (
	name    = store.Key[string]("name")
	count   = store.Key[int]("count")
	reserve = store.Key[int]("reserve")
	blob    = store.Key[[]byte]("blob")
	when    = store.Key[time.Time]("when")
	profile = store.Key[visitor]("profile")
	pointer = store.Key[*visitor]("pointer")
	anykind = store.Key[any]("anykind")
)

// visitor is a value as sessions hold it.
type visitor struct {
	Name  string
	Rooms []string
	Admin bool
	Seen  map[string]int
}

// sessionRules hold the typed layer, which is package store's own, together with the backend.
var sessionRules = []rule{
	{name: "typed values are read back by every node", run: func(x *env) {
		v := visitor{"Ann", []string{"a", "b"}, true, map[string]int{"a": 1}}
		at := time.Unix(1_700_000_000, 123456789).UTC()
		s := x.a.open(nil).create(name.To("u-42"))
		s.do("count.Set(-7)", count.Set(x.ctx, s.Session, -7)).ok()
		s.do("blob.Set(…)", blob.Set(x.ctx, s.Session, []byte{0, 255, 0})).ok()
		s.do("when.Set(…)", when.Set(x.ctx, s.Session, at)).ok()
		s.do("profile.Set(…)", profile.Set(x.ctx, s.Session, v)).ok()
		for _, s := range []*typed{s, x.b.open(nil).attach(s.ID())} {
			read(s, name).gives("u-42")
			read(s, count).gives(-7)
			read(s, blob).gives([]byte{0, 255, 0})
			read(s, profile).gives(v)
			if got, err := when.Get(x.ctx, s.Session); err != nil || !got.Equal(at) {
				x.fail(s.name+": when.Get()", fmt.Sprint(got, ", ", err), fmt.Sprint(at))
			}
		}
	}},
	{name: "an empty typed value is a value", run: func(x *env) {
		s := x.a.open(nil).create()
		read(s, name).fails(store.ErrNotFound)
		s.do("name.Set(\"\")", name.Set(x.ctx, s.Session, "")).ok()
		read(s, name).gives("")
		s.do("blob.Set(empty)", blob.Set(x.ctx, s.Session, []byte{})).ok()
		_, ok, err := blob.Lookup(x.ctx, s.Session)
		s.does("blob.Lookup()", ok, err).gives(true)
		s.do("name.Delete()", name.Delete(x.ctx, s.Session)).ok()
		got, err := name.GetOr(x.ctx, s.Session, "fallback")
		s.does("name.GetOr(fallback)", got, err).gives("fallback")
	}},
	{name: "nil is refused with ErrNilValue and stores nothing", run: func(x *env) {
		ss := x.a.open(nil)
		s := ss.create()
		s.do("pointer.Set(nil)", pointer.Set(x.ctx, s.Session, nil)).fails(store.ErrNilValue)
		s.do("anykind.Set(nil)", anykind.Set(x.ctx, s.Session, nil)).fails(store.ErrNilValue)
		if x.has(canCommit) {
			_, err := pointer.SetIfAbsent(x.ctx, s.Session, nil)
			s.do("pointer.SetIfAbsent(nil)", err).fails(store.ErrNilValue)
			_, err = pointer.Update(x.ctx, s.Session, func(*visitor, bool) (*visitor, error) { return nil, nil })
			s.do("pointer.Update(→ nil)", err).fails(store.ErrNilValue)
			s.do("Save(name, pointer=nil)", store.Save(x.ctx, s.Session, name.To("v"), pointer.To(nil))).fails(store.ErrNilValue)
			read(s, name).fails(store.ErrNotFound)
		}
		has, err := pointer.Has(x.ctx, s.Session)
		s.does("pointer.Has()", has, err).gives(false)
		id := x.id()
		_, err = ss.Create(x.ctx, id, pointer.To(nil))
		s.do("Create(pointer=nil)", err).fails(store.ErrNilValue)
		x.b.lacks(id)
	}},
	{name: "reading a value as another type is ErrDecode", run: func(x *env) {
		s := x.a.open(nil).create(name.To("no number"))
		read(s, store.Key[int]("name")).fails(store.ErrDecode)
		read(s, name).gives("no number")
	}},
	{name: "two nodes that count with Update lose nothing", needs: commit, run: func(x *env) {
		const each = 100
		s := x.a.open(nil).create()
		x.together(2, func(i int) {
			s := x.node(i).open(nil).attach(s.ID())
			for range each {
				_, err := count.Update(x.ctx, s.Session, func(n int, _ bool) (int, error) { return n + 1, nil })
				s.do("count.Update(+1)", err).ok()
			}
		})
		read(s, count).gives(2 * each)
	}},
	{name: "an Update whose function fails writes nothing", needs: commit, run: func(x *env) {
		s := x.a.open(nil).create(count.To(1))
		no := errors.New("no")
		_, err := count.Update(x.ctx, s.Session, func(int, bool) (int, error) { return 2, no })
		s.do("count.Update(fails)", err).fails(no)
		err = s.Update(x.ctx, func(tx *store.Tx) error {
			return cmp.Or(count.In(tx).Set(3), name.In(tx).Set("v"), no)
		})
		s.do("Update(fails)", err).fails(no)
		read(s, count).gives(1)
		read(s, name).fails(store.ErrNotFound)
	}},
	{name: "one of many wins SetIfAbsent, and one of many gets what they Take", needs: commit, run: func(x *env) {
		id := x.a.open(nil).create().ID()
		handles := []*typed{x.a.open(nil).attach(id), x.b.open(nil).attach(id)}
		for range 5 {
			var stored, took atomic.Int64
			x.together(8, func(i int) {
				ok, err := name.SetIfAbsent(x.ctx, handles[i%2].Session, fmt.Sprint(i))
				handles[i%2].do("name.SetIfAbsent()", err).ok()
				if ok {
					stored.Add(1)
				}
			})
			x.together(8, func(i int) {
				_, err := name.Take(x.ctx, handles[i%2].Session)
				if handles[i%2].do("name.Take()", err).orNotFound().ok(); err == nil {
					took.Add(1)
				}
			})
			if stored.Load() != 1 || took.Load() != 1 {
				x.fail("SetIfAbsent and then Take by 8 at once", fmt.Sprintf("%d stored, %d took", stored.Load(), took.Load()), "1 and 1")
			}
		}
	}},
	{name: "Load never sees half of a Save", needs: commit | getMany, run: func(x *env) {
		const each = 100
		id := x.a.open(nil).create(count.To(0), reserve.To(0)).ID()
		x.together(4, func(i int) {
			s := x.node(i).open(nil).attach(id)
			for n := range each {
				if i < 2 {
					s.do("Save(count, reserve)", store.Save(x.ctx, s.Session, count.To(n), reserve.To(-n))).ok()
					continue
				}
				var a, b int
				r := s.do("Load(count, reserve)", store.Load(x.ctx, s.Session, count.Into(&a), reserve.Into(&b)))
				if r.ok(); a != -b {
					x.fail(r.call, fmt.Sprintf("%d and %d", a, b), "the two of one Save, n and -n")
				}
			}
		})
	}},
	{name: "transactions by two nodes keep the sum", needs: commit, run: func(x *env) {
		const each, total = 60, 1000
		s := x.a.open(nil).create(count.To(total), reserve.To(0))
		x.together(2, func(i int) {
			s := x.node(i).open(nil).attach(s.ID())
			for n := range each {
				err := s.Update(x.ctx, func(tx *store.Tx) error {
					a, err := count.In(tx).Get()
					if err != nil {
						return err
					}
					b, err := reserve.In(tx).Get()
					if err != nil {
						return err
					}
					move := n%7 + 1 - 5*i
					return errors.Join(count.In(tx).Set(a-move), reserve.In(tx).Set(b+move))
				})
				s.do("Update(move)", err).ok()
			}
		})
		a, _ := count.Get(x.ctx, s.Session)
		b, err := reserve.Get(x.ctx, s.Session)
		s.does("count.Get() + reserve.Get()", a+b, err).gives(total)
	}},
	{name: "the limits of Options hold, and what they refuse changes nothing", run: func(x *env) {
		ss := x.a.open(&store.Options{Limits: store.Limits{ValueSize: 100, Keys: 2, KeyLength: 10}})
		s := ss.create(name.To("v"))
		big := strings.Repeat("x", 101)
		s.do("name.Set(101 bytes)", name.Set(x.ctx, s.Session, big)).fails(store.ErrTooLarge)
		s.do("count.Set(1)", count.Set(x.ctx, s.Session, 1)).ok()
		s.do("reserve.Set(1), the third key", reserve.Set(x.ctx, s.Session, 1)).fails(store.ErrTooManyKeys)
		s.do("Set under a key of 11 bytes", store.Key[int]("elevenbytes").Set(x.ctx, s.Session, 1)).fails(store.ErrInvalidKey)
		s.do("Set under an empty key", store.Key[int]("").Set(x.ctx, s.Session, 1)).fails(store.ErrInvalidKey)
		if x.has(canCommit) {
			s.do("Save(reserve), the third key", store.Save(x.ctx, s.Session, name.To("w"), reserve.To(1))).fails(store.ErrTooManyKeys)
		}
		read(s, name).gives("v")
		id := x.id()
		_, err := ss.Create(x.ctx, id, name.To("v"), count.To(1), reserve.To(1))
		s.do("Create with three keys", err).fails(store.ErrTooManyKeys)
		x.b.lacks(id)
	}},
	{name: "a handle notices that another node destroyed its session", run: func(x *env) {
		s := x.a.open(nil).create(name.To("v"))
		s.open()
		other := x.b.open(nil).attach(s.ID())
		s2 := x.b.open(nil).attach(s.ID())
		s2.do("Destroy()", s2.Destroy(x.ctx)).ok()
		for _, s := range []*typed{s, other} {
			s.do("name.Set()", name.Set(x.ctx, s.Session, "late")).fails(store.ErrDestroyed)
			s.over(store.ErrDestroyed)
		}
		x.a.lacks(s.ID())
	}},
	{name: "a typed handle of an earlier life never touches a later one", run: func(x *env) {
		ss := x.a.open(nil)
		old := ss.create(name.To("old"))
		other := x.b.open(nil).attach(old.ID())
		old.do("Destroy()", old.Destroy(x.ctx)).ok()
		raw, err := x.b.open(nil).Create(x.ctx, old.ID(), name.To("later"))
		later := x.b.typed(raw, err)
		for _, s := range []*typed{old, other} {
			read(s, name).fails(store.ErrDestroyed)
			s.do("name.Set()", name.Set(x.ctx, s.Session, "late")).fails(store.ErrDestroyed)
			s.do("Destroy()", s.Destroy(x.ctx)).ok()
		}
		read(later, name).gives("later")
		later.open()
	}},
	{name: "a suspended session goes on where it is resumed", run: func(x *env) {
		s := x.a.open(nil).create(name.To("v"))
		s.do("Suspend(long)", s.Suspend(x.ctx, long)).ok()
		s.over(store.ErrSuspended)
		read(s, name).fails(store.ErrSuspended)
		raw, err := x.b.open(nil).Resume(x.ctx, s.ID())
		r := x.b.typed(raw, err)
		read(r, name).gives("v")
		s.do("Destroy()", s.Destroy(x.ctx)).fails(store.ErrSuspended)
		read(r, name).gives("v")
		r.do("Destroy()", r.Destroy(x.ctx)).ok()
		_, err = x.a.open(nil).Resume(x.ctx, s.ID())
		r.do("Resume(id)", err).fails(store.ErrNoSession)
	}},
	{name: "Resume on another node ends the owner's handle", run: func(x *env) {
		s := x.a.open(nil).create(name.To("v"))
		raw, err := x.b.open(nil).Resume(x.ctx, s.ID())
		r := x.b.typed(raw, err)
		s.do("name.Set()", name.Set(x.ctx, s.Session, "late")).fails(store.ErrDestroyed)
		s.over(store.ErrDestroyed)
		s.do("Suspend()", s.Suspend(x.ctx, long)).fails(store.ErrDestroyed)
		s.do("Destroy()", s.Destroy(x.ctx)).ok()
		read(r, name).gives("v")
	}},
	{name: "Sessions.Close destroys what it owns and nothing else", run: func(x *env) {
		mine, theirs := x.a.open(nil), x.b.open(nil)
		s, other := mine.create(name.To("v")), theirs.create(name.To("v"))
		attached := mine.attach(other.ID())
		s.do("Sessions.Close()", mine.Close(x.ctx)).ok()
		s.over(store.ErrDestroyed)
		attached.over(store.ErrClosed)
		x.b.lacks(s.ID())
		read(other, name).gives("v")
		_, err := mine.Create(x.ctx, x.id())
		s.do("Sessions.Create()", err).fails(store.ErrClosed)
	}},
	{name: "Sessions.Close with a grace leaves its sessions to be resumed", run: func(x *env) {
		ss := x.a.open(&store.Options{Grace: long})
		s := ss.create(name.To("v"))
		s.do("Sessions.Close()", ss.Close(x.ctx)).ok()
		s.over(store.ErrSuspended)
		raw, err := x.b.open(nil).Resume(x.ctx, s.ID())
		read(x.b.typed(raw, err), name).gives("v")
	}},
}

// renewalRules wait for the leases that Sessions renew.
var renewalRules = []rule{
	{name: "an owned session outlives its lease", run: func(x *env) {
		// Long enough that a process which is held up still renews in time.
		l := max(2*x.lease, 8*time.Second)
		s := x.a.open(&store.Options{Lease: l}).create(name.To("v"))
		x.pass(l + l/2)
		read(s, name).gives("v")
		s.open()
	}},
	{name: "a session outlives the process that owned it by its lease at most", run: func(x *env) {
		// The owner lets its handle down without a word: it renews no more.
		start := time.Now()
		x.hurry(start.Add(x.lease))
		s := x.a.session(lease(x.lease))
		watcher := x.b.open(&store.Options{Lease: x.lease})
		attached := watcher.attach(s.id)
		x.endsAfter(start, x.lease, func() result { return read(attached, name).orNotFound() })
		attached.over(store.ErrDestroyed)
	}},
	{name: "Done closes when nobody uses the handle and the session ends elsewhere", run: func(x *env) {
		s := x.a.open(&store.Options{Lease: max(2*x.lease, 5*time.Second)}).create()
		s.open()
		other := x.b.open(nil).attach(s.ID())
		other.do("Destroy()", other.Destroy(x.ctx)).ok()
		select {
		case <-s.Done():
			s.over(store.ErrDestroyed)
		case <-time.After(30 * time.Second):
			x.fail(s.name+": Done(), while nobody uses the handle", "open after 30 s", "closed at the next renewal")
		}
	}},
	{name: "a grace that has run out leaves nothing to resume", run: func(x *env) {
		ss := x.a.open(&store.Options{Grace: x.lease})
		s := ss.create(name.To("v"))
		start := time.Now()
		s.do("Sessions.Close()", ss.Close(x.ctx)).ok()
		x.endsAfter(start, x.lease, func() result {
			_, r := x.b.tryAttach(s.ID())
			return r
		})
		_, err := x.b.open(nil).Resume(x.ctx, s.ID())
		s.do("Resume(id)", err).fails(store.ErrNoSession)
	}},
}

// A process is a node's Sessions.
type process struct {
	*store.Sessions
	node *node
}

// open makes Sessions over the node's backend, closed when the rule ends.
func (n *node) open(opts *store.Options) *process {
	n.x.t.Helper()
	o := store.Options{AllowShortTimes: true}
	if opts != nil {
		o = *opts
		o.AllowShortTimes = true
	}
	ss, err := store.New(n.backend, &o)
	n.x.result(n.name+": store.New()", nil, err).ok()
	n.x.t.Cleanup(func() { ss.Close(context.WithoutCancel(n.x.ctx)) })
	return &process{ss, n}
}

// typed is a Session with the name under which failures speak of it.
type typed struct {
	*store.Session
	x    *env
	name string
}

func (n *node) typed(s *store.Session, err error) *typed {
	n.x.t.Helper()
	n.x.result(n.name+": Create, Attach or Resume of a typed session", nil, err).ok()
	return &typed{s, n.x, n.name + ", typed session"}
}

func (p *process) create(initial ...store.Change) *typed {
	p.node.x.t.Helper()
	s, err := p.Create(p.node.x.ctx, p.node.x.id(), initial...)
	return p.node.typed(s, err)
}

func (p *process) attach(id string) *typed {
	p.node.x.t.Helper()
	s, err := p.Attach(p.node.x.ctx, id)
	return p.node.typed(s, err)
}

// do is a call that gives only an error.
func (s *typed) do(call string, err error) result {
	s.x.t.Helper()
	return s.does(call, nil, err)
}

func (s *typed) does(call string, value any, err error) result {
	s.x.t.Helper()
	return s.x.result(s.name+": "+call, value, err)
}

// read gets the value of key.
func read[T any](s *typed, key store.Key[T]) result {
	s.x.t.Helper()
	v, err := key.Get(s.x.ctx, s.Session)
	if err != nil {
		return s.does(string(key)+".Get()", nil, err)
	}
	return s.does(string(key)+".Get()", v, nil)
}

// open checks that the handle takes itself for usable.
func (s *typed) open() {
	s.x.t.Helper()
	select {
	case <-s.Done():
		s.x.fail(s.name+": Done()", "closed", "open")
	default:
	}
	s.do("Err()", s.Err()).ok()
}

// over checks that the handle says why it is not usable any more.
func (s *typed) over(why error) {
	s.x.t.Helper()
	select {
	case <-s.Done():
	default:
		s.x.fail(s.name+": Done()", "open", "closed")
	}
	s.do("Err()", s.Err()).fails(why)
}
