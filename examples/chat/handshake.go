package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sessionkv/store"
)

// A browser cannot set headers on a WebSocket handshake, and URLs end up in
// logs. So the credentials travel as further offers of subprotocols:
//
//	Sec-WebSocket-Protocol: chat.v1, token.<JWT>, session.<ID>
const (
	subprotocol   = "chat.v1"
	tokenPrefix   = "token."
	sessionPrefix = "session."
)

// offer returns what follows prefix among the subprotocols that r offers.
func offer(r *http.Request, prefix string) string {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if v, ok := strings.CutPrefix(strings.TrimSpace(p), prefix); ok {
				return v
			}
		}
	}
	return ""
}

// tokenOf returns the token that r carries; "" when it carries none.
func tokenOf(r *http.Request) string {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return token
	}
	return offer(r, tokenPrefix)
}

// handshakeOf returns what r tells of the client. The texts are the client's,
// so they are cut to a length that a table can show.
func handshakeOf(r *http.Request, node string) HandshakeInfo {
	const maxValue, maxParams = 200, 16
	info := HandshakeInfo{
		Node:      node,
		Remote:    r.RemoteAddr,
		UserAgent: clip(r.UserAgent(), maxValue),
		Language:  clip(r.Header.Get("Accept-Language"), maxValue),
		Query:     map[string]string{},
		At:        time.Now().UTC().Truncate(time.Millisecond),
	}
	for name, values := range r.URL.Query() {
		if len(info.Query) < maxParams {
			info.Query[clip(name, maxName)] = clip(values[0], maxValue)
		}
	}
	return info
}

// clip returns at most n bytes of s, as valid UTF-8.
func clip(s string, n int) string {
	return strings.ToValidUTF8(s[:min(len(s), n)], "")
}

// An opened is the session of a new connection.
type opened struct {
	sess    *store.Session
	resumed bool
	notice  string // why the session that the client asked for was not resumed
	trace   trace
}

// open resumes the session that the client asks for, or creates one.
func (s *server) open(ctx context.Context, r *http.Request, claims TokenClaims) (opened, error) {
	var o opened
	info := handshakeOf(r, s.node)
	if id := offer(r, sessionPrefix); id != "" {
		err := s.resume(ctx, &o, id, claims, info)
		if err == nil {
			return o, nil
		}
		switch {
		case errors.Is(err, store.ErrNoSession), errors.Is(err, store.ErrDestroyed), errors.Is(err, store.ErrInvalidID):
			o.notice = "your earlier session is over, this is a new one"
		case errors.Is(err, errForeignSession):
			o.notice = "the session that you asked for is another user's, this is a new one"
		default:
			return o, err
		}
	}
	nickname := info.Query["nickname"]
	if checkName("nickname", nickname) != nil {
		nickname = claims.Subject
	}
	room := info.Query["room"]
	if checkName("room", room) != nil {
		room = "lobby"
	}
	return o, o.trace.do("sessions.Create", func() (err error) {
		o.sess, err = s.sessions.Create(ctx, store.NewID(),
			UserID.To(claims.Subject),
			Claims.To(claims),
			Handshake.To(info),
			Nickname.To(nickname),
			Rooms.To([]string{room}),
			Messages.To(0),
			Connects.To(1),
		)
		return err
	})
}

var errForeignSession = errors.New("the session belongs to another user")

// resume takes over the session id, from this node or another one, whether its
// earlier connection is known to be gone or not.
func (s *server) resume(ctx context.Context, o *opened, id string, claims TokenClaims, info HandshakeInfo) error {
	// Whose it is comes first: a Resume would already cut off its owner.
	var owner string
	err := o.trace.do("sessions.Attach, UserID.Get", func() error {
		sess, err := s.sessions.Attach(ctx, id)
		if err != nil {
			return err
		}
		owner, err = UserID.Get(ctx, sess)
		return err
	})
	if err != nil {
		return err
	}
	if owner != claims.Subject {
		return errForeignSession
	}
	var sess *store.Session
	err = o.trace.do("sessions.Resume", func() (err error) {
		sess, err = s.sessions.Resume(ctx, id)
		return err
	})
	if err != nil {
		return err
	}
	err = o.trace.do("sess.Update(Claims, Handshake, Connects)", func() error {
		return sess.Update(ctx, func(tx *store.Tx) error {
			n, err := Connects.In(tx).GetOr(0)
			if err != nil {
				return err
			}
			return errors.Join(
				Claims.In(tx).Set(claims),
				Handshake.In(tx).Set(info),
				Connects.In(tx).Set(n+1),
			)
		})
	})
	if err != nil {
		s.letGo(sess, claims.Subject, "")
		return err
	}
	o.sess, o.resumed = sess, true
	return nil
}
