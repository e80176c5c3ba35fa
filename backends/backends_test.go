package backends_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
)

func TestOpenRefusesBadURLs(t *testing.T) {
	const secret = "s3cr3t-pass"
	for _, tt := range []struct{ url, want string }{
		{"", "no scheme"},
		{"localhost:6379", "two slashes are missing"},
		{"://x", "no scheme"},
		{"http://localhost", "unknown scheme"},
		{"redis", "no scheme"},
		{"red is://x", "no scheme"},
		{"redis:localhost", "two slashes are missing"},
		{"redis:", "no host"},
		{"redis://", "no host"},
		{"redis://:6379", "host number 1 is empty"},
		{"redis://a,b", "one host"},
		{"redis://h:port", "malformed port"},
		{"redis://h:0", "malformed port"},
		{"redis://h:70000", "malformed port"},
		{"redis://::1", "malformed; write host:port"},
		{"redis://h/x", "database number"},
		{"redis://h/1?db=2", "twice"},
		{"redis://h?db=-1", "parameter db"},
		{"redis://h?pool_size=many", "parameter pool_size"},
		{"redis://h?pool_size=", "pool_size is empty"},
		{"redis://h?pool_size=1&pool_size=2", "given 2 times"},
		{"redis://h?read_timeout=5", "parameter read_timeout"},
		{"redis://h?batching=maybe", "parameter batching"},
		{"redis://h?poolsize=5", `unknown parameter "poolsize"`},
		{"redis://h?a=%zz", "query is malformed"},
		{"redis://h?namespace=a:b", "namespace"},
		{"redis://h?tls_ca=x", "tls=on"},
		{"rediss://h?tls_ca=/does/not/exist", "tls_ca"},
		{"rediss://h?tls_cert=x", "belong together"},
		{"redis://user:" + secret + "%zz@h", "malformed % escape"},
		{"redis://user:" + secret + "@h:port", "malformed port"},
		{"redis://user:" + secret + "@h?x=1", "unknown parameter"},
		{"redis://user:" + secret + "#@h", "%23"},
		{"redis+sentinel://h", "name of the primary"},
		{"redis+sentinel://h/name?sentinel_password=" + secret + "&x=1", "unknown parameter"},
		{"redis+cluster://h/3", "no path"},
		{"redis+cluster://h?db=1", "unknown parameter"},
		{"hazelcast://", "no host"},
		{"hazelcast://[::1/one", "malformed; write host:port"},
		{"hazelcast://::1]/one", "malformed; write host:port"},
		{"hazelcast://h/one/", "second slash"},
		{"hazelcast://h/one/two", "second slash"},
		{"hazelcast://h?pool_size=1", "unknown parameter"},
		{"memory://host", "neither host nor path"},
		{"memory:?x=1", "unknown parameter"},
	} {
		b, err := backends.Open(t.Context(), tt.url)
		if err == nil {
			b.Close()
			t.Errorf("Open(%q) = nil, want an error with %q", tt.url, tt.want)
			continue
		}
		text := err.Error()
		if !strings.Contains(text, tt.want) {
			t.Errorf("Open(%q) = %q, want it to say %q", tt.url, text, tt.want)
		}
		if strings.Contains(text, secret) {
			t.Errorf("Open(%q) = %q, which shows the password", tt.url, text)
		}
		if strings.Contains(text, "\n") {
			t.Errorf("Open(%q) = %q, want one line", tt.url, text)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, seed := range []string{"memory:", "redis://u:s3cr3t-pass@[::1]:1/2?db=x", "redis+cluster://a:1,b:2?x", "hazelcast://a,b/name?timeout=1s", "valkey://%zz"} {
		f.Add(seed)
	}
	// Nothing may be dialled: an ended context stops every well-formed URL.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.Fuzz(func(t *testing.T, url string) {
		if strings.HasPrefix(strings.ToLower(url), "hazelcast") {
			url = strings.ReplaceAll(url, "s", "%") // keeps its client from starting in every run
		}
		b, err := backends.Open(ctx, url)
		if err == nil {
			b.Close()
		} else if strings.Contains(err.Error(), "s3cr3t-pass") {
			t.Errorf("Open(%q) = %q, which shows the password", url, err)
		}
	})
}

// An unreachable server is an error of Open, within the time of its context.
func TestOpenUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	l.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, scheme := range []string{"redis://%s", "rediss://%s", "redis+cluster://%s", "redis+sentinel://%s/name", "hazelcast://%s/dev"} {
		for _, addr := range []string{free, silent.Addr().String()} {
			url := fmt.Sprintf(scheme, addr)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			b, err := backends.Open(ctx, url)
			cancel()
			if err == nil {
				b.Close()
				t.Errorf("Open(%q) = nil, want an error", url)
			}
		}
	}
}

func ExampleOpen() {
	ctx := context.Background()
	backend, err := backends.Open(ctx, "memory:") // or redis://localhost:6379?namespace=chat
	if err != nil {
		fmt.Println(err)
		return
	}
	defer backend.Close()
	sessions, err := store.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sessions.Close(ctx)

	_, err = backends.Open(ctx, "redis://user:secret@localhost?pool=5")
	fmt.Println(err)
	// Output:
	// backends: redis: unknown parameter "pool"; this scheme takes batching, connect_timeout, db, dial_timeout, namespace, pool_size, read_timeout, tls, tls_ca, tls_cert, tls_key, tls_server_name, wait, wait_timeout, write_timeout
}

func ExampleOpenWith() {
	ctx := context.Background()
	// What the go-redis client logs goes to the program's log, not to standard error.
	backend, err := backends.OpenWith(ctx, "memory:", &backends.Options{Logger: slog.Default()})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := backend.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
}
