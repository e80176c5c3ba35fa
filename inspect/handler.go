package inspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"sync"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/peek"
)

const (
	// maxRequests is how many requests look at sessions at a time; others wait.
	maxRequests = 2

	// patience bounds one request.
	patience = 10 * time.Second

	// readers is how many sessions of a page are read at a time.
	readers = 4

	// maxForm bounds the body of a request.
	maxForm = 4 << 10
)

type handler struct {
	Options
	sessions *store.Sessions
	auth     func(*http.Request) error
	names    names
	slots    chan struct{}
	origins  http.CrossOriginProtection
}

var errPanicked = errors.New("auth panicked")

// ServeHTTP implements [http.Handler].
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	p := h.serve(w, r)
	p.Title, p.Style = h.Title, style
	var b bytes.Buffer
	if err := pages.Execute(&b, p); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	switch p.status {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", "GET, HEAD, POST")
	case http.StatusSeeOther:
		// A reference to the same path, whatever a proxy or StripPrefix makes of that.
		w.Header().Set("Location", "?ended")
	}
	w.WriteHeader(p.status)
	_, _ = w.Write(b.Bytes()) // it fails when the reader has gone
}

// serve returns the page that answers r. Nothing that the client could hold up happens while it
// keeps others waiting.
func (h *handler) serve(w http.ResponseWriter, r *http.Request) page {
	if h.allowed(r) != nil {
		return say(http.StatusForbidden, "Not allowed", "You may not see this page.")
	}
	var form url.Values
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		if h.origins.Check(r) != nil {
			return say(http.StatusForbidden, "Not from this page", "The request came from another page. Nothing was ended.")
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			return say(http.StatusBadRequest, "Not a form of this page", "The request could not be read. Nothing was ended.")
		}
		form = r.PostForm
	default:
		return say(http.StatusMethodNotAllowed, "Not a method of this page", "Use GET to look at sessions.")
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil { // also where the place became free at the last moment
		return say(http.StatusServiceUnavailable, "Busy", "Others are looking at the sessions. Try again in some seconds.")
	}
	query := r.URL.Query()
	switch {
	case form != nil:
		return h.end(ctx, form.Get("session"), form.Get("token"))
	case query.Has("end"):
		return h.ask(ctx, query.Get("end"))
	case query.Has("session"):
		return h.show(ctx, query.Get("session"))
	case query.Get("before") != "":
		return h.index(ctx, query.Get("before"), true, false)
	}
	return h.index(ctx, query.Get("after"), false, query.Has("ended"))
}

// protect sets the headers that keep the page to itself.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/html; charset=utf-8")
}

// allowed asks auth, and returns an error also where that panics.
func (h *handler) allowed(r *http.Request) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = errPanicked
			h.Logger.Error("store: inspect: auth panicked, and the request was refused", "panic", fmt.Sprint(x), "stack", string(debug.Stack()))
		}
	}()
	return h.auth(r)
}

// index lists a page of sessions, after the one of a name or, with back, before it.
func (h *handler) index(ctx context.Context, given string, back, ended bool) page {
	var from name
	if given != "" {
		var ok bool
		if from, ok = parseName(given); !ok {
			return unknown()
		}
	}
	process, _ := peek.OfSessions(h.sessions)
	s, err := h.list(ctx, from, back, process.Lease)
	if err != nil {
		return late()
	}
	l := listing{
		Lease: rounded(process.Lease), Half: rounded(process.Lease / 2), Stats: h.sessions.Stats(), Rounds: s.rounds, Total: s.total, Ended: ended,
		First: s.before + 1, Last: s.before + len(s.page), Rows: make([]row, len(s.page)),
	}
	if process.Grace > 0 {
		l.Grace = rounded(process.Grace)
	}
	if len(s.page) > 0 {
		if s.before > 0 {
			l.Previous = s.page[0].name.String()
		}
		if l.Last < s.total {
			l.Next = s.page[len(s.page)-1].name.String()
		}
	}
	var group sync.WaitGroup
	places := make(chan int)
	for range min(readers, len(s.page)) {
		group.Go(func() {
			for i := range places {
				l.Rows[i] = h.row(ctx, s.page[i])
			}
		})
	}
	for i := range s.page {
		places <- i
	}
	close(places)
	group.Wait()
	return page{status: http.StatusOK, Heading: h.Title, Listing: &l}
}

// show shows one session with its values.
func (h *handler) show(ctx context.Context, given string) page {
	session, n, p := h.lookUp(ctx, given)
	if session == nil {
		return p
	}
	values, err := Dump(ctx, session)
	d := detail{facts: h.facts(ctx, n, session)}
	if err != nil {
		d.Failure = failure(err, session.ID())
	}
	for _, v := range values {
		v = concealer(h.Redact).conceal(v)
		d.Values = append(d.Values, shown{
			Key: keyText(v.Key, session.ID()), Encoding: v.Encoding, Size: v.Size, Version: v.Version, Text: v.Text(),
		})
	}
	return page{status: http.StatusOK, Heading: "Session " + n.String(), Detail: &d}
}

// ask asks whether a session is to be ended.
func (h *handler) ask(ctx context.Context, given string) page {
	session, n, p := h.lookUp(ctx, given)
	if session == nil {
		return p
	}
	q := question{facts: h.facts(ctx, n, session), Token: h.names.token(n, time.Now())}
	return page{status: http.StatusOK, Heading: "End session " + n.String() + "?", Question: &q}
}

// end ends a session that the question was asked about.
func (h *handler) end(ctx context.Context, given, token string) page {
	n, ok := parseName(given)
	if !ok || !h.names.valid(token, n, time.Now()) {
		return say(http.StatusForbidden, "Too late", "The question is more than 15 minutes old, or this process did not ask it. Nothing was ended. Go back and ask again.")
	}
	session, _, p := h.lookUp(ctx, given)
	if session == nil {
		return p
	}
	if err := session.Destroy(ctx); err != nil {
		why := failure(err, session.ID())
		h.Logger.Error("store: inspect: the end of a session on request was not confirmed", "session", n.String(), "error", why)
		return say(http.StatusBadGateway, "Not confirmed", "This process has let go of the session, and the backend did not confirm its end: "+why+". It ends with its lease at the latest.")
	}
	h.Logger.Info("store: inspect: a session was ended on request", "session", n.String())
	return say(http.StatusSeeOther, "Ended", "The session has been ended.")
}

// lookUp returns the session of a name, or the page that says that there is none.
func (h *handler) lookUp(ctx context.Context, given string) (*store.Session, name, page) {
	n, ok := parseName(given)
	if !ok {
		return nil, n, unknown()
	}
	session, err := h.find(ctx, n)
	if err != nil {
		return nil, n, late()
	}
	return session, n, unknown()
}

func unknown() page {
	return say(http.StatusNotFound, "No such session", "It has ended or goes on at another process, or its name is from before this process began.")
}

func late() page {
	return say(http.StatusServiceUnavailable, "Too slow", "The sessions could not be looked at in time. Try again when the process has less to do.")
}

// say returns a page with a message.
func say(status int, heading, text string) page {
	return page{status: status, Heading: heading, Message: text}
}
