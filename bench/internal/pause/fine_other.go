//go:build !linux

package pause

import "time"

func fine(d time.Duration) { time.Sleep(d) }
