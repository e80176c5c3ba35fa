package main

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/sessionkv/store"
)

//go:embed web
var webFiles embed.FS

// handler returns all that the server answers.
func (s *server) handler() http.Handler {
	web, err := fs.Sub(webFiles, "web")
	if err != nil {
		panic(err) // the directory is part of the binary
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(web))
	mux.HandleFunc("GET /ws", s.serveSocket)
	mux.HandleFunc("POST /api/login", s.login)
	mux.HandleFunc("GET /api/whoami", s.signedIn(s.whoami))
	mux.HandleFunc("GET /api/sessions", s.signedIn(s.listSessions))
	mux.HandleFunc("POST /api/bye", s.signedIn(s.bye))
	mux.HandleFunc("POST /api/bye-everywhere", s.signedIn(s.byeEverywhere))
	mux.HandleFunc("POST /api/kick", s.admin(s.kick))
	mux.HandleFunc("POST /api/session", s.admin(s.remote))
	return headers(http.NewCrossOriginProtection().Handler(mux))
}

// headers keeps the page to itself: nothing from elsewhere runs in it or frames
// it, and what the API answers stays in no cache.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// login mints a token for whoever asks: this is a demo, there are no passwords.
func (s *server) login(w http.ResponseWriter, r *http.Request) {
	var req struct {
		User   string `json:"user"`
		Tenant string `json:"tenant"`
		Admin  bool   `json:"admin"`
	}
	if !readBody(w, r, &req) {
		return
	}
	req.User, req.Tenant = strings.TrimSpace(req.User), strings.TrimSpace(req.Tenant)
	err := checkName("user", req.User)
	if err == nil && req.Tenant != "" {
		err = checkName("tenant", req.Tenant)
	}
	if err != nil {
		httpError(w, http.StatusBadRequest, err.Error())
		return
	}
	claims := TokenClaims{Subject: req.User, Tenant: req.Tenant, Admin: req.Admin, Expires: time.Now().Add(tokenTTL)}
	token, err := s.tokens.mint(claims)
	if err != nil {
		s.log.Error("cannot sign a token", "error", err)
		httpError(w, http.StatusInternalServerError, "the token could not be signed")
		return
	}
	reply(w, map[string]any{"token": token, "expires": claims.Expires.UTC().Truncate(time.Second)})
}

// whoami tells what the token says. A page learns from it why a WebSocket
// handshake was refused, which browsers keep to themselves.
func (s *server) whoami(w http.ResponseWriter, _ *http.Request, claims TokenClaims) {
	reply(w, claims)
}

func (s *server) listSessions(w http.ResponseWriter, r *http.Request, _ TokenClaims) {
	reply(w, s.readTable(r.Context()))
}

// bye signs a user out whose page has no connection: it destroys the session, on
// whatever node it lives.
func (s *server) bye(w http.ResponseWriter, r *http.Request, claims TokenClaims) {
	var req struct {
		Session string `json:"session"`
	}
	if !readBody(w, r, &req) {
		return
	}
	ctx := r.Context()
	sess, err := s.sessions.Attach(ctx, req.Session)
	if err != nil {
		s.storeError(w, err)
		return
	}
	switch owner, err := UserID.Get(ctx, sess); {
	case err != nil:
		s.storeError(w, err)
		return
	case owner != claims.Subject:
		httpError(w, http.StatusForbidden, errForeignSession.Error())
		return
	}
	if err := sess.Destroy(ctx); err != nil {
		s.storeError(w, err)
		return
	}
	hash := shortHash(req.Session)
	s.hub.forget(hash)
	s.log.Info("signed out without a connection", "session", hash)
	reply(w, map[string]any{"destroyed": hash})
}

// byeEverywhere signs a user out on all devices: it destroys the sessions of that
// user, on whatever nodes they live, and those that wait for their client. Tokens
// stay valid until they expire. Where that matters, keep the time of the last call
// for each user, and refuse tokens that are older.
func (s *server) byeEverywhere(w http.ResponseWriter, r *http.Request, claims TokenClaims) {
	n, err := UserID.DestroyAll(r.Context(), s.sessions, claims.Subject)
	if err != nil {
		s.storeError(w, err)
		return
	}
	s.hub.forgetUser(claims.Subject)
	s.log.Info("signed out everywhere", "user", claims.Subject, "sessions", n)
	reply(w, map[string]any{"destroyed": n})
}

// kick destroys a session of this node, named by its hash.
func (s *server) kick(w http.ResponseWriter, r *http.Request, claims TokenClaims) {
	var req struct {
		Hash string `json:"hash"`
	}
	if !readBody(w, r, &req) {
		return
	}
	found := s.hub.find(req.Hash)
	if len(found) == 0 {
		httpError(w, http.StatusNotFound, "no connection on this node has a session with that hash")
		return
	}
	for _, c := range found {
		if err := c.destroy(r.Context(), farewellKicked); err != nil {
			s.storeError(w, err)
			return
		}
		s.log.Info("kicked", "session", c.hash, "by", claims.Subject)
	}
	reply(w, map[string]any{"destroyed": len(found)})
}

// remote reads a session that may live on any node, sets its nickname or
// destroys it. The ID comes in the body: URLs end up in logs.
func (s *server) remote(w http.ResponseWriter, r *http.Request, claims TokenClaims) {
	var req struct {
		Session  string `json:"session"`
		Nickname string `json:"nickname"`
		Destroy  bool   `json:"destroy"`
	}
	if !readBody(w, r, &req) {
		return
	}
	req.Session, req.Nickname = strings.TrimSpace(req.Session), strings.TrimSpace(req.Nickname)
	if req.Nickname != "" {
		if err := checkName("nickname", req.Nickname); err != nil {
			httpError(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	ctx := r.Context()
	sess, err := s.sessions.Attach(ctx, req.Session)
	if err != nil {
		s.storeError(w, err)
		return
	}
	if req.Nickname != "" {
		if err := Nickname.Set(ctx, sess, req.Nickname); err != nil {
			s.storeError(w, err)
			return
		}
	}
	v, err := readView(ctx, sess)
	if err != nil {
		s.storeError(w, err)
		return
	}
	if req.Destroy {
		if err := sess.Destroy(ctx); err != nil {
			s.storeError(w, err)
			return
		}
		s.hub.forget(v.Hash)
		s.log.Info("destroyed a session by its ID", "session", v.Hash, "by", claims.Subject)
	}
	s.hub.touch()
	reply(w, v)
}

// signedIn lets only requests with a valid token through.
func (s *server) signedIn(next func(http.ResponseWriter, *http.Request, TokenClaims)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		claims, err := s.tokens.verify(tokenOf(r))
		if err != nil {
			unauthorized(w, err)
			return
		}
		next(w, r, claims)
	}
}

// admin lets only requests with an administrator's token through.
func (s *server) admin(next func(http.ResponseWriter, *http.Request, TokenClaims)) http.HandlerFunc {
	return s.signedIn(func(w http.ResponseWriter, r *http.Request, claims TokenClaims) {
		if !claims.Admin {
			httpError(w, http.StatusForbidden, "this is for administrators: sign in as one")
			return
		}
		next(w, r, claims)
	})
}

// readBody decodes the JSON body into dst. Otherwise it answers and returns
// false.
func readBody(w http.ResponseWriter, r *http.Request, dst any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxMessage))
	dec.DisallowUnknownFields()
	if err := dec.Decode(dst); err != nil {
		httpError(w, http.StatusBadRequest, fmt.Sprintf("the body is not what it should be: %s", strings.TrimPrefix(err.Error(), "json: ")))
		return false
	}
	return true
}

// storeError answers with what an error of the store means to the caller.
func (s *server) storeError(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, store.ErrNoSession), errors.Is(err, store.ErrDestroyed):
		httpError(w, http.StatusNotFound, "no session with this ID lives")
	case errors.Is(err, store.ErrInvalidID):
		httpError(w, http.StatusBadRequest, "this cannot be a session ID")
	default:
		s.log.Error("request failed", "error", err)
		httpError(w, http.StatusServiceUnavailable, "the store did not answer: try again")
	}
}

func unauthorized(w http.ResponseWriter, err error) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	httpError(w, http.StatusUnauthorized, err.Error())
}

func httpError(w http.ResponseWriter, code int, text string) { http.Error(w, text, code) }

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(encode(v)) // the client that has gone hears nothing
}
