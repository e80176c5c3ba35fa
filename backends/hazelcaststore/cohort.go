package hazelcaststore

import (
	"cmp"
	"slices"
	"time"
)

// cohortsPerLease is how many cohorts an owner makes in a lease, at most.
const cohortsPerLease = 64

// A cohort is the lives that an owner keeps alive and that were renewed last at about the same
// time. A renewal moves a life to the newest cohort, which touches nothing but that life. In a list
// of all lives each renewal would change the neighbours, of which hardly anything is in a cache.
// That took 7 % of the client's time for 10⁵ sessions. Nor could a list tell when one of its lives
// had moved to the list of another owner.
//
// A life names its cohort. One that has moved to another, or to another owner, stays in
// lives until the cohort is over, and does not count.
type cohort struct {
	owner *owner
	begun int64   // until when the first of the lives was renewed
	until int64   // guarded by owner.mu; the same of the latest
	lives []*life // guarded by owner.mu; nil when all have moved on
	left  int     // guarded by owner.mu; at least as many as have not
}

// keep puts l into the newest cohort: it was renewed just now, until until.
func (o *owner) keep(l *life, until int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.cohortOf(until)
	before := l.cohort.Swap(c)
	if before == nil || before.owner != o {
		o.byToken[l.token] = l
	}
	c.enter(l, before)
}

// keepAgain puts l back, which has lapsed, unless somebody has renewed it since.
func (o *owner) keepAgain(l *life, until int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := o.cohortOf(until); l.cohort.CompareAndSwap(nil, c) {
		o.byToken[l.token] = l
		c.enter(l, nil)
	}
}

// keepOn is keep, unless o does not keep l any more, which it reports. Its caller holds
// mu, and c is from cohortOf.
func (o *owner) keepOn(l *life, c *cohort) bool {
	before := l.cohort.Load()
	if before == nil || before.owner != o || !l.cohort.CompareAndSwap(before, c) {
		return false
	}
	c.enter(l, before)
	return true
}

// keeps reports whether o keeps l alive, and not only until now. Its caller holds mu.
func (o *owner) keeps(l *life, now int64) bool {
	c := l.cohort.Load()
	return c != nil && c.owner == o && c.until > now
}

// keepsUntil returns until when l lives through o, whatever becomes of the others that the
// record is renewed for.
func (o *owner) keepsUntil(l *life) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := l.cohort.Load(); c != nil && c.owner == o {
		return min(c.until, o.until.Load())
	}
	return 0
}

// drop forgets all lives. A life names its cohort, and must not keep the memory of the others
// when the owner is gone.
func (o *owner) drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.cohorts {
		c.lives = nil
	}
	o.cohorts = nil
	clear(o.byToken)
}

// cohortOf returns the cohort of what is renewed until until. Its caller holds mu.
func (o *owner) cohortOf(until int64) *cohort {
	span := int64(o.lease / cohortsPerLease / time.Millisecond)
	at, _ := slices.BinarySearchFunc(o.cohorts, until, func(c *cohort, until int64) int { return cmp.Compare(c.begun, until+1) })
	if at > 0 {
		if c := o.cohorts[at-1]; until <= c.begun+span {
			c.until = max(c.until, until)
			return c
		}
	}
	c := &cohort{owner: o, begun: until, until: until}
	o.cohorts = slices.Insert(o.cohorts, at, c)
	return c
}

// enter counts l, which was in the cohort before, among those of c. Its caller holds mu.
func (c *cohort) enter(l *life, before *cohort) {
	if before == c {
		return
	}
	c.lives = append(c.lives, l)
	c.left++
	if before == nil || before.owner != c.owner {
		return
	}
	if before.left--; before.left == 0 {
		before.lives = nil
	}
}

// lapsed takes out the cohorts that were renewed until now at the latest, and returns
// their lives with the time until when they were.
func (o *owner) lapsed(now int64) (lives []*life, until []int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.cohorts) > 0 && o.cohorts[0].until <= now {
		c := o.cohorts[0]
		o.cohorts = slices.Delete(o.cohorts, 0, 1)
		if c.left == 0 {
			continue
		}
		for _, l := range c.lives {
			if l.cohort.CompareAndSwap(c, nil) {
				lives, until = append(lives, l), append(until, c.until)
			} else if at := l.cohort.Load(); at != nil && at.owner == o {
				continue // renewed since
			}
			if o.byToken[l.token] == l {
				delete(o.byToken, l.token)
			}
		}
	}
	return lives, until
}
