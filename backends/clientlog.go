package backends

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// redisLog gets the lines that go-redis logs. It has one log for the whole process, and its lines
// do not name the client that they are about. So every logger of an open backend gets each of them.
var redisLog clientLog

type clientLog struct {
	install sync.Once
	mu      sync.Mutex
	loggers map[*slog.Logger]int // by how many backends name it
}

// route makes go-redis log here from now on. A program that sets a logger of
// its own later keeps it.
func (l *clientLog) route() { l.install.Do(func() { redis.SetLogger(l) }) }

// add hands the lines to logger, too, until the returned function is called.
func (l *clientLog) add(logger *slog.Logger) (remove func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loggers == nil {
		l.loggers = make(map[*slog.Logger]int)
	}
	l.loggers[logger]++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.loggers[logger]--; l.loggers[logger] == 0 {
			delete(l.loggers, logger)
		}
	})
}

// Printf implements the logger of go-redis.
func (l *clientLog) Printf(ctx context.Context, format string, v ...any) {
	l.mu.Lock()
	loggers := make([]*slog.Logger, 0, len(l.loggers))
	for logger := range l.loggers {
		loggers = append(loggers, logger)
	}
	l.mu.Unlock()
	if len(loggers) == 0 {
		return
	}
	shown := make([]any, len(v))
	for i, arg := range v {
		shown[i] = showable(arg)
	}
	line := fmt.Sprintf(format, shown...)
	for _, logger := range loggers {
		// go-redis says only what goes wrong, and does not say how badly.
		logger.LogAttrs(ctx, slog.LevelWarn, line, slog.String("client", "go-redis"))
	}
}

// showable returns what of an argument may be logged. Replies of a server, and
// errors about them, can repeat the ID of a session or the token of its life.
func showable(arg any) any {
	switch a := arg.(type) {
	case error:
		return errorText(a)
	case string, bool, int, int32, int64, uint, uint32, uint64, float64, fmt.Stringer:
		return a
	default:
		return fmt.Sprintf("(%T)", a)
	}
}

// errorText describes an error without the words of a server.
func errorText(err error) string {
	var (
		network     net.Error
		certificate *tls.CertificateVerificationError
		reply       redis.Error
	)
	switch {
	case errors.As(err, &certificate):
		return certificate.Error()
	case errors.As(err, &network):
		return network.Error()
	case errors.As(err, &reply):
		return "the server refused with " + code(reply.Error())
	}
	for _, known := range []error{
		context.Canceled, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		redis.ErrClosed, redis.ErrPoolTimeout, redis.ErrPoolExhausted,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return fmt.Sprintf("an error of type %T", err)
}

// code returns the word in capitals that a server's error begins with.
func code(text string) string {
	word, _, _ := strings.Cut(text, " ")
	if word == "" || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "an error"
	}
	return word
}
