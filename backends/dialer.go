package backends

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const keepAlive = 15 * time.Second

// A dialer makes the connections of a client of Redis, and remembers why it could not
// make the last one. The client tries for longer than Open may take.
type dialer struct {
	next    func(ctx context.Context, network, addr string) (net.Conn, error)
	failure atomic.Pointer[error] // of the last dialling; nil when it succeeded
}

// newDialer returns one that dials as the client itself would with these options.
func newDialer(o *redis.UniversalOptions) *dialer {
	timeout := o.DialTimeout
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	plain := &net.Dialer{Timeout: timeout, KeepAlive: keepAlive}
	if o.TLSConfig == nil {
		return &dialer{next: plain.DialContext}
	}
	secure := &tls.Dialer{NetDialer: plain, Config: o.TLSConfig}
	return &dialer{next: func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout) // of the handshake, too
		defer cancel()
		return secure.DialContext(ctx, network, addr)
	}}
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.next(ctx, network, addr)
	if err != nil {
		if ctx.Err() == nil { // else the dialling was given up, which says nothing of the server
			d.failure.Store(&err)
		}
		return nil, err
	}
	d.failure.Store(nil)
	return conn, nil
}

// trouble returns why the last dialling failed, nil if it did not.
func (d *dialer) trouble() error {
	if err := d.failure.Load(); err != nil {
		return *err
	}
	return nil
}
