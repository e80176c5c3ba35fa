package inspect

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/internal/peek"
)

var (
	//go:embed page.html
	markup string
	//go:embed style.css
	css string

	style = template.CSS(css)
	pages = template.Must(template.New("page").Parse(markup))

	// policy lets a browser use the page's one style sheet and send its forms to it, and
	// nothing else.
	policy = "default-src 'none'; style-src 'sha256-" + hashOf(css) + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// A page is what the template shows: its head, and one of the rest.
type page struct {
	status         int
	Title, Heading string
	Style          template.CSS

	Message  string
	Listing  *listing
	Detail   *detail
	Question *question
}

// A listing shows some sessions and the process.
type listing struct {
	Lease, Half    string // how long leases are, and how often they are renewed
	Grace          string // empty without one
	Stats          store.Stats
	Rounds         rounds
	Ended          bool // one has just been ended
	Total          int
	First, Last    int // of Rows among all, from 1
	Rows           []row
	Previous, Next string // names that the pages before and after are found by
}

// facts are what the page shows of a session beside its values.
type facts struct {
	Name    string
	Left    string // time
	Renewed string
	Failing bool
}

// A row is a session in a list.
type row struct {
	facts
	Values  []summary
	More    int // values that are not shown
	Failure string
}

// A summary is a value on one line.
type summary struct{ Key, Text string }

// A detail is a session with all its values.
type detail struct {
	facts
	Values  []shown
	Failure string
}

// A shown is a value.
type shown struct {
	Key, Encoding string
	Size, Version int
	Text          string
}

// A question asks whether a session is to be ended.
type question struct {
	facts
	Token string
}

const (
	summaries   = 8   // values of a row
	summaryText = 100 // bytes of each
)

// row reads what a list shows of a session.
func (h *handler) row(ctx context.Context, n named) row {
	id := n.session.ID()
	r := row{facts: h.facts(ctx, n.name, n.session)}
	values, err := dump(ctx, n.session, summaries)
	if err != nil {
		r.Failure = failure(err, id)
		return r
	}
	for i, v := range values {
		if i == summaries {
			r.More = len(values) - i
			break
		}
		v = concealer(h.Redact).conceal(v)
		r.Values = append(r.Values, summary{keyText(v.Key, id), v.line(summaryText)})
	}
	return r
}

// facts asks the backend how long the session lives.
func (h *handler) facts(ctx context.Context, n name, s *store.Session) facts {
	age, failing := peek.Renewal(s)
	f := facts{Name: n.String(), Renewed: rounded(age) + " ago", Failing: failing}
	about, err := look(s)
	if err != nil {
		f.Left = "not known"
		return f
	}
	switch left, err := about.TimeLeft(ctx); {
	case err == nil:
		f.Left = rounded(left)
	case errors.Is(err, store.ErrDestroyed):
		f.Left = "none, it has ended"
	case errors.Is(err, errors.ErrUnsupported):
		f.Left = "not known: the backend cannot say"
	default:
		f.Left = "not known: " + failure(err, s.ID())
	}
	return f
}

// rounded returns d as people read it.
func rounded(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// keyText returns a key as it is shown.
func keyText(key, id string) string {
	if shows(key, id) {
		return "<" + string(omittedID) + ">"
	}
	return printable(key)
}

// failure returns one line of err. The library's errors have no ID in them; those of other backends might.
func failure(err error, id string) string {
	text := err.Error()
	if strings.Contains(text, id) {
		return "the backend failed"
	}
	const long = 300
	if len(text) > long {
		text = text[:long] + "…"
	}
	return printable(strings.ToValidUTF8(text, "�"))
}
