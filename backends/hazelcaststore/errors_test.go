package hazelcaststore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hazelcast/hazelcast-go-client/hzerrors"
)

// Errors are one line, without the members' stack traces and without the key of the
// entry, which is the session ID.
func TestErrorText(t *testing.T) {
	b := &Backend{running: func() bool { return true }}
	trace := "server error:\ncom.hazelcast.X: no majority for secret\n\tcom.hazelcast.Y(Y.java:1)\n\tcom.hazelcast.Z(Z.java:2)\n: server error: com.hazelcast.X: no majority for secret"
	for text, want := range map[string]string{
		"connection closed":       "hazelcast: connection closed: io error",
		"entry secret is too hot": "hazelcast: entry … is too hot: io error",
		trace:                     "hazelcast: server error: com.hazelcast.X: no majority for …: io error",
	} {
		err := b.describe("secret", fmt.Errorf("%s: %w", text, hzerrors.ErrIO))
		if err.Error() != want || !errors.Is(err, hzerrors.ErrIO) {
			t.Errorf("describe(%q) = %q, want %q", text, err, want)
		}
		if again := b.describe("secret", err); again != err {
			t.Errorf("describe(describe(%q)) = %q, want it unchanged", text, again)
		}
	}
}

// A short session ID takes only itself out of a text.
func TestErrorTextWithShortIDs(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"e", "too few members", "too few members"},
		{"e", "the entry e: too few members e", "the entry …: too few members …"},
		{"e", "e", "…"},
		{"entry", "no entry_1 for entry.", "no entry_1 for …."},
		{"a.b", "xa.b a.b a.bc (a.b)", "xa.b … a.bc (…)"},
		{"%2F", "key=%2F", "key=…"},
		{"aa", "aaa aa", "aaa …"},
		{"", "text", "text"},
	} {
		if got := redact(tt.text, tt.name); got != tt.want {
			t.Errorf("redact(%q, %q) = %q, want %q", tt.text, tt.name, got, tt.want)
		}
	}
}
