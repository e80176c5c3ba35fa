// Package cpu says what CPU time processes take.
package cpu

import (
	"context"
	"time"
)

// Watch waits for d and returns the percents of a core that this process took meanwhile, and that a server took: its CPU time
// so far, in seconds, is what server returns.
func Watch(ctx context.Context, d time.Duration, server func() float64) (own, other float64, err error) {
	begin := time.Now()
	used, _ := Used()
	other = server()
	select {
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-time.After(d):
	}
	now, _ := Used()
	other = server() - other
	elapsed := time.Since(begin).Seconds()
	return 100 * (now - used).Seconds() / elapsed, 100 * other / elapsed, nil
}
