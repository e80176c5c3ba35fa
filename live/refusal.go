package live

import (
	"errors"
	"net/http"
)

// A Refusal is an error that says how a connection is answered. Begin and Allow
// return one; any other error of theirs is answered with 403 and its text stays
// on the server.
type Refusal struct {
	Status  int    // an HTTP status of 400 or more
	Message string // what the client may read
}

// Refuse returns a [Refusal].
func Refuse(status int, message string) error {
	return &Refusal{Status: status, Message: message}
}

// Error returns the message.
func (e *Refusal) Error() string {
	if e == nil {
		return "live: no error"
	}
	return "live: refused: " + e.Message
}

// statusOf returns the status for an error of Begin or Allow.
func statusOf(err error) int {
	if r, ok := errors.AsType[*Refusal](err); ok && r != nil && r.Status >= 400 && r.Status <= 599 {
		return r.Status
	}
	return http.StatusForbidden
}

// refused is the default of Options.Refused.
func refused(w http.ResponseWriter, _ *http.Request, status int, err error) {
	text := http.StatusText(status)
	if r, ok := errors.AsType[*Refusal](err); ok && r != nil && r.Message != "" {
		text = r.Message
	}
	http.Error(w, text, status)
}
