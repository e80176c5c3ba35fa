// Package inspect shows what sessions hold, to people.
//
// [Dump] decodes the values of one session without their Go types. [Handler] serves a page
// that lists the sessions of this process with their values, and ends one on request:
//
//	page, err := inspect.Handler(sessions, func(r *http.Request) error {
//		return requireOperator(r) // nil lets the request through
//	}, nil)
//	mux.Handle("/debug/sessions", page)
//
// Both read through the backend and change nothing. Values are personal data: see to it who may
// look, and hide by [Options].Redact what need not be seen. Serve the page over TLS, best on an address
// that clients do not reach.
//
// The package takes the standard library and msgpack, as package store does.
package inspect
