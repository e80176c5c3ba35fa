package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// minSecret is the shortest secret in bytes: as long as the hash, as RFC 7518,
// section 3.2, demands of HS256.
const minSecret = 32

// tokenTTL is how long a token of the demo sign-in is good for.
const tokenTTL = 8 * time.Hour

// tokens mints and verifies HS256 tokens.
type tokens struct{ secret []byte }

// wireClaims is the payload of a token.
type wireClaims struct {
	Tenant string `json:"tenant,omitempty"`
	Admin  bool   `json:"admin,omitempty"`
	jwt.RegisteredClaims
}

// mint returns a token that says what c says.
func (t tokens) mint(c TokenClaims) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, wireClaims{
		Tenant: c.Tenant,
		Admin:  c.Admin,
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   c.Subject,
			IssuedAt:  jwt.NewNumericDate(time.Now()),
			ExpiresAt: jwt.NewNumericDate(c.Expires),
		},
	}).SignedString(t.secret)
}

// verify returns what token says. The error is one line for the client; it
// repeats nothing of the token.
func (t tokens) verify(token string) (TokenClaims, error) {
	if token == "" {
		return TokenClaims{}, errors.New("no token: sign in first")
	}
	var c wireClaims
	_, err := jwt.ParseWithClaims(token, &c,
		func(*jwt.Token) (any, error) { return t.secret, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(),
	)
	switch {
	case err == nil:
	case errors.Is(err, jwt.ErrTokenMalformed):
		return TokenClaims{}, errors.New("the token is malformed: it must be a JWT")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return TokenClaims{}, errors.New("the token is not signed by this server: it must be HS256 with the server's secret")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return TokenClaims{}, errors.New("the token has no exp claim: a token must expire")
	case errors.Is(err, jwt.ErrTokenExpired):
		return TokenClaims{}, fmt.Errorf("the token expired at %s: sign in again", c.ExpiresAt.UTC().Format(time.RFC3339))
	default:
		return TokenClaims{}, errors.New("the token is not valid: sign in again")
	}
	if err := checkName("the token's sub claim", c.Subject); err != nil {
		return TokenClaims{}, err
	}
	if c.Tenant != "" {
		if err := checkName("the token's tenant claim", c.Tenant); err != nil {
			return TokenClaims{}, err
		}
	}
	return TokenClaims{Subject: c.Subject, Tenant: c.Tenant, Admin: c.Admin, Expires: c.ExpiresAt.UTC()}, nil
}
