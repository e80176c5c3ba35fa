package memstore

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
