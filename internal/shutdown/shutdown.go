// Package shutdown lets package live close a store.Sessions with the grace that it has promised to
// its clients. Users see no method for it.
package shutdown

import (
	"context"
	"time"
)

// CloseKeeping is Close of a *store.Sessions that, where store.Options.Grace is zero,
// suspends for grace what it would destroy. Package store sets it.
var CloseKeeping func(ctx context.Context, sessions any, grace time.Duration) error
