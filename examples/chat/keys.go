package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/sessionkv/store"
)

// The state of a client, one typed key for each piece of it. These lines are
// all there is to declare.
const (
	UserID    = store.Key[string]("userId")
	Claims    = store.Key[TokenClaims]("tokenClaims")
	Handshake = store.Key[HandshakeInfo]("handshake")
	Nickname  = store.Key[string]("nickname")
	Rooms     = store.Key[[]string]("rooms")
	Messages  = store.Key[int64]("messages") // how many the client has said
	Connects  = store.Key[int64]("connects") // how many connections the session has had
)

// TokenClaims is what the client's token says.
type TokenClaims struct {
	Subject string    `json:"subject"`
	Tenant  string    `json:"tenant"`
	Admin   bool      `json:"admin"`
	Expires time.Time `json:"expires"`
}

// HandshakeInfo is what the client's latest handshake said.
type HandshakeInfo struct {
	Node      string            `json:"node"` // the process that answered it
	Remote    string            `json:"remote"`
	UserAgent string            `json:"userAgent"`
	Language  string            `json:"language"`
	Query     map[string]string `json:"query"`
	At        time.Time         `json:"at"`
}

// A view is a session as the page shows it. It names the session by its hash:
// the ID is a credential.
type view struct {
	Hash      string        `json:"hash"`
	User      string        `json:"user"`
	Claims    TokenClaims   `json:"claims"`
	Handshake HandshakeInfo `json:"handshake"`
	Nickname  string        `json:"nickname"`
	Rooms     []string      `json:"rooms"`
	Messages  int64         `json:"messages"`
	Connects  int64         `json:"connects"`
}

// readView loads all that the page shows of a session, in one round trip.
func readView(ctx context.Context, sess *store.Session) (view, error) {
	v := view{Hash: shortHash(sess.ID())}
	err := store.Load(ctx, sess,
		UserID.Into(&v.User),
		Claims.Into(&v.Claims),
		Handshake.Into(&v.Handshake),
		Nickname.Into(&v.Nickname),
		Rooms.IntoOr(&v.Rooms, []string{}),
		Messages.IntoOr(&v.Messages, 0),
		Connects.IntoOr(&v.Connects, 0),
	)
	return v, err
}

// shortHash names a session in pages and logs. The ID has at least 128 random
// bits, so its hash does not lead back to it.
func shortHash(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:6])
}
