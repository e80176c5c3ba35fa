package drive

import (
	"context"
	"errors"
	"io"
	"net"
	"os"

	"github.com/sessionkv/store"
)

// errorKind names the kind of an error that counts as one. Its text is not kept: texts differ from call to call.
func errorKind(err error) string {
	for _, k := range []struct {
		err  error
		name string
	}{
		{store.ErrUnknownOutcome, "outcome unknown"},
		{store.ErrDestroyed, "session ended"},
		{store.ErrNoSession, "no session"},
		{store.ErrConflict, "conflict"},
		{store.ErrDecode, "decoding"},
		{store.ErrTooLarge, "too large"},
		{store.ErrTooManyKeys, "too many keys"},
		{store.ErrClosed, "closed"},
		{context.DeadlineExceeded, "timeout"},
		{os.ErrDeadlineExceeded, "timeout"},
		{context.Canceled, "cancelled"},
		{io.EOF, "connection lost"},
	} {
		if errors.Is(err, k.err) {
			return k.name
		}
	}
	if n, ok := errors.AsType[net.Error](err); ok {
		if n.Timeout() {
			return "timeout"
		}
		return "network"
	}
	return "other"
}
