package redisstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/backends/redisstore/internal/batch"
)

// refusals are the texts for what servers answer, by the word that their errors
// begin with, which alone is the same on all of them.
var refusals = []struct{ word, text string }{
	{"WRONGTYPE", "the name of this session is taken by a key that is no hash; give the backend a namespace of its own"},
	{"NOPERM", "the ACL user may not do this; the documentation of redisstore has the rule that it needs"},
	{"NOAUTH", "the server wants a user and password; give them to the client"},
	{"WRONGPASS", "the server does not accept the user or password of the client"},
	{"READONLY", "the server is a read-only replica; connect to the primary, through Sentinel or Cluster where it can move"},
	{"OOM", outOfMemory},
	{"Out of memory", outOfMemory}, // Dragonfly
	{"LOADING", "the server is loading its data; try again in a moment"},
	{"CLUSTERDOWN", "the cluster does not serve the session's slot at present"},
	{"MASTERDOWN", "the server is a replica without a link to its primary"},
	{"TRYAGAIN", "the session's slot is being moved; try again in a moment"},
	{"MOVED", "the server is a cluster node that does not serve the session's slot; use a cluster client"},
	{"ASK", "the session's slot is being moved; use a cluster client"},
	{"CROSSSLOT", "the server is a cluster node; use a cluster client"},
	{"This instance has cluster support disabled", "the server is no cluster; use redis.NewClient, or the URL redis://host:port"},
	{"NOREPLICAS", "the server has fewer replicas than it demands for a write"},
	{"MISCONF", "the server refuses writes because it cannot save its data to disk"},
	{"BUSY", "the server is busy with a script of somebody else"},
	{"NOSCRIPT", "the server forgets scripts as soon as it runs them"},
	{"max number of clients", "the server has no connection left; raise its maxclients or lower the pool size"},
	{"Unknown Redis command called from script", "the server lacks a command that the scripts use, or has it under another name; Backend.Check says which"},
}

const outOfMemory = "the server has no memory left for writes; raise its maxmemory or shorten the leases"

// describe says in one line what err means. It shows what the server says only
// without what was sent to it: secrets are the names and values of the command.
func describe(err error, secrets ...string) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "the deadline passed before the server answered"
	}
	if errors.Is(err, context.Canceled) {
		return "canceled before the server answered"
	}
	if errors.Is(err, ErrReplica) || errors.Is(err, errSentinel) {
		return rootText(err)
	}
	if reply, ok := replyError(err); ok {
		text := essence(reply.Error())
		for _, r := range refusals {
			if strings.HasPrefix(text, r.word) {
				return r.text
			}
		}
		if m := unknownCommand.FindStringSubmatch(text); m != nil {
			return fmt.Sprintf("the server does not know the command %s; redisstore needs Redis 6.2 or later, Valkey or DragonflyDB, with no command renamed", strings.ToUpper(m[1]))
		}
		if text == "" || text == "ERR" {
			return "the server refused the command without saying why"
		}
		return "the server refused the command: " + scrub(text, secrets)
	}
	var op *net.OpError
	switch {
	case errors.Is(err, batch.ErrQueueFull):
		return "too many operations wait for the server already; it hangs, or is too slow for so many callers"
	case errors.Is(err, redis.ErrClosed):
		return "the client was closed; close the backend before its client"
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return "no connection of the client's pool became free in time; raise PoolSize or PoolTimeout"
	case errors.Is(err, errReply), errors.Is(err, errNoReply), errors.Is(err, errSince):
		return err.Error()
	case errors.As(err, &op) && op.Op == "dial":
		return "the server cannot be reached: " + op.Error()
	case lostBehind(err):
		return "a proxy in between has lost its connection to the server"
	case isTimeout(err):
		return "the server did not answer within the client's read timeout"
	default:
		return "the connection failed: " + connectionText(err)
	}
}

// connectionText is the text of an error of the connection. The client's parser puts what it could
// not read into its errors. That can be a piece of a value or the token of a life, so what is not
// known to be harmless is left out.
func connectionText(err error) string {
	var (
		op          *net.OpError
		errno       syscall.Errno
		record      tls.RecordHeaderError
		verify      *tls.CertificateVerificationError
		alert       tls.AlertError
		authority   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		number      *strconv.NumError
		certificate x509.CertificateInvalidError
	)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the server closed it"
	case errors.As(err, &record):
		return "the server does not speak TLS here"
	case errors.As(err, &verify), errors.As(err, &alert), errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &certificate):
		return rootText(err)
	case errors.As(err, &op):
		return op.Error()
	case errors.As(err, &errno):
		return errno.Error()
	}
	text := err.Error()
	if errors.As(err, &number) || strings.Contains(text, "redis: ") || strings.ContainsAny(text, "\"`\r\n") {
		return "a reply is malformed; is there a proxy that changes replies? (what was read is not shown, for it may be a secret)"
	}
	return text // of a limiter, a dialer or a hook of the caller's own
}

// rootText is the text of the innermost error that has one of ours or of TLS.
func rootText(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

var (
	// inScript is where the error of a command within a script is preceded by the
	// place: "ERR Error running script (call to f_…): @user_script:1: @user_script: 1: -OOM …".
	inScript       = regexp.MustCompile(`@user_script:? ?\d+: ?-?`)
	unknownCommand = regexp.MustCompile("(?i)unknown (?:redis )?command:?,? *[`'\"]?([A-Za-z]{1,20})\\b")
	quoted         = regexp.MustCompile("'[^']*'|`[^`]*`|\"[^\"]*\"|'.*|`.*|\".*")
	plainWord      = regexp.MustCompile(`^[(\[-]*(?:[A-Za-z][A-Za-z_.-]{0,24}(?:'[a-z]{1,2})?|\d{1,6})[,.;:!?)\]]*$`)
)

// essence returns the part of a server's error that says what is wrong, without
// the prefixes that only some versions have.
func essence(text string) string {
	if at := inScript.FindAllStringIndex(text, -1); at != nil {
		if rest := text[at[len(at)-1][1]:]; rest != "" {
			text = rest
		}
	}
	if strings.Contains(text, "ACL failure in script") || strings.Contains(text, "The user executing the script can't") {
		return "NOPERM" // which not every version says
	}
	text, _, _ = strings.Cut(text, "with args beginning with")
	return strings.TrimSpace(strings.TrimPrefix(text, "ERR "))
}

// scrub returns a server's text without secrets, and without anything else that is not plain words.
// A server repeats what it was sent, whole or cut off.
func scrub(text string, secrets []string) string {
	for _, secret := range secrets {
		if len(secret) > 2 {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	text = quoted.ReplaceAllString(text, "…")
	words := strings.Fields(text)
	for i, word := range words {
		if !plainWord.MatchString(word) {
			words[i] = "…"
		}
	}
	if text = strings.Join(words, " "); len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	if text == "" || strings.Trim(text, "… ") == "" {
		return "its text names what was sent and is not shown (errors.As finds it)"
	}
	return text
}

// secretsOf returns the strings of a command that no text may show. They are its arguments and the
// session's ID, as it is and as it is written in the hash's name.
func secretsOf(name any, args []any) []string {
	var secrets []string
	if full, ok := name.(string); ok {
		secrets = append(secrets, full)
		if _, id, ok := strings.Cut(full, ":"); ok {
			secrets = append(secrets, id)
			if plain, err := url.PathUnescape(id); err == nil {
				secrets = append(secrets, plain)
			}
		}
	}
	for _, arg := range args {
		switch arg := arg.(type) {
		case string:
			secrets = append(secrets, arg)
		case []byte:
			secrets = append(secrets, string(arg))
		}
	}
	return secrets
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// refusedWith reports whether err is an error of the server that begins with word.
func refusedWith(err error, word string) bool {
	reply, ok := replyError(err)
	return ok && strings.HasPrefix(essence(reply.Error()), word)
}
