//go:build !linux

package delay

import "time"

// sleepUntil waits for the moment at.
func sleepUntil(at time.Time) { time.Sleep(time.Until(at)) }
