package memstore

import (
	"hash/maphash"
	"strconv"
)

// Held returns how many sessions and queue entries b holds.
func Held(b *Backend) int {
	n := 0
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		n += len(s.index) + len(s.queue)
		s.mu.Unlock()
	}
	return n
}

// HoldTimer keeps b from ending expired sessions by its timer until the function
// that it returns is called.
func HoldTimer(b *Backend) (release func()) {
	b.alarm.stopped = true
	b.alarm.timer.Stop()
	return func() { b.alarm.stopped = false }
}

// Names keeps one copy of each key, as a Backend does.
type Names struct{ names names }

func NewNames() *Names {
	n := new(Names)
	n.names.seed = maphash.MakeSeed()
	return n
}

func (n *Names) Keep(key string) string { return n.names.keep(key) }

// OfOneSet returns count keys of one set that begin with prefix.
func (n *Names) OfOneSet(prefix string, count int) []string {
	bySet := make(map[uint64][]string)
	for i := 0; ; i++ {
		key := prefix + strconv.Itoa(i)
		set := maphash.String(n.names.seed, key) % nameSets
		if bySet[set] = append(bySet[set], key); len(bySet[set]) == count {
			return bySet[set]
		}
	}
}
