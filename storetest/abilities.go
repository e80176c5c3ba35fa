package storetest

import (
	"errors"

	"github.com/sessionkv/store"
)

// An ability is a set of optional interfaces.
type ability int

const (
	getMany ability = 1 << iota
	commit
	keys
	destroyIf
	watch
	index
	scan
)

// abilityTest tells whether a session has one ability.
type abilityTest struct {
	bit  ability
	name string
	call func(s *handle) result
}

var (
	canGetMany = abilityTest{getMany, "GetMany", func(s *handle) result { return s.getMany("k") }}
	canCommit  = abilityTest{commit, "Commit", func(s *handle) result { return s.commit(nil, nil) }}
	canList    = abilityTest{keys, "Keys", func(s *handle) result { return s.keys() }}

	canDestroyIf = abilityTest{destroyIf, "DestroyIf", func(s *handle) result { return s.destroyIf("unlikely", "v").conflicted() }}

	canWatch = abilityTest{watch, "Watch", func(s *handle) result { return s.watchable() }}

	canIndex = abilityTest{index, "indexes", func(s *handle) result { return s.indexable() }}

	canScan = abilityTest{scan, "Scan", func(s *handle) result { return s.scannable() }}

	abilities = []abilityTest{canGetMany, canCommit, canList, canDestroyIf, canWatch, canIndex, canScan}
)

// has reports whether the backend has the ability. Only ErrUnsupported denies it.
func (x *env) has(a abilityTest) bool {
	x.mu.Lock()
	has, known := x.able[a.bit]
	x.mu.Unlock()
	if known {
		return has
	}
	s := x.a.session()
	has = !errors.Is(a.call(s).err, errors.ErrUnsupported)
	s.destroy().ok()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.able == nil {
		x.able = make(map[ability]bool)
	}
	x.able[a.bit] = has
	return has
}

// watchable begins to watch s, and stops.
func (s *handle) watchable() result {
	stop, err := store.Watch(s.on.backend, s.raw, func() {})
	if err == nil {
		stop()
	}
	return s.result(nil, err, "Watch()")
}

// everywhere checks that an ability which one session lacks is lacking on every
// node, in every call, and without a trace.
func (x *env) everywhere(a abilityTest) {
	if x.has(a) {
		return
	}
	id := x.id()
	for _, s := range []*handle{x.a.create(id, with("k", "v")), x.b.attach(id)} {
		switch a.bit {
		case getMany:
			s.getMany().fails(errors.ErrUnsupported)
			s.getMany("k", "absent").fails(errors.ErrUnsupported)
		case commit:
			s.commit(entries("k", "v"), entries("k", "w")).fails(errors.ErrUnsupported)
			s.commit(entries("k", "other"), entries("k", "w")).fails(errors.ErrUnsupported)
		case keys:
			s.keys().fails(errors.ErrUnsupported)
		case destroyIf:
			s.destroyIf("k", "v").fails(errors.ErrUnsupported)
			s.destroyIf("k", "other").fails(errors.ErrUnsupported)
		case watch:
			s.watchable().fails(errors.ErrUnsupported)
		case index:
			s.indexable().fails(errors.ErrUnsupported)
		case scan:
			s.scannable().fails(errors.ErrUnsupported)
		}
		s.get("k").gives("v")
		s.get("absent").fails(store.ErrNotFound)
	}
}
