package redisstore

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// Texts of servers, as these give them, and what is made of them.
func TestDescribe(t *testing.T) {
	const (
		name  = "chat:s3cr3t%2Fid"
		plain = "s3cr3t/id"
		token = "xV3R1oEJ0yb8dXpKk0-Zvw"
		value = "hunter2 is the password"
	)
	secrets := secretsOf(name, []any{token, "nickname", []byte(value)})
	for _, tt := range []struct{ server, text, want string }{
		{"Redis 7", "OOM command not allowed when used memory > 'maxmemory'. script: f_0, on @user_script:6.", outOfMemory},
		{"Redis 6", "ERR Error running script (call to f_0123456789abcdef): @user_script:2: @user_script: 2: -OOM command not allowed when used memory > 'maxmemory'.", outOfMemory},
		{"Redis 6, short", "@user_script: 2: -OOM command not allowed when used memory > 'maxmemory'. ", outOfMemory},
		{"Dragonfly", "ERR Error running script (call to f_0): @user_script:4: @user_script:4: Out of memory", outOfMemory},
		{"Dragonfly, by itself", "ERR Out of memory", outOfMemory},
		{"Dragonfly, before a script", "OOM command not allowed when used memory > 'maxmemory'", outOfMemory},
		{"Redis 6, ACL", "ERR Error running script (call to f_0): @user_script:1: @user_script: 1: -NOPERM User executing a script has no permissions to run this command or subcommand", "the ACL user may not do this"},
		{"Redis 7, ACL", "ERR ACL failure in script: User app has no permissions to run the 'hset' command script: f_0, on @user_script:1.", "the ACL user may not do this"},
		{"Redis 7, renamed", "ERR Unknown Redis command called from script script: f_0, on @user_script:1.", "lacks a command"},
		{"Redis 7", "ERR unknown command 'EVALSHA', with args beginning with: '1' '" + name + "' '" + token + "' ", "does not know the command EVALSHA"},
		{"Redis 5", "ERR unknown command `hmget`, with args beginning with: `" + name + "`, ", "does not know the command HMGET"},
		{"predixy", "ERR unknown command", "the server refused the command: unknown command"},
		{"Redis 7", "WRONGTYPE Operation against a key holding the wrong kind of value", "is no hash"},
		{"Redis 6, script", "ERR Error running script (call to f_0): @user_script:1: @user_script: 1: WRONGTYPE Operation against a key holding the wrong kind of value", "is no hash"},
		{"bare", "ERR", "without saying why"},
		{"a proxy", "ERR upstream " + name + " of " + token + " is away", "the server refused the command: upstream … of … is away"},
		{"a proxy", "ERR no backend for " + plain, "no backend for …"},
		{"a proxy", "ERR bad value (" + value + ")", "bad value"},
		{"a proxy", "ERR cut off: '" + value[:9], "cut off: …"},
		{"a proxy", "ERR " + token, "is not shown"},
		{"a proxy", "ERR line\r\nbreak \x00\xff", "line break …"},
		{"a proxy", "ERR " + strings.Repeat("word ", 100), "word word"},
	} {
		got := describe(scriptError(tt.text), secrets...)
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: describe(%q) = %q, want %q in it", tt.server, tt.text, got, tt.want)
		}
		for _, secret := range append(secrets, "s3cr3t", "hunter2", token[:8], "\r", "\n", "\x00", "\xff") {
			if strings.Contains(got, secret) {
				t.Errorf("%s: describe(%q) = %q, which shows %q", tt.server, tt.text, got, secret)
			}
		}
		if len(got) > 300 {
			t.Errorf("%s: describe(%q) has %d bytes, want a line", tt.server, tt.text, len(got))
		}
	}
}

// Errors of the client's parser repeat what they could not read, and that may be the
// token of a life.
func TestConnectionText(t *testing.T) {
	const token = "xV3R1oEJ0yb8dXpKk0-Zvw"
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("redis: can't parse reply \"" + token + "\""), "a reply is malformed"},
		{errors.New("redis: invalid reply: \"$22\\r\\n" + token + "\""), "a reply is malformed"},
		{fmt.Errorf("strconv.ParseInt: parsing %q: invalid syntax", token), "a reply is malformed"},
		{errors.New("unexpected line\r\n" + token), "a reply is malformed"},
		{io.ErrUnexpectedEOF, "the server closed it"},
		{errors.New("the limiter lets nobody through"), "the limiter lets nobody through"},
	} {
		got := describe(tt.err)
		if !strings.Contains(got, tt.want) || strings.Contains(got, token) {
			t.Errorf("describe(%q) = %q, want %q in it, and no token", tt.err, got, tt.want)
		}
	}
}

// Whatever is put into words once is not put into them again.
func TestExplainTwice(t *testing.T) {
	b := new(Backend)
	once := b.explain(scriptError("WRONGPASS invalid username-password pair"))
	for range 3 {
		again := b.explain(fmt.Errorf("redis: %w", once))
		if n := strings.Count(again.Error(), "redis: "); n != 1 {
			t.Errorf("explain(%q) = %q, with %d prefixes, want one", once, again, n)
		}
		once = again
	}
}
