package backends

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
)

type reply string

func (r reply) Error() string { return string(r) }
func (reply) RedisError()     {}

// No line shows what a server said: it may repeat the ID of a session.
func TestClientLogShowsNoReply(t *testing.T) {
	const secret = "sEcReT"
	for _, tt := range []struct {
		arg  any
		want string
	}{
		{reply("NOPERM no access to key " + secret), "NOPERM"},
		{fmt.Errorf("wrapped: %w", reply(secret+" said the server")), "an error"},
		{reply("Err " + secret), "an error"},
		{errors.New("redis: can't parse " + secret), "an error of type *errors.errorString"},
		{[]any{"invalidate", secret}, "([]interface {})"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("refused")}, "dial tcp: refused"},
		{fmt.Errorf("reading: %w", io.EOF), "EOF"},
		{context.DeadlineExceeded, "context deadline exceeded"},
		{"127.0.0.1:6379", "127.0.0.1:6379"},
		{7, "7"},
	} {
		var b bytes.Buffer
		var l clientLog
		remove := l.add(slog.New(slog.NewTextHandler(&b, nil)))
		l.Printf(t.Context(), "what happened: %v", tt.arg)
		remove()
		l.Printf(t.Context(), "later")
		if text := b.String(); !strings.Contains(text, tt.want) || strings.Contains(text, secret) || strings.Contains(text, "later") {
			t.Errorf("Printf(%v) logs %q, want %q and no secret", tt.arg, text, tt.want)
		}
	}
}
