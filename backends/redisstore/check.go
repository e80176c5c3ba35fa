package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/internal/panics"
)

const (
	checkLease   = 10 * time.Second // of the session that Check begins
	checkCleanup = time.Second
	checkNames   = 128 // names to look for slots that a server does not serve
	tlsTimeout   = time.Second
)

// Check begins, renews, resumes and destroys one session, and fails with an error that says what is
// missing. That may be a right of the ACL user, or a command that the server does not have or has
// under another name. The server may also be of another kind than the client takes it for: a
// replica, a Sentinel, one node of a cluster, one with TLS.
//
// A setting that loses sessions without failing an operation, such as an eviction policy, is
// reported to Options.Logger. So is a right that only notices of ends need. What the user may not
// ask about (CONFIG, INFO) is passed over. The session's ID is random, and should its end be lost
// it expires after ten seconds.
//
// backends.Open calls it. Programs that make their own client call it once at the
// start.
func (b *Backend) Check(ctx context.Context) error {
	if !b.made() {
		return errNotMade
	}
	if b.closed.Load() {
		return store.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if single, ok := b.client.(*redis.Client); ok {
		if err := b.checkKind(ctx, single); err != nil {
			return err
		}
	}
	if err := b.checkCommands(ctx); err != nil {
		return err
	}
	b.native.askNow(ctx)
	if err := b.checkLife(ctx); err != nil {
		return err
	}
	b.checkSettings(ctx)
	b.notices.check(ctx)
	return nil
}

// checkKind makes sure that the server is a primary of its own.
func (b *Backend) checkKind(ctx context.Context, client *redis.Client) error {
	roles := make(chan string, 1)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if o := client.Options(); o.TLSConfig != nil {
		// A server without TLS may keep a handshake waiting.
		defer time.AfterFunc(tlsTimeout, func() {
			if speaksPlain(ctx, o) {
				cancel(errPlain)
			}
		}).Stop()
	}
	err := await(ctx, func() error {
		role, err := askRole(ctx, client, client.Options().Protocol)
		roles <- role
		return err
	})
	role := ""
	if err == nil {
		role = <-roles
	}
	switch {
	case err != nil && context.Cause(ctx) == errPlain:
		return &clientError{text: "redis: " + errPlain.Error(), cause: errPlain}
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return b.checkError(ctx, err)
	case role == sentinel:
		return &clientError{text: "redis: " + errSentinel.Error(), cause: errSentinel}
	case role == replica:
		return &clientError{text: "redis: " + ErrReplica.Error(), cause: ErrReplica}
	}
	return b.checkSlots(ctx, client)
}

// checkSlots reads names of many slots. A node of a cluster serves some of them.
func (b *Backend) checkSlots(ctx context.Context, client *redis.Client) error {
	pipe := client.Pipeline()
	for range checkNames {
		_ = pipe.Process(ctx, newHash(ctx, b.namespace.Session(store.NewID()), []any{tokenField}))
	}
	var cmds []redis.Cmder
	err := await(ctx, func() (err error) { cmds, err = pipe.Exec(ctx); return err })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, cmd := range cmds {
		if err == nil {
			err = cmd.Err()
		}
		for _, word := range []string{"MOVED", "ASK", "CLUSTERDOWN", "CROSSSLOT"} {
			if refusedWith(cmd.Err(), word) {
				return &clientError{
					text:  "redis: the server is a node of a Redis Cluster and serves a part of the sessions only; use redis.NewClusterClient, or the URL redis+cluster://host:port",
					cause: cmd.Err(),
				}
			}
		}
	}
	if _, refused := replyError(err); err != nil && !refused {
		return b.checkError(ctx, err)
	}
	return nil // what else was refused, checkCommands names
}

// probeScript runs each command that the scripts use, on a key that does not exist. It answers a
// list of those that failed, each before what it failed with. A key that HSET leaves is removed by
// one of the commands that have worked before. Renewals need PTTL where PEXPIRE has no GT.
var probeScript = `
local k,bad=KEYS[1],{}
local function try(...)
  local r=redis.pcall(...)
  if type(r)~='table' or not r.err then return true end
  bad[#bad+1]=(...)
  bad[#bad+1]=r.err
end
try('HGET',k,'f') try('HEXISTS',k,'f') try('HLEN',k) try('HKEYS',k)
local p,u,d=try('PEXPIRE',k,'1000'),try('UNLINK',k),try('HDEL',k,'f')
if p and type(redis.pcall('PEXPIRE',k,'1000','GT'))~='number' then try('PTTL',k) end
if p or u or d then
  try('HSET',k,'f','v')
  redis.pcall('PEXPIRE',k,'1000')
  redis.pcall('HDEL',k,'f')
  redis.pcall('UNLINK',k)
end
return bad`

// checkCommands names the commands that the server does not have or the user may
// not run.
func (b *Backend) checkCommands(ctx context.Context) error {
	name := b.namespace.Session(store.NewID())
	var forbidden, unknown []string
	var cause error
	note := func(command string, err error) (fatal error) {
		text := ""
		if reply, ok := replyError(err); ok {
			text = essence(reply.Error())
		}
		switch {
		case err == nil, strings.HasPrefix(text, "NOSCRIPT"):
			return nil
		case strings.HasPrefix(text, "NOPERM") && strings.Contains(text, "key") && !strings.Contains(text, "command"):
			return &clientError{text: fmt.Sprintf("redis: the ACL user may not touch the keys of this namespace; its rule needs ~%s:*", b.namespace), cause: err}
		case strings.HasPrefix(text, "NOPERM"):
			forbidden, cause = append(forbidden, command), err
		case unknownCommand.MatchString(text), strings.HasPrefix(text, "Unknown Redis command"):
			unknown, cause = append(unknown, command), err
		default:
			return b.checkError(ctx, err)
		}
		return nil
	}
	run := func(args ...any) (any, error) {
		cmd := redis.NewCmd(ctx, args...)
		if len(args) > 3 {
			cmd.SetFirstKeyPos(3)
		}
		err := await(ctx, func() error { return b.client.Process(ctx, cmd) })
		if err != nil {
			return nil, err
		}
		return cmd.Val(), nil
	}
	hmget := redis.NewSliceCmd(ctx, "hmget", name, tokenField)
	if err := note("HMGET", await(ctx, func() error { return b.client.Process(ctx, hmget) })); err != nil {
		return err
	}
	_, err := run("evalsha", string(noScript), 1, name)
	if err := note("EVALSHA", err); err != nil {
		return err
	}
	answer, err := run("eval", probeScript, 1, name)
	if err := note("EVAL", err); err != nil {
		return err
	}
	failed, _ := answer.([]any)
	for i := 0; i+1 < len(failed); i += 2 {
		command, _ := failed[i].(string)
		text, _ := failed[i+1].(string)
		if err := note(command, scriptError(strings.TrimPrefix(text, "-"))); err != nil && !refusedWith(err, "OOM") {
			return err
		}
	}
	var missing []string
	if len(forbidden) > 0 {
		rights := "+" + strings.ToLower(strings.Join(forbidden, " +"))
		missing = append(missing, fmt.Sprintf("the ACL user may not run %s; its rule needs %s", strings.Join(forbidden, ", "), rights))
	}
	if len(unknown) > 0 {
		missing = append(missing, fmt.Sprintf("the server does not know %s, or has another name for it; redisstore needs Redis 6.2 or later, Valkey or DragonflyDB, with no command renamed", strings.Join(unknown, ", ")))
	}
	if len(missing) > 0 {
		return &clientError{text: "redis: " + strings.Join(missing, "; "), cause: cause}
	}
	return nil
}

// A scriptError is what a command within a script failed with. It is an error of
// the server like any other.
type scriptError string

func (e scriptError) Error() string { return string(e) }

// RedisError implements [redis.Error].
func (scriptError) RedisError() {}

// checkLife does once what sessions do.
func (b *Backend) checkLife(ctx context.Context) error {
	terms := store.Terms{Lease: checkLease}
	id := store.NewID()
	var session store.Store
	begun := false // or perhaps
	defer func() {
		if !begun {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkCleanup)
		defer cancel()
		if session == nil {
			session, _ = b.Attach(ctx, id, terms)
		}
		if s, ok := session.(*handle); ok {
			// Not with Destroy: nobody needs the word of the replicas, and they may be missing.
			_, _ = b.eval(ctx, read, destroyScript, s.name, s.token) // it expires otherwise
		}
	}()
	steps := []struct {
		doing string
		do    func() error
	}{
		{"beginning a session", func() (err error) {
			session, err = b.Create(ctx, id, []store.Entry{{Key: "check", Value: []byte("1")}}, terms)
			begun = err == nil || errors.Is(err, store.ErrUnknownOutcome)
			return err
		}},
		{"writing to a session", func() error { return session.Set(ctx, "check", []byte("2")) }},
		{"reading from a session", func() error { _, err := session.Has(ctx, "check"); return err }},
		{"listing the keys of a session", func() error { _, err := store.Keys(ctx, session); return err }},
		{"writing several values", func() error {
			_, err := store.Commit(ctx, session, nil, []store.Entry{{Key: "other", Value: []byte("3")}, {Key: "check"}})
			return err
		}},
		{"renewing a session", func() error { return errors.Join(b.Renew(ctx, []store.Store{session}, checkLease)...) }},
		{"suspending a session", func() error { return b.Suspend(ctx, session, checkLease) }},
		{"resuming a session", func() error {
			resumed, err := b.Resume(ctx, id, terms)
			if err == nil {
				session = resumed
			}
			return err
		}},
		{"ending a session", func() error { return session.Destroy(ctx) }},
	}
	for _, step := range steps {
		err := step.do()
		if unconfirmed := (*unconfirmedError)(nil); errors.As(err, &unconfirmed) && unconfirmed.err == nil {
			b.logger.WarnContext(ctx, "redis: too few replicas confirm writes, so that each will fail with an unknown outcome",
				"wanted", unconfirmed.want, "confirmed", unconfirmed.got)
			return nil
		}
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			return fmt.Errorf("%w (while %s, as a trial)", err, step.doing)
		}
	}
	begun = false // and ended
	return nil
}

// checkSettings warns of what loses sessions without an error.
func (b *Backend) checkSettings(ctx context.Context) {
	look := func(ctx context.Context, node *redis.Client) {
		policy, cacheMode := "", ""
		if memory, err := node.Info(ctx, "memory").Result(); err == nil {
			policy, cacheMode = field(memory, "maxmemory_policy"), field(memory, "cache_mode")
		}
		if policy == "" {
			if config, err := node.ConfigGet(ctx, "maxmemory-policy").Result(); err == nil {
				policy = config["maxmemory-policy"]
			}
		}
		switch {
		case cacheMode == "cache":
			b.logger.WarnContext(ctx, "redis: DragonflyDB runs with --cache_mode and evicts sessions when its memory is full; run it without", "server", node.Options().Addr)
		case policy != "" && policy != "noeviction":
			b.logger.WarnContext(ctx, "redis: the server evicts sessions when its memory is full; set maxmemory-policy to noeviction", "maxmemory-policy", policy, "server", node.Options().Addr)
		}
		if b.mayBeSplit(ctx, node) {
			b.logger.WarnContext(ctx, "redis: DragonflyDB may run scripts in steps, so that two sessions of one ID can begin; run it without --default_lua_flags", "server", node.Options().Addr)
		}
	}
	_ = await(ctx, func() error { // what it says it has logged
		switch client := b.client.(type) {
		case *redis.Client:
			look(ctx, client)
		case *redis.ClusterClient:
			return client.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
				return panics.Guard(func() error { look(ctx, node); return nil })
			})
		}
		return nil
	})
}

// undeclaredScript reads a key that it has not declared.
const undeclaredScript = `return redis.call('HGET',ARGV[1],'f')`

// mayBeSplit reports whether node is a DragonflyDB that may execute other commands in the middle of
// a script. It tells nobody its --default_lua_flags, but refuses a script that reads an undeclared
// key, unless these flags have disable-atomicity, or allow-undeclared-keys, which locks the whole
// server for each script.
func (b *Backend) mayBeSplit(ctx context.Context, node *redis.Client) bool {
	if info, err := node.Info(ctx, "server").Result(); err != nil || field(info, "dragonfly_version") == "" {
		return false
	}
	declared, other := b.namespace.Session(store.NewID()), b.namespace.Session(store.NewID())
	err := node.Eval(ctx, undeclaredScript, []string{declared}, other).Err()
	return errors.Is(err, redis.Nil)
}

// field returns a field of an answer to INFO.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && key == name {
			return value
		}
	}
	return ""
}

// checkError puts an error of the first contact into words. A connection that the server closes at
// once often is one without TLS to a server that requires it.
func (b *Backend) checkError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	single, ok := b.client.(*redis.Client)
	closed := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if malformed := !closed && errors.Unwrap(err) == nil && strings.HasPrefix(err.Error(), "redis: "); !ok || !closed && !malformed {
		return b.explain(err)
	}
	switch {
	case single.Options().TLSConfig == nil && speaksTLS(ctx, single.Options()):
		return &clientError{text: "redis: the server speaks TLS; give the client a TLSConfig, or use the URL rediss://", cause: err}
	case closed:
		return &clientError{text: "redis: the server closed the connection at the first command, HELLO; it is no Redis, or a proxy such as twemproxy that does not know HELLO, which is not supported", cause: err}
	}
	return b.explain(err)
}

// speaksTLS tries a handshake with the server of a client without TLS. Nothing
// secret is sent.
func speaksTLS(ctx context.Context, o *redis.Options) bool {
	ctx, cancel := context.WithTimeout(ctx, tlsTimeout)
	defer cancel()
	conn, err := o.Dialer(ctx, o.Network, o.Addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	err = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx)
	var remote *net.OpError
	return err == nil || errors.As(err, &remote) && remote.Op == "remote error"
}

var errPlain = errors.New("the server does not speak TLS; leave the TLSConfig out, or use the URL redis:// in place of rediss://")

// speaksPlain reports whether a server answers without TLS, for a client with it.
func speaksPlain(ctx context.Context, o *redis.Options) bool {
	d := net.Dialer{Timeout: tlsTimeout}
	conn, err := d.DialContext(ctx, o.Network, o.Addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	answer := make([]byte, 1)
	_ = conn.SetDeadline(time.Now().Add(tlsTimeout))
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return false
	}
	_, err = io.ReadFull(conn, answer)
	return err == nil && (answer[0] == '+' || answer[0] == '-')
}
