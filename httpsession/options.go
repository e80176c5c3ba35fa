package httpsession

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Defaults of [Options].
const (
	DefaultIdle     = 30 * time.Minute
	DefaultAbsolute = 24 * time.Hour
)

// IDs says what the server has in place of the ID in the cookie.
type IDs int

const (
	// Plain sessions have the cookie's ID on the server, too.
	Plain IDs = iota

	// Hashed sessions have the SHA-256 of the cookie's ID on the server, so
	// that a dump of the server is not a list of credentials.
	Hashed
)

// Options configures [New]. The zero value is ready to use over TLS.
type Options struct {
	// Idle is how long a session lives without a request. It is measured with
	// a tenth of tolerance: a session ends between Idle and 1.1 Idle after
	// its last request, and most requests write nothing.
	// Zero means [DefaultIdle].
	Idle time.Duration

	// Absolute is how long a session lives after Begin or Login, however busy
	// it is. Zero means [DefaultAbsolute].
	Absolute time.Duration

	// Name is the cookie's name. Empty means "__Host-session", or "session"
	// with Insecure, Domain or Path. A session counts for Managers of its name only:
	// give logins that mean different rights, such as customers' and
	// administrators', different names.
	Name string

	// Domain and Path are those of the cookie. Empty means this host only, and
	// all of it.
	Domain, Path string

	// SameSite is that of the cookie. Zero means http.SameSiteLaxMode.
	SameSite http.SameSite

	// Insecure lets the browser send the cookie without TLS. Use it for
	// development only: everybody on the way can read the cookie then.
	Insecure bool

	// Transient makes the browser forget the cookie when it is closed.
	Transient bool

	// IDs says what the server has in place of the ID in the cookie.
	// The zero value is [Plain]. Changing it ends all sessions for their browsers.
	IDs IDs

	// Failed answers a request whose session could not be looked up, because
	// the backend did not answer. Nil means status 503. Such a request is not
	// taken for one without a login.
	Failed func(w http.ResponseWriter, r *http.Request, err error)

	// Logger receives a line for each request that Failed answers.
	// Nil means silence.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	if o.Absolute == 0 {
		o.Absolute = DefaultAbsolute
	}
	if o.SameSite == 0 {
		o.SameSite = http.SameSiteLaxMode
	}
	if o.Name == "" {
		o.Name = "__Host-session"
		if o.Insecure || o.Domain != "" || (o.Path != "" && o.Path != "/") {
			o.Name = "session"
		}
	}
	if o.Path == "" {
		o.Path = "/"
	}
	if o.Failed == nil {
		o.Failed = failed
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, o.check()
}

// failed is the default of Options.Failed.
func failed(w http.ResponseWriter, _ *http.Request, _ error) {
	http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
}

func (o *Options) check() error {
	switch {
	case o.Idle < 10*time.Second:
		return fmt.Errorf("httpsession: idle time of %v: use at least 10s", o.Idle)
	case o.Absolute < o.Idle:
		return fmt.Errorf("httpsession: absolute lifetime of %v: it must be at least the idle time, %v", o.Absolute, o.Idle)
	case o.IDs != Plain && o.IDs != Hashed:
		return fmt.Errorf("httpsession: IDs is %d: use Plain or Hashed", o.IDs)
	case o.SameSite == http.SameSiteNoneMode && o.Insecure:
		return errors.New("httpsession: SameSite=None needs a secure cookie: browsers refuse it otherwise")
	case strings.HasPrefix(o.Name, "__Host-") && (o.Insecure || o.Domain != "" || o.Path != "/"):
		return fmt.Errorf("httpsession: a cookie named %q must be secure, with path / and without a domain: choose another name", o.Name)
	case strings.HasPrefix(o.Name, "__Secure-") && o.Insecure:
		return fmt.Errorf("httpsession: a cookie named %q must be secure: choose another name", o.Name)
	}
	c := http.Cookie{Name: o.Name, Value: "x", Domain: o.Domain, Path: o.Path}
	if err := c.Valid(); err != nil {
		return fmt.Errorf("httpsession: the cookie cannot be made: %w", err)
	}
	return nil
}
