package redisstore_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// longestReply is more than any reply to an outcomeCase has.
const longestReply = 72

// oddTypes are well-formed and malformed replies of every type of both protocols, none of
// which says what became of the operation.
var oddTypes = []string{
	"_\r\n", "#t\r\n", ",1\r\n", ",nan\r\n", "(1\r\n", "(123456789012345678901234567890\r\n", "=5\r\ntxt:1\r\n", "=3\r\ntxt\r\n", "!-1\r\n",
	"%1\r\n+a\r\n:1\r\n", "%-1\r\n", "~1\r\n:1\r\n", "|1\r\n+a\r\n+b\r\n+OK\r\n",
	"*2\r\n*1\r\n:1\r\n*1\r\n:1\r\n", "*2\r\n%1\r\n+a\r\n:1\r\n_\r\n", "*2\r\n-ERR inner\r\n:1\r\n", "*1\r\n,1\r\n",
	"*-2\r\n", "*9223372036854775807\r\n", "*1000000\r\n", "$-2\r\n", "$9223372036854775807\r\n", "$1\r\nabc",
	":\r\n", ":1.0\r\n", ":9223372036854775808\r\n", "\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n",
	">2\r\n+invalidate\r\n*-1\r\n:7\r\n", ">0\r\n:7\r\n", ">9223372036854775807\r\n",
}

// A merged script whose reply is malformed in the middle leaves nothing on its
// connection that another operation could take for its own reply.
func TestMergedSetsBesideOthers(t *testing.T) {
	server := testserver.Redis(t, testserver.WithArgs("--loglevel", "warning"))
	for _, odd := range []string{"*2\r\n-ERR inner\r\n:1\r\n", "*3\r\n!9\r\nERR inner\r\n:1\r\n:2\r\n"} {
		w := new(wire)
		b := open(t, dial(t, server.URL, func(o *redis.Options) { o.Dialer = w.dial }), redisstore.Options{})
		redisstore.WriteByScript(b)
		awaitMerging(t, b)
		sessions := make([]store.Store, setters)
		for i := range sessions {
			_, sessions[i] = create(t, b, store.Entry{Key: "k", Value: []byte("v")})
		}
		w.set(oddReplies, odd)
		errs := together(t, server, func(i int) error {
			if i%2 == 0 {
				return sessions[i].Set(t.Context(), "k", []byte("w"))
			}
			return second(sessions[i].Has(t.Context(), "k"))
		})
		for i, err := range errs {
			if err == nil || errors.Is(err, store.ErrDestroyed) || errors.Is(err, store.ErrTooManyKeys) {
				t.Errorf("operation %d, which was answered with %q, = %v", i, odd, err)
			}
		}
	}
}

// Replies of any type, and replies of which any number of bytes has arrived, are taken
// for no outcome that they do not prove.
func TestOutcomesOfAnyReply(t *testing.T) {
	server := testserver.Redis(t, testserver.WithFlavour(testserver.FlavourRedis8), testserver.WithArgs("--loglevel", "warning"))
	heal := func(_ func(args ...any), w *wire) { w.set(none, "") }
	var faults []outcomeFault
	for kept := 0; kept < longestReply; kept += 1 + kept/9*6 {
		faults = append(faults, outcomeFault{
			name: fmt.Sprintf("torn after %d bytes", kept), sent: true, apart: true, maybe: kept > 3,
			begin: func(_ func(args ...any), w *wire) { w.tear(kept) }, end: heal,
		})
	}
	for _, odd := range oddTypes {
		faults = append(faults, outcomeFault{
			name: fmt.Sprintf("reply %q", odd), sent: true, apart: true, maybe: true,
			begin: func(_ func(args ...any), w *wire) { w.set(oddReplies, odd) }, end: heal,
		})
	}
	for _, s := range singleSettings(server) {
		switch s.name {
		case "batching": // lone callers show what there is without
			s.dial = func(t testing.TB, w *wire, db int) redis.UniversalClient {
				o := quick(server.Addr, w, db)
				o.Protocol = 3
				return closing(t, redis.NewClient(o))
			}
			t.Run("RESP3", func(t *testing.T) { outcomes(t, s, faults) })
		case "cache":
			t.Run("cache", func(t *testing.T) { outcomes(t, s, faults) })
		}
	}
}
