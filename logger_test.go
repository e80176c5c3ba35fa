package store_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

// A logBook keeps what is logged, a line each.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// lines returns the lines without their times and stacks.
func (b *logBook) lines(t *testing.T) (lines []map[string]any) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for text := range strings.Lines(b.text.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("the line %q is not JSON: %v", text, err)
		}
		delete(line, "time")
		if _, ok := line["stack"]; ok {
			line["stack"] = "…"
		}
		lines = append(lines, line)
	}
	return lines
}

// The Logger gets a line for a round in which renewals failed, also without OnRenewError,
// and panics of functions of the program. No line shows an ID.
func TestLogger(t *testing.T) {
	failed := map[string]any{"level": "WARN", "msg": "store: leases could not be renewed", "sessions": 1.0, "overdue": 0.0, "error": errFlaky.Error()}
	for _, tt := range []struct {
		name         string
		onRenewError func(error)
		want         []map[string]any
	}{
		{"alone", nil, []map[string]any{failed}},
		{"beside OnRenewError that panics", func(error) { panic("oh") }, []map[string]any{
			failed,
			{"level": "ERROR", "msg": "store: Options.OnRenewError panicked; renewals go on", "panic": "oh", "stack": "…"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				backend := &flaky{Backend: memstore.New(nil), fail: 4}
				defer backend.Close()
				book := new(logBook)
				sessions := newSessions(t, backend, &store.Options{
					Lease: time.Minute, OnRenewError: tt.onRenewError, Logger: slog.New(slog.NewJSONHandler(book, nil)),
				})
				defer sessions.Close(t.Context())
				s := create(t, sessions)
				time.Sleep(2 * time.Minute)
				if diff := cmp.Diff(tt.want, book.lines(t)); diff != "" {
					t.Errorf("log (-want +got):\n%s", diff)
				}
				s.AfterEnd(func(error) { panic(errors.New("ah")) })
				wantErr(t, "Destroy()", s.Destroy(t.Context()), nil)
				synctest.Wait()
				lines := book.lines(t)
				want := map[string]any{"level": "ERROR", "msg": "store: a function given to AfterEnd panicked", "panic": "ah", "stack": "…"}
				if diff := cmp.Diff(want, lines[len(lines)-1]); diff != "" {
					t.Errorf("the last line after a panic (-want +got):\n%s", diff)
				}
				if strings.Contains(book.text.String(), s.ID()) {
					t.Error("the log shows the ID")
				}
			})
		})
	}
}
