package storetest

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/sessionkv/store"
)

// raceRules are about calls that are in progress when a life begins, ends or goes
// over into another. What a backend does in two steps that should be one shows
// here.
var raceRules = []rule{
	{name: "no write that is in progress survives Destroy", run: func(x *env) {
		for range 40 {
			id := x.id()
			s := x.a.create(id)
			writers := []*handle{s, x.b.attach(id), x.a.attach(id), x.b.attach(id)}
			var later *handle
			race := newRace(len(writers), store.ErrDestroyed)
			x.together(len(writers)+1, func(i int) {
				if i == len(writers) {
					race.end(func() { s.destroy().ok() })
					s.get("k").fails(store.ErrDestroyed)
					x.b.lacks(id)
					later = x.b.create(id)
					return
				}
				race.write(func(n int) result {
					if i == 1 && x.has(canCommit) {
						return writers[i].commit(nil, entries("k1", fmt.Sprint(n)))
					}
					return writers[i].set(fmt.Sprint("k", i), fmt.Sprint(n))
				})
			})
			later.holds("k", nil, "k0", nil, "k1", nil, "k2", nil, "k3", nil)
		}
	}},
	{name: "no write that is in progress reaches a resumed session", run: func(x *env) {
		for range 40 {
			id := x.id()
			s := x.a.create(id, with("k", "0"))
			writers := []*handle{s, x.b.attach(id), x.a.attach(id)}
			race := newRace(len(writers), store.ErrDestroyed)
			x.together(len(writers)+1, func(i int) {
				if i == len(writers) {
					var r *handle
					race.end(func() { r = x.b.resume(id) })
					before := r.get("k").ok()
					for range 5 {
						r.get("k").gives(before.value)
					}
					return
				}
				race.write(func(n int) result { return writers[i].set("k", fmt.Sprint(n)) })
			})
		}
	}},
	{name: "a resumed session has every write that was acknowledged, and none that was refused", run: func(x *env) {
		for range 40 {
			id := x.id()
			s := x.a.create(id)
			writers := []*handle{s, x.b.attach(id), x.a.attach(id), x.b.attach(id)}
			acknowledged := make([]any, len(writers))
			var resumed *handle
			race := newRace(len(writers), store.ErrDestroyed)
			x.together(len(writers)+1, func(i int) {
				if i == len(writers) {
					race.end(func() { resumed = x.b.resume(id) })
					return
				}
				race.write(func(n int) (r result) {
					key, v := fmt.Sprint("k", i), any(strconv.Itoa(n))
					switch {
					case i == 1 && n%2 == 1:
						v = nil
						r = writers[i].delete(key)
					case i == 2 && x.has(canCommit):
						r = writers[i].commit(nil, entries(key, v, "twin", v))
					default:
						r = writers[i].set(key, v.(string))
					}
					if r.err == nil {
						acknowledged[i] = v
					}
					return r
				})
			})
			want := []any{"k0", acknowledged[0], "k1", acknowledged[1], "k2", acknowledged[2], "k3", acknowledged[3]}
			if x.has(canCommit) {
				want = append(want, "twin", acknowledged[2])
			}
			resumed.holds(want...)
		}
	}},
	{name: "Renew, Suspend and Attach lose no write that is in progress", run: func(x *env) {
		id := x.id()
		s := x.a.create(id)
		writers := []*handle{s, x.b.attach(id)}
		disturb := []func(){
			func() { x.a.renew(long+1, s).gives(nil) },
			func() { x.a.suspend(s, long).ok() },
			func() { x.b.attach(id) },
		}
		const each = 100 // calls of each that disturbs
		var disturbing atomic.Int64
		disturbing.Store(int64(len(disturb)))
		last := make([]string, len(writers))
		var begun sync.WaitGroup // done when each writer has written
		begun.Add(len(writers))
		x.together(len(writers)+len(disturb), func(i int) {
			if i >= len(writers) {
				defer disturbing.Add(-1)
				begun.Wait()
				for range each {
					disturb[i-len(writers)]()
				}
				return
			}
			key := fmt.Sprint("k", i)
			begin := sync.OnceFunc(begun.Done)
			defer begin()
			for n := 0; n == 0 || disturbing.Load() > 0; n++ {
				v := strconv.Itoa(n)
				if n%3 == 2 && x.has(canCommit) {
					writers[i].commit(entries(key, last[i]), entries(key, v)).ok()
				} else {
					writers[i].set(key, v).ok()
				}
				last[i] = v
				begin()
				letOthersIn()
				writers[i].get(key).gives(v)
			}
		})
		s.holds("k0", last[0], "k1", last[1])
	}},
	{name: "a read that is in progress never sees a later life", run: func(x *env) {
		for round := range 40 {
			id := x.id()
			s := x.a.create(id, with("k", "early", "gone", "early"))
			var readers []func() result
			for i, h := range []*handle{s, x.b.attach(id)} {
				readers = append(readers, func() result { return h.get("k") })
				switch {
				case round%3 == 0 && x.has(canGetMany):
					readers[i] = func() result { return h.getMany("k").only() }
				case round%3 == 1 && x.has(canCommit):
					readers[i] = func() result { return h.commit(entries("k", "unlikely"), nil).current() }
				}
			}
			race := newRace(len(readers), store.ErrDestroyed)
			x.together(len(readers)+1, func(i int) {
				if i == len(readers) {
					race.end(func() {
						if round%2 == 0 {
							s.destroy().ok()
							x.b.create(id, with("k", "later"))
							return
						}
						x.b.resume(id).set("k", "later").ok()
					})
					return
				}
				race.write(func(int) result {
					r := readers[i]()
					if r.err == nil {
						r.gives("early")
					}
					return r
				})
			})
		}
	}},
	{name: "a Resume that is in progress does not bring a destroyed session back", run: func(x *env) {
		for range 40 {
			id := x.id()
			s := x.a.create(id, with("k", "v"))
			var gone bool
			var resumed *handle
			x.together(2, func(i int) {
				if i == 1 {
					h, r := x.b.tryResume(id)
					if r.err != nil {
						r.fails(store.ErrNoSession)
						return
					}
					resumed = h
					return
				}
				s.destroy().ok()
				_, r := x.a.tryAttach(id)
				if gone = errors.Is(r.err, store.ErrNoSession); !gone {
					r.ok()
				}
			})
			switch {
			case resumed == nil:
				x.a.lacks(id)
			case gone:
				x.fail("Destroy(), then Attach(id), beside a Resume(id) that succeeds", "ErrNoSession by Attach", "a session, as Destroy came too late for the resumed life")
			default:
				resumed.holds("k", "v")
			}
		}
	}},
	{name: "a Destroy that is in progress does not hit a later life", run: func(x *env) {
		for round := range 40 {
			id := x.id()
			s := x.a.create(id)
			old := []*handle{x.b.attach(id), x.a.attach(id), x.b.attach(id)}
			var later *handle
			x.together(len(old)+1, func(i int) {
				if i < len(old) {
					old[i].destroy().ok()
					return
				}
				if round%2 == 0 {
					s.destroy().ok()
					later = x.a.create(id, with("k", "later"))
					return
				}
				if h, r := x.a.tryResume(id); r.err == nil {
					h.set("k", "later").ok()
					later = h
				} else {
					r.fails(store.ErrNoSession)
				}
			})
			if later != nil {
				later.holds("k", "later")
			}
		}
	}},
	{name: "Sets and Deletes of different keys at the same time do not undo each other", run: func(x *env) {
		// A write that is undone is noticed a few writes later, so that there is
		// time to undo it.
		const workers, own, each = 8, 5, 60
		id := x.id()
		x.a.create(id)
		x.together(workers, func(i int) {
			s := x.node(i).attach(id)
			var last [own]any
			check := func(k int) {
				if last[k] == nil {
					s.get(fmt.Sprint("k", i, "-", k)).fails(store.ErrNotFound)
					return
				}
				s.get(fmt.Sprint("k", i, "-", k)).gives(last[k])
			}
			for n := range each {
				k := n % own
				letOthersIn()
				check(k)
				if n%4 == 3 {
					s.delete(fmt.Sprint("k", i, "-", k)).ok()
					last[k] = nil
				} else {
					s.set(fmt.Sprint("k", i, "-", k), fmt.Sprint(n)).ok()
					last[k] = fmt.Sprint(n)
				}
			}
			letOthersIn()
			for k := range own {
				check(k)
			}
		})
	}},
}

// letOthersIn lets goroutines go on that are in the middle of a call.
func letOthersIn() {
	for range 30 {
		runtime.Gosched()
	}
}

// current turns a refusal into success with the one current value; other errors
// stay.
func (r result) current() result {
	if errors.Is(r.err, store.ErrConflict) {
		return r.conflicting().only()
	}
	return r
}

// A race is one between calls and the call that makes them fail.
type race struct {
	want  error          // what the calls fail with then
	begun sync.WaitGroup // done when everybody has called once
	over  chan struct{}  // closed when the call has returned
}

func newRace(callers int, want error) *race {
	r := &race{want: want, over: make(chan struct{})}
	r.begun.Add(callers)
	return r
}

// end makes the call when everybody is at it.
func (r *race) end(call func()) {
	defer close(r.over)
	r.begun.Wait()
	call()
}

// write repeats a call until it fails as it must, and checks that one that
// begins after the ending call has returned does.
func (r *race) write(write func(n int) result) {
	// Callers that went on without end would hold up the very call that they race
	// with, where processors are few.
	const most = 200
	begin := sync.OnceFunc(r.begun.Done)
	defer begin()
	for n := 0; ; n++ {
		over := n == most
		if over {
			<-r.over
		} else {
			select {
			case <-r.over:
				over = true
			default:
			}
		}
		w := write(n)
		begin()
		if over || errors.Is(w.err, r.want) {
			w.fails(r.want)
			return
		}
		w.ok()
	}
}
