package inspect

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/peek"
)

// pageSize is how many sessions one page lists.
const pageSize = 25

// A named is a session with its name.
type named struct {
	name    name
	session *store.Session
}

// rounds say how far the sessions of the process are with their renewals.
type rounds struct {
	Half, Lease, Longer int // whose last confirmed renewal is at most half a lease ago, a lease, or longer
}

// A scan is what one walk over all sessions finds.
type scan struct {
	page   []named // in the order of their names
	before int     // sessions whose names come before those of the page
	total  int
	rounds rounds
}

// checkEvery is how many sessions a walk looks at between two looks at its context.
const checkEvery = 1024

// list walks over all sessions once and returns the page of those that follow a name, or with back, precede
// it. It keeps one page in memory. Without a name it returns the first.
func (h *handler) list(ctx context.Context, from name, back bool, lease time.Duration) (scan, error) {
	var s scan
	namer := h.names.namer()
	order := func(a, b named) int {
		if back {
			a, b = b, a
		}
		return bytes.Compare(a.name[:], b.name[:])
	}
	start := named{name: from}
	for session := range h.sessions.All() {
		if s.total++; s.total%checkEvery == 0 && ctx.Err() != nil {
			return s, ctx.Err()
		}
		s.rounds.count(session, lease)
		n := named{namer.name(session.ID()), session}
		if order(n, start) <= 0 && from != (name{}) {
			if !back {
				s.before++
			}
			continue
		}
		if back {
			s.before++ // the page is taken off in the end
		}
		if len(s.page) == pageSize {
			if order(n, s.page[pageSize-1]) >= 0 {
				continue
			}
			s.page = s.page[:pageSize-1]
		}
		i, _ := slices.BinarySearchFunc(s.page, n, order)
		s.page = slices.Insert(s.page, i, n)
	}
	if back {
		s.before -= len(s.page)
		slices.Reverse(s.page)
	}
	return s, nil
}

func (r *rounds) count(s *store.Session, lease time.Duration) {
	switch age, _ := peek.Renewal(s); {
	case age <= lease/2:
		r.Half++
	case age <= lease:
		r.Lease++
	default:
		r.Longer++
	}
}

// find returns the session of a name.
func (h *handler) find(ctx context.Context, wanted name) (*store.Session, error) {
	namer := h.names.namer()
	n := 0
	for session := range h.sessions.All() {
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if namer.name(session.ID()) == wanted {
			return session, nil
		}
	}
	return nil, nil
}
