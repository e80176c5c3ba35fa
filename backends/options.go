package backends

import (
	"context"
	"log/slog"

	"github.com/redis/go-redis/v9"
)

// Options configures [OpenWith] with what a URL cannot say. The zero value is ready
// to use.
type Options struct {
	// Logger gets what is not an error of an operation, such as a setting of the server that will
	// lose sessions. It gets the lines that the go-redis client logs, such as failed dials and what
	// Sentinel says, at level Warn. No line has an ID of a session, a password or a server's reply
	// in it. Nil drops them.
	//
	// That client has one log for the whole process. The first Open of a Redis
	// scheme takes it over, for clients of others as well; call redis.SetLogger
	// after that to have it back. Where several open backends name loggers, each of
	// these gets every line.
	Logger *slog.Logger

	// Credentials returns the user, which may be empty, and the password for a new
	// connection, where they change in time, as tokens of managed servers do. It
	// is called for each new connection, from many goroutines, and its context ends
	// with the time for connecting. An error fails the connection. Connections that
	// are open keep what they were opened with until they are as old as the
	// parameter conn_max_lifetime says. Only the Redis schemes take it, in URLs
	// without user and password.
	Credentials func(ctx context.Context) (user, password string, err error)

	// Redis is called with the client of a Redis scheme before that connects, to add hooks that measure or trace it, as
	// otelredis.Instrument does. An error fails the Open. The client belongs to the backend, which closes it. Other
	// schemes never call it.
	Redis func(client redis.UniversalClient) error
}

// silent is the logger of those who named none.
var silent = slog.New(slog.DiscardHandler)

// withDefaults returns a copy of o, which may be nil, with a logger in any case.
func (o *Options) withDefaults() *Options {
	var own Options
	if o != nil {
		own = *o
	}
	if own.Logger == nil {
		own.Logger = silent
	}
	return &own
}
