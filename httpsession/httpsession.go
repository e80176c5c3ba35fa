package httpsession

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/codec"
)

var (
	// ErrNoHandler is returned for a request that did not pass
	// [Manager.Handler].
	ErrNoHandler = errors.New("httpsession: the request did not pass Manager.Handler: wrap the server's handler in it")

	// ErrHeadersSent is returned when the cookie of the session cannot be set
	// any more, because the answer has begun. Nothing was changed.
	ErrHeadersSent = errors.New("httpsession: the answer has begun, so no cookie can be set: call this before writing")
)

var (
	errNoManager = errors.New("httpsession: the Manager is nil or was not made by New")
	errNoRequest = errors.New("httpsession: the request or the writer is nil")
)

// A Manager finds the session of a request by its cookie, and begins and ends
// sessions. Every method is safe for concurrent use. A nil *Manager, or one that New
// did not make, fails every request.
type Manager struct {
	sessions *store.Sessions
	opts     Options
}

// New returns a Manager whose sessions are those of sessions, which stays the
// caller's to close. Closing it leaves the logins alive. A nil opts means
// defaults.
func New(sessions *store.Sessions, opts *Options) (*Manager, error) {
	if sessions == nil {
		return nil, errors.New("httpsession: sessions is nil: make them with store.New")
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Manager{sessions: sessions, opts: o}, nil
}

// times are kept in each session, in milliseconds since 1970: when it began, and when its idle time
// was last extended. The name of its cookie is kept, too.
type times struct {
	Begun    int64  `msgpack:"b"`
	Extended int64  `msgpack:"e"`
	Name     string `msgpack:"n"`
}

// timesKey has a codec of its own, so that changing that of the Sessions keeps
// the sessions.
var timesKey = store.Key[times]("httpsession.times").With(codec.Msgpack)

func (m *Manager) timesNow() times {
	now := time.Now().UnixMilli()
	return times{Begun: now, Extended: now, Name: m.opts.Name}
}

// life returns how long a session may live without a further request: at most
// for the rest of its absolute lifetime.
func (m *Manager) life(t times) time.Duration {
	left := time.Until(time.UnixMilli(t.Begun).Add(m.opts.Absolute))
	return min(m.opts.Idle+m.opts.Idle/10, left)
}

// A visit is what one request has to do with its session.
type visit struct {
	writer *writer

	mu   sync.Mutex
	sess *store.Session // guarded by mu; nil without a session
}

// visitKey is the key of a visit in the context: that of its Manager, and, for a
// nil manager, that of the innermost Handler.
type visitKey struct{ manager *Manager }

// Of returns the session of r. It reports false when there is none, or when
// r did not pass [Manager.Handler]. The handle is good until the handler
// returns. When the Handlers of several Managers are nested, Of returns the
// session of the innermost; see [Manager.Of].
func Of(r *http.Request) (*store.Session, bool) { return (*Manager)(nil).Of(r) }

// Of returns the session that r has of this Manager, for a request that has
// passed several.
func (m *Manager) Of(r *http.Request) (*store.Session, bool) {
	if r == nil {
		return nil, false
	}
	v, ok := r.Context().Value(visitKey{m}).(*visit)
	if !ok {
		return nil, false
	}
	return v.session()
}

// Handler returns a handler that finds the session of each request for next. A
// cookie whose session has ended counts as none. When the backend does not
// answer, the request ends with [Options.Failed].
func (m *Manager) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !m.valid() {
			failed(w, r, errNoManager)
			return
		}
		w.Header().Add("Vary", "Cookie")
		v := &visit{writer: &writer{ResponseWriter: w}}
		sess, err := m.find(r)
		if err != nil {
			m.opts.Logger.ErrorContext(r.Context(), "httpsession: a session could not be looked up", "error", err)
			m.opts.Failed(w, r, err)
			return
		}
		v.sess = sess
		defer func() {
			if sess, ok := v.session(); ok {
				// A handle of nobody's session only lets go: there is nothing to fail.
				_ = sess.Release(context.WithoutCancel(r.Context()))
			}
		}()
		ctx := context.WithValue(r.Context(), visitKey{m}, v)
		next.ServeHTTP(v.writer, r.WithContext(context.WithValue(ctx, visitKey{}, v)))
	})
}

func (v *visit) session() (*store.Session, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sess, v.sess != nil
}

// maxCookies bounds how many cookies of its name a request is searched for. A browser
// sends several where their paths or domains overlap, such as a forgotten one in
// front of the one that counts.
const maxCookies = 3

// find returns the session that a cookie of r names, or nil.
func (m *Manager) find(r *http.Request) (*store.Session, error) {
	for i, c := range r.CookiesNamed(m.opts.Name) {
		if i == maxCookies {
			break
		}
		if sess, err := m.attach(r.Context(), c.Value); sess != nil || err != nil {
			return sess, err
		}
	}
	return nil, nil
}

// attach attaches to the session of the cookie's ID, and extends its life
// when that is due. It returns nil when there is none.
func (m *Manager) attach(ctx context.Context, token string) (*store.Session, error) {
	if token == "" || m.opts.IDs == Plain && strings.HasPrefix(token, hashPrefix) {
		return nil, nil // what a dump of hashed sessions shows opens nothing
	}
	sess, err := m.sessions.Attach(ctx, m.backendID(token))
	if errors.Is(err, store.ErrNoSession) || errors.Is(err, store.ErrInvalidID) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t, ok, err := timesKey.Lookup(ctx, sess)
	switch {
	case errors.Is(err, store.ErrDestroyed):
		return nil, nil
	case err != nil:
		return nil, err
	case !ok || t.Name != m.opts.Name:
		return nil, nil // a session of another kind: of a socket, or of another Manager
	}
	left, idle := m.life(t), time.Since(time.UnixMilli(t.Extended))
	if left <= 0 || idle >= m.opts.Idle+m.opts.Idle/10 {
		if err := sess.Destroy(ctx); err != nil {
			return nil, err
		}
		return nil, nil
	}
	if idle >= m.opts.Idle/10 {
		if err := sess.Extend(ctx, left); err != nil {
			return ended(err)
		}
		t.Extended = time.Now().UnixMilli()
		if err := timesKey.Set(ctx, sess, t); err != nil {
			return ended(err)
		}
	}
	return sess, nil
}

// ended returns nil for a session that ended meanwhile, and err otherwise.
func ended(err error) (*store.Session, error) {
	if errors.Is(err, store.ErrDestroyed) {
		return nil, nil
	}
	return nil, err
}

// Begin returns the session of r, or begins one and sets its cookie on w. The changes are written
// in either case. When a Logout or Login beside this request has ended the session meanwhile, Begin
// fails with [store.ErrDestroyed] and begins none. Its cookie would take the place of the login's.
// Call it before the answer begins.
func (m *Manager) Begin(w http.ResponseWriter, r *http.Request, changes ...store.Change) (*store.Session, error) {
	v, err := m.visit(w, r)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sess != nil {
		return v.sess, store.Save(r.Context(), v.sess, changes...)
	}
	if v.writer.sent.Load() {
		return nil, ErrHeadersSent
	}
	return m.begin(w, r, v, changes)
}

// begin begins a session. Its caller holds v.mu.
func (m *Manager) begin(w http.ResponseWriter, r *http.Request, v *visit, changes []store.Change) (*store.Session, error) {
	token, t := store.NewID(), m.timesNow()
	sess, err := m.sessions.CreateFor(r.Context(), m.backendID(token), m.life(t), m.with(t, changes)...)
	if err != nil {
		return nil, err
	}
	v.sess = sess
	m.setCookie(w, token, m.opts.Absolute)
	return sess, nil
}

// Login begins a login. It moves the session of r, with its values and the changes, to a new ID, or
// begins a session. It sets the cookie on w. The ID that the browser had before has ended then.
// Call it when the user was identified, and whenever the user's rights grow; call it before the
// answer begins.
func (m *Manager) Login(w http.ResponseWriter, r *http.Request, changes ...store.Change) (*store.Session, error) {
	v, err := m.visit(w, r)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.writer.sent.Load() {
		return nil, ErrHeadersSent
	}
	if v.sess == nil {
		return m.begin(w, r, v, changes)
	}
	token, t := store.NewID(), m.timesNow()
	// The new session lives as long as the handle was last extended for.
	err = v.sess.Extend(r.Context(), m.life(t))
	var sess *store.Session
	if err == nil {
		sess, err = m.sessions.Rotate(r.Context(), v.sess, m.backendID(token), m.with(t, changes)...)
	}
	if errors.Is(err, store.ErrDestroyed) || errors.Is(err, store.ErrNoSession) {
		// The session of before the login ended meanwhile. The login goes on without it.
		return m.begin(w, r, v, changes)
	}
	if err != nil {
		return nil, err
	}
	v.sess = sess
	m.setCookie(w, token, m.opts.Absolute)
	return sess, nil
}

// Logout ends the session of r, on every node, and removes the cookie. Without
// a session it only removes the cookie. Call it before the answer begins.
func (m *Manager) Logout(w http.ResponseWriter, r *http.Request) error {
	v, err := m.visit(w, r)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.sess != nil {
		if err := v.sess.Destroy(r.Context()); err != nil {
			return err
		}
		v.sess = nil
	}
	if v.writer.sent.Load() {
		return ErrHeadersSent // the session has ended all the same
	}
	m.setCookie(w, "", 0)
	return nil
}

func (m *Manager) valid() bool { return m != nil && m.sessions != nil }

func (m *Manager) visit(w http.ResponseWriter, r *http.Request) (*visit, error) {
	switch {
	case !m.valid():
		return nil, errNoManager
	case w == nil || r == nil:
		return nil, errNoRequest
	}
	v, ok := r.Context().Value(visitKey{m}).(*visit)
	if !ok {
		return nil, ErrNoHandler
	}
	return v, nil
}

// with adds t to the changes of the caller.
func (m *Manager) with(t times, changes []store.Change) []store.Change {
	return append([]store.Change{timesKey.To(t)}, changes...)
}

// hashPrefix begins the IDs of hashed sessions on the server.
const hashPrefix = "sha256."

// backendID returns the session's ID on the server for that in the cookie.
func (m *Manager) backendID(token string) string {
	if m.opts.IDs != Hashed {
		return token
	}
	sum := sha256.Sum256([]byte(token))
	return hashPrefix + base64.RawURLEncoding.EncodeToString(sum[:])
}

// setCookie sets the cookie, or removes it when token is empty.
func (m *Manager) setCookie(w http.ResponseWriter, token string, life time.Duration) {
	c := &http.Cookie{
		Name:     m.opts.Name,
		Value:    token,
		Path:     m.opts.Path,
		Domain:   m.opts.Domain,
		Secure:   !m.opts.Insecure,
		HttpOnly: true,
		SameSite: m.opts.SameSite,
	}
	switch {
	case token == "":
		c.MaxAge = -1
	case !m.opts.Transient:
		c.MaxAge = int(life / time.Second)
	}
	h := w.Header()
	h.Add("Cache-Control", `no-cache="Set-Cookie"`)
	// One cookie of this name is enough: the last one counts.
	prefix := m.opts.Name + "="
	kept := h["Set-Cookie"][:0:0]
	for _, line := range h["Set-Cookie"] {
		if len(line) < len(prefix) || line[:len(prefix)] != prefix {
			kept = append(kept, line)
		}
	}
	h["Set-Cookie"] = append(kept, c.String())
}
