// Package shutdown lets package live close a store.Sessions with the grace that it
// has promised to its clients, without a method for it that users see.
package shutdown

import (
	"context"
	"time"
)

// CloseKeeping is Close of a *store.Sessions that, where store.Options.Grace is zero,
// suspends for grace what it would destroy. Package store sets it.
var CloseKeeping func(ctx context.Context, sessions any, grace time.Duration) error
