package memstore

import (
	"hash/maphash"
	"math/rand/v2"
	"strings"
	"sync/atomic"
)

// names keeps one copy of each key for all sessions: programs use few keys, and
// a copy for each session would cost memory and cache. A key is never kept as
// given, because it may be a part of a large string.
//
// It holds a bounded number, for programs that invent keys, and lets go of those that are asked for
// least. Each set of ways is a small cache of its own.
//
//  1. A key that is asked for again gains a point, up to maxPoints.
//  2. A new key takes the place of one without points in its set, by chance of any: of always
//     the first, two new keys that are asked for in turn would drive out each other.
//  3. Where there is none, all keys of the set lose a point, and the new one is
//     copied for its session alone.
//
// So a stream of invented keys replaces other invented keys. To drive out one in use, it takes
// maxPoints of them in one set, without a hit between. Keys that many sessions have reach maxPoints
// soon; from then on a hit writes nothing.
type names struct {
	seed maphash.Seed
	sets [nameSets][nameWays]atomic.Pointer[name]
}

type name struct {
	key    string
	points atomic.Int32
}

const (
	nameSets  = 256
	nameWays  = 4
	maxPoints = 64
)

// keep returns a copy of key that may be retained.
func (n *names) keep(key string) string {
	set := &n.sets[maphash.String(n.seed, key)%nameSets]
	for i := range set {
		if kept := set[i].Load(); kept != nil && kept.key == key {
			if kept.points.Load() < maxPoints {
				kept.points.Add(1)
			}
			return kept.key
		}
	}
	own := strings.Clone(key)
	first := rand.IntN(nameWays)
	for i := range nameWays {
		place := &set[(first+i)%nameWays]
		kept := place.Load()
		if kept == nil || kept.points.Load() <= 0 {
			// Whoever was faster keeps the place.
			place.CompareAndSwap(kept, &name{key: own})
			return own
		}
	}
	for i := range set {
		set[i].Load().points.Add(-1)
	}
	return own
}
