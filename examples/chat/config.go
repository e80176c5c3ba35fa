package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/codec"
)

// config is what flags and environment say.
type config struct {
	addr   string
	node   string
	store  string
	grace  time.Duration
	lease  time.Duration
	codec  codec.Codec
	secret []byte
}

// secretVariable is the environment's way to give the secret: other users of
// the machine can read flags.
const secretVariable = "CHAT_SECRET"

// parseConfig reads the flags in args. Usage goes to out.
func parseConfig(args []string, getenv func(string) string, out io.Writer) (config, error) {
	var c config
	var codecName, secret string
	fs := flag.NewFlagSet("chat", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&c.addr, "addr", "127.0.0.1:8080", "`address` to listen on; port 0 picks a free one")
	fs.StringVar(&c.node, "node", "", "`name` of this process in the page (default: the address)")
	fs.StringVar(&c.store, "store", "memory:", "`URL` of the store: memory:, redis://host:port, hazelcast://host:port, …")
	fs.DurationVar(&c.grace, "grace", 30*time.Second, "how long a session outlives its connection; 0 destroys it at once")
	fs.DurationVar(&c.lease, "lease", store.DefaultLease, "how long sessions outlive a process that dies")
	fs.StringVar(&codecName, "codec", "msgpack", "how values are encoded: msgpack or json")
	fs.StringVar(&secret, "secret", "", fmt.Sprintf("HS256 `secret` of the tokens, at least %d bytes, the same on all nodes; better given as %s (default: random)", minSecret, secretVariable))
	if err := fs.Parse(args); err != nil {
		return c, err
	}
	if fs.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q: all settings are flags, see -help", fs.Arg(0))
	}
	if _, _, err := net.SplitHostPort(c.addr); err != nil {
		return c, fmt.Errorf("-addr %q: it must be host:port", c.addr)
	}
	if c.grace < 0 {
		return c, fmt.Errorf("-grace %v: it must not be negative", c.grace)
	}
	if c.lease <= 0 {
		return c, fmt.Errorf("-lease %v: it must be positive", c.lease)
	}
	switch codecName {
	case "msgpack":
		c.codec = codec.Msgpack
	case "json":
		c.codec = codec.JSON
	default:
		return c, fmt.Errorf("-codec %q: it must be msgpack or json", codecName)
	}
	if secret == "" {
		secret = getenv(secretVariable)
	}
	switch {
	case secret == "":
		c.secret = make([]byte, minSecret)
		rand.Read(c.secret) // never fails
	case len(secret) < minSecret:
		return c, fmt.Errorf("the secret has %d bytes, at least %d are needed", len(secret), minSecret)
	default:
		c.secret = []byte(secret)
	}
	return c, nil
}
