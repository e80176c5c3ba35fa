// Package peek lets package inspect read what the types of package store do not
// export.
package peek

import (
	"context"
	"time"
)

// A Session is what package store holds beside the values of a session.
type Session struct {
	Codec  string                  // name of the codec of keys that name none
	Sealed func(value []byte) bool // whether stored bytes are, or may be, a sealed value

	// TimeLeft asks the backend for how long the session lives if nobody renews it.
	// It fails with errors.ErrUnsupported where the backend cannot tell.
	TimeLeft func(ctx context.Context) (time.Duration, error)
}

// A Process is what package store holds beside the sessions of a process.
type Process struct {
	Lease, Grace time.Duration
}

// OfSession looks into a *store.Session. It returns false for one that no Sessions
// made. Package store sets it.
var OfSession func(session any) (Session, bool)

// Renewal says of an owned *store.Session how long ago the last renewal that was
// confirmed was sent, and whether the latest one failed. Package store sets it.
var Renewal func(session any) (age time.Duration, failing bool)

// OfSessions looks into a *store.Sessions. It returns false for one that New did not
// make. Package store sets it.
var OfSessions func(sessions any) (Process, bool)
