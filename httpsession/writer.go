package httpsession

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
)

// A writer notes that the answer has begun.
type writer struct {
	http.ResponseWriter
	sent atomic.Bool
}

var (
	_ http.Hijacker = (*writer)(nil)
	_ http.Flusher  = (*writer)(nil)
)

// WriteHeader notes every status but the informational ones.
func (w *writer) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.sent.Store(true)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(p []byte) (int, error) {
	w.sent.Store(true)
	return w.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush sends what is buffered, where the connection can.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController, and returns the error.
func (w *writer) FlushError() error {
	err := http.NewResponseController(w.ResponseWriter).Flush()
	if !errors.Is(err, http.ErrNotSupported) {
		w.sent.Store(true)
	}
	return err
}

// Hijack hands the connection over to the handler, where it can be.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.sent.Store(true)
	}
	return nc, rw, err
}
