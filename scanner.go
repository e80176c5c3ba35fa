package store

import "context"

// A Scanner is a [Backend] that lists the sessions of its namespace, whoever owns them. It is for tools and
// operators, never for what serves requests. A whole scan costs the server a look at everything that it holds,
// other applications' data included. To find the sessions of a user, use an [Index].
type Scanner interface {
	// Scan returns IDs of sessions: a page of them, in no order, and the cursor of the next page, ""
	// behind the last. The first page has the cursor "". A page may be empty and others follow.
	//
	// Every session that lives from the first call to the last is on one of the pages, and may be on
	// several. What begins or ends meanwhile may be missing. A session that has expired may be
	// named for as long as the backend keeps its remains; Attach tells. Scan neither renews a session nor
	// loads values.
	//
	// After an error the same cursor may be used again. Where the promise cannot be kept any more, because a server
	// was exchanged meanwhile, the error says so, and a new scan has to begin.
	//
	// The IDs are credentials. A cursor is opaque and may hold parts of them, so it is to be kept out of logs,
	// too.
	Scan(ctx context.Context, cursor string) (ids []string, next string, err error)
}

// AsScanner returns b as a [Scanner]. It fails with [errors.ErrUnsupported] when b does not implement it.
//
// A wrapper around a Backend that may be one or not has a method Scanner() (Scanner, error). It calls
// AsScanner on the Backend beneath.
func AsScanner(b Backend) (Scanner, error) {
	if w, ok := b.(interface{ Scanner() (Scanner, error) }); ok {
		return w.Scanner()
	}
	if s, ok := b.(Scanner); ok {
		return s, nil
	}
	return nil, unsupported("listing all sessions (Scanner)")
}

// Scanner returns the Scanner of the backend beneath: a wrapper changes no IDs.
func (b *wrappingBackend) Scanner() (Scanner, error) { return AsScanner(b.Backend) }
