// Package pause waits for a moment.
package pause

import "time"

// Until waits for the moment at. On an idle machine it may end up to about a
// millisecond late. A system call that sleeps would be more precise, but it holds a
// processor of the Go scheduler for a while, which slows down what is measured.
func Until(at time.Time) {
	if d := time.Until(at); d > 0 {
		time.Sleep(d)
	}
}
