package inspect

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/peek"
)

// Options configures [Handler]. The zero value is ready to use.
type Options struct {
	// Redact reports whether the value under a name is kept off the page. It is asked about the key of
	// each value and about each name within it. In a text, such as a URL with a query, it is asked about
	// what precedes = or : and such a text is hidden whole. Several goroutines call it at once. Nil
	// means [Sensitive]. JSON Web Tokens and the like are hidden under any name. To hide more:
	//
	//	Redact: func(name string) bool { return inspect.Sensitive(name) || name == "iban" }
	//
	// When it panics, the value is not shown.
	Redact func(name string) bool

	// Title appears at the head of the page. It is for instance the name of the service or of the
	// node. Empty means "Sessions".
	Title string

	// Logger gets a line for each session that is ended here, and for each request that
	// auth panicked on. Nil means slog.Default.
	Logger *slog.Logger
}

// Handler returns a page that shows the sessions that this process owns, and ends one on
// request. It works under any path, alone or below http.StripPrefix, and needs no script.
//
// Auth is asked about each request: only nil lets it through, anything else is refused with status 403, also a
// panic. Its error is not shown. It may allow looking and not ending: requests that end a session, and no others,
// have the method POST. Handler itself fails when auth is nil.
//
// The page names sessions by a keyed hash of their IDs, with a random key that is made with the handler. No ID is on
// it, nor is a value in which the session's ID appears. What [Options].Redact names is not shown.
//
// A session is ended by a POST of a form on the page that asks first. The request must be of the
// same origin (http.CrossOriginProtection) and carry the token of that form.
//
// A request for the list looks at the ID of every session of the process, some 0.2 s for 100 000. It reads those
// of one page, 25, from the backend. At most two requests do so at a time, and none takes longer than 10 s
// (ending a session may take five more).
func Handler(sessions *store.Sessions, auth func(*http.Request) error, opts *Options) (http.Handler, error) {
	if _, ok := peek.OfSessions(sessions); !ok {
		return nil, &store.Error{Op: "inspect", Err: errors.New("the Sessions are nil or were not made by store.New")}
	}
	if auth == nil {
		return nil, &store.Error{Op: "inspect", Err: errors.New("auth is nil, so that everybody could read and end sessions; pass a function that checks the request")}
	}
	h := &handler{sessions: sessions, auth: auth, names: newNames(), slots: make(chan struct{}, maxRequests)}
	if opts != nil {
		h.Options = *opts
	}
	if h.Redact == nil {
		h.Redact = Sensitive
	}
	if h.Title == "" {
		h.Title = "Sessions"
	}
	if h.Logger == nil {
		h.Logger = slog.Default()
	}
	return h, nil
}
