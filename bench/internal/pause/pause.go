// Package pause waits for a moment more precisely than time.Sleep, which on an
// idle machine may wake up a millisecond late.
package pause

import "time"

// coarse is how long before the moment time.Sleep hands over.
const coarse = 2 * time.Millisecond

// Until waits for the moment at.
func Until(at time.Time) {
	for {
		d := time.Until(at)
		switch {
		case d <= 0:
			return
		case d > coarse:
			time.Sleep(d - coarse)
		default:
			fine(d)
		}
	}
}
