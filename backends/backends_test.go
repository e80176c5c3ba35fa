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
	for _, tt := range []struct{ url, want string }{
		{"", "no scheme"},
		{"localhost:6379", "did you mean redis://localhost:6379?"},
		{"127.0.0.1:6380", "did you mean redis://127.0.0.1:6380?"},
		{"[::1]:26379", "did you mean redis+sentinel://[::1]:26379/name-of-the-primary?"},
		{"localhost:5701", "did you mean hazelcast://localhost:5701?"},
		{"db.internal:6379", "did you mean redis://host:6379?"},
		{"redis:6379", "did you mean redis://host:6379?"},
		{"hunter2:6379", "did you mean redis://host:6379?"},
		{"://x", "no scheme"},
		{"http://localhost", "unknown scheme; known are dragonfly,"},
		{"reddis://localhost", `unknown scheme "reddis"; did you mean redis:?`},
		{"rediss+cluster://localhost", `did you mean redis+cluster:?`},
		{"redis", "no scheme"},
		{"red is://x", "no scheme"},
		{"redis:localhost", "two slashes are missing"},
		{"redis:", "no host"},
		{"redis://", "no host"},
		{"redis://:6379", "host number 1 is empty"},
		{"redis://a,b", "one host"},
		{"redis+cluster://a,", "host number 2 is empty"},
		{"redis://h:port", "malformed port"},
		{"redis://h:0", "malformed port"},
		{"redis://h:70000", "malformed port"},
		{"redis://h:+1", "malformed port"},
		{"redis://::1", "malformed; write host:port"},
		{"redis://[::1", "malformed; an IPv6 address is written [::1]"},
		{"redis://[h]", "malformed; an IPv6 address is written [::1]"},
		{"redis://[::1]6379", "malformed; an IPv6 address is written [::1]"},
		{"redis://[::1]:x", "malformed port"},
		{"redis://h ost", "a character that no host has"},
		{"redis://h\n", "a character that no host has"},
		{"redis://h/x", "database number"},
		{"redis://h/1?db=2", "twice"},
		{"redis://h?db=-1", "parameter db"},
		{"redis://h?pool_size=many", "parameter pool_size"},
		{"redis://h?pool_size=", "pool_size is empty"},
		{"redis://h?pool_size=1&pool_size=2", "given 2 times"},
		{"redis://h?read_timeout=5", "parameter read_timeout"},
		{"redis://h?batching=maybe", "parameter batching"},
		{"redis://h?poolsize=5", `unknown parameter "poolsize"; did you mean pool_size?`},
		{"redis://h?read_timeouts=5s", `unknown parameter "read_timeouts"; did you mean read_timeout?`},
		{"redis://h?db=1&colour=red", "unknown parameter, number 2 of the URL"},
		{"redis://h?a=%zz", "query is malformed"},
		{"redis://h?db=1;pool_size=2", "query is malformed"},
		{"redis://h?namespace=a:b", "namespace"},
		{"redis://h?protocol=4", "parameter protocol"},
		{"redis://h?cache=on&protocol=2", "cache=on needs protocol 3"},
		{"redis://h?cache_staleness=1s", "needs cache=on"},
		{"redis+cluster://h?cache=on", "unknown parameter"},
		{"redis://h?tls_ca=x", "tls=on"},
		{"redis://h?tls_insecure_skip_verify=on", "tls=on"},
		{"rediss://h?tls=off", "does not go with tls=off; write redis://"},
		{"dragonflys://h?tls=off", "does not go with tls=off; write dragonfly://"},
		{"rediss://h?tls_ca=/does/not/exist", "tls_ca: the file cannot be read: no such file"},
		{"rediss://h?tls_ca=/dev/zero", "tls_ca: it is no regular file"},
		{"rediss://h?tls_ca=-----BEGIN CERTIFICATE-----", "tls_ca: it holds no PEM"},
		{"rediss://h?tls_cert=x", "belong together"},
		{"redis://user@h", "user name without a password"},
		{"redis://user:@h", "user name without a password"},
		{"redis+sentinel://h", "name of the primary"},
		{"redis+sentinel://h/name?sentinel_user=x", "sentinel_password"},
		{"redis+cluster://h/3", "no path"},
		{"redis+cluster://h?db=1", "unknown parameter"},
		{"redis+unix://", "path of the socket is missing"},
		{"redis+unix://host/run/redis.sock", "takes no host"},
		{"redis+unix:run/redis.sock", "two slashes are missing"},
		{"redis+unix:/run/redis.sock?tls=on", "no TLS"},
		{"hazelcast://", "no host"},
		{"hazelcast://[::1/one", "malformed; an IPv6 address is written"},
		{"hazelcast://::1]/one", "malformed; write host:port"},
		{"hazelcast://h/one/", "second slash"},
		{"hazelcast://h/one/two", "second slash"},
		{"hazelcast://h?pool_size=1", "unknown parameter"},
		{"memory://host", "just memory: with nothing behind it"},
		{"memory:x", "just memory: with nothing behind it"},
		{"memory:?x=1", "just memory: with nothing behind it"},
		{"memory:///x", "just memory: with nothing behind it"},
		{"memory://:pw@", "just memory: with nothing behind it"},
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
		if strings.Contains(text, "\n") {
			t.Errorf("Open(%q) = %q, want one line", tt.url, text)
		}
	}
}

// No piece of a password is in an error, wherever a special character in it cuts
// the URL.
func TestOpenKeepsSecrets(t *testing.T) {
	const secret = "Geheim7Wort"
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, url := range []string{
		"redis://app:12?" + secret + "@host",
		"redis://app:" + secret + "?x@host",
		"redis://app:1/" + secret + "@host",
		"redis://app:" + secret + "/1@host/0",
		"redis://app:1#" + secret + "@host",
		"redis://app:1&" + secret + "@host",
		"redis://app:1@" + secret + "@host:port",
		"redis://app:1:" + secret + ":2@host:port",
		"redis://app:" + secret + "%zz@host",
		"redis://" + secret + "%zz:1@host",
		"redis://app:" + secret + "@host:port",
		"redis://app:" + secret + "@host?x=1",
		"redis://app:" + secret + "@host#",
		"redis://app:" + secret + "@ho st",
		"redis://app:" + secret + "@[::1",
		"redis://host?sentinel_password=super&" + secret,
		"redis://host?db=" + secret,
		"redis://host?pool_size=" + secret,
		"redis://host?read_timeout=" + secret,
		"redis://host?cache=" + secret,
		"rediss://host?tls_ca=" + secret,
		"rediss://host?tls_cert=x&tls_key=" + secret,
		"redis://host?namespace=a:" + secret,
		"redis://host/" + secret,
		"redis+cluster://host/" + secret,
		"redis+sentinel://app:1/" + secret + "@host/name",
		"redis+sentinel://host/name?sentinel_password=super&" + secret,
		"redis+sentinel://host/name?sentinel_password=super&" + secret + "=1",
		"redis+sentinel://host/name?sentinel_password=a;" + secret,
		"redis+unix://app:1/" + secret + "@/run/redis.sock",
		"hazelcast://app:1?" + secret + "@host/dev",
		"hazelcast://host/dev?timeout=" + secret,
		secret + ":@db",
		secret + ":1@db",
		secret + ":12345",
		secret + "://host",
		"app:" + secret + "@host:6379",
		"memory:" + secret,
		"memory://:" + secret + "@",
		"memory:?" + secret,
	} {
		b, err := backends.Open(ctx, url)
		if err == nil {
			b.Close()
			t.Errorf("Open(%q) = nil, want an error", url)
			continue
		}
		if strings.Contains(strings.ToLower(err.Error()), strings.ToLower(secret)) {
			t.Errorf("Open(%q) = %q, which shows a piece of the password", url, err)
		}
	}
}

// FuzzOpen puts a secret between two pieces of a URL and looks for it in the error.
func FuzzOpen(f *testing.F) {
	const secret = "Qx7Wv9ZkJ3"
	for _, seed := range [][2]string{
		{"memory:", ""},
		{"redis://u:", "@[::1]:1/2?db=x"},
		{"redis+cluster://a:1,b:2?", ""},
		{"hazelcast://:", "@a,b/name?timeout=1s"},
		{"valkey://%zz", ""},
		{"", ":6379"},
		{"rediss://h?tls_key=", "&tls_cert=x"},
		{"redis+unix:/", "?db=1&cache=on"},
		{"redis+sentinel://h/n?sentinel_password=", "&x"},
	} {
		f.Add(seed[0], seed[1])
	}
	// Nothing may be dialled: an ended context stops every well-formed URL.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.Fuzz(func(t *testing.T, before, after string) {
		url := before + secret + after
		b, err := backends.Open(ctx, url)
		if err == nil {
			b.Close()
			return
		}
		text := strings.ToLower(err.Error())
		for i := range len(secret) - 4 {
			if piece := strings.ToLower(secret[i : i+5]); strings.Contains(text, piece) {
				t.Errorf("Open(%q) = %q, which shows %q of the password", url, err, piece)
			}
		}
		if strings.ContainsAny(text, "\r\n") {
			t.Errorf("Open(%q) = %q, want one line", url, err)
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
	// Output: backends: redis: unknown parameter "pool"; did you mean pool_size?
}

func ExampleOpenWith() {
	ctx := context.Background()
	backend, err := backends.OpenWith(ctx, "memory:", &backends.Options{
		// What the go-redis client logs goes to the program's log, not to standard error.
		Logger: slog.Default(),
		// For a managed Redis with tokens also
		// Credentials: func(ctx context.Context) (user, password string, err error) {…},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := backend.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
}
