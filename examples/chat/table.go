package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxRows is how many sessions the table shows.
const maxRows = 100

// readTable reads the live sessions of this node with their values.
func (s *server) readTable(ctx context.Context) table {
	t := table{Type: "sessions", Node: s.node, Total: s.hub.size(), Rows: []view{}, Suspended: s.hub.suspensions()}
	var (
		wg sync.WaitGroup
		mu sync.Mutex
		n  int
	)
	for sess := range s.sessions.All() {
		if n++; n > maxRows {
			break
		}
		// All at once, so that a backend can merge them into few round trips.
		wg.Go(func() {
			v, err := readView(ctx, sess)
			if err != nil {
				return // it ended while we were reading; the next round shows that
			}
			mu.Lock()
			defer mu.Unlock()
			t.Rows = append(t.Rows, v)
		})
	}
	wg.Wait()
	slices.SortFunc(t.Rows, func(a, b view) int {
		if c := a.Handshake.At.Compare(b.Handshake.At); c != 0 {
			return c
		}
		return strings.Compare(a.Hash, b.Hash)
	})
	return t
}

// publishTable sends the table to those who watch it: soon after a change, and
// once a second for what other nodes change. It ends with ctx.
func (s *server) publishTable(ctx context.Context) {
	const (
		every = time.Second
		apart = 50 * time.Millisecond // many changes at once make one table
	)
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last []byte
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !s.hub.watched() {
				continue
			}
		case <-s.hub.changed:
			if !s.hub.watched() {
				continue
			}
			last = nil // perhaps somebody new watches
			select {
			case <-ctx.Done():
				return
			case <-time.After(apart):
			}
		}
		readCtx, cancel := context.WithTimeout(ctx, storeTimeout)
		data := encode(s.readTable(readCtx))
		cancel()
		if !bytes.Equal(data, last) {
			s.hub.tellWatchers(data)
			last = data
		}
	}
}
