package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// sign returns a token that names user and never expires. A program of your own would
// use a JSON Web Token, or the like.
func sign(secret []byte, user string) string {
	return encode([]byte(user)) + "." + encode(mac(secret, user))
}

// verify returns the user of a token that sign has made.
func verify(secret []byte, token string) (user string, ok bool) {
	name, sum, _ := strings.Cut(token, ".")
	u, err := base64.RawURLEncoding.DecodeString(name)
	if err != nil {
		return "", false
	}
	got, err := base64.RawURLEncoding.DecodeString(sum)
	return string(u), err == nil && hmac.Equal(got, mac(secret, string(u)))
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func mac(secret []byte, user string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(user))
	return h.Sum(nil)
}
