// Package keyspace derives the physical names under which backends keep
// sessions on a server.
//
// The names are a wire format: other nodes, older versions and people with
// redis-cli read them. The golden table in the test pins them.
package keyspace

import (
	"errors"
	"strings"
)

// MaxNamespace is the longest namespace in bytes.
const MaxNamespace = 64

// DefaultNamespace is used where none is given.
const DefaultNamespace = "store"

var errNamespace = errors.New("invalid namespace: use 1 to 64 of the characters A-Z a-z 0-9 _ . -")

// A Namespace keeps the sessions of one application apart from all else on the
// same server. It consists of 1 to 64 of the characters A-Z a-z 0-9 _ . -
// and therefore contains no separator.
type Namespace string

// Parse checks name. The empty name is [DefaultNamespace].
func Parse(name string) (Namespace, error) {
	if name == "" {
		return DefaultNamespace, nil
	}
	if len(name) > MaxNamespace {
		return "", errNamespace
	}
	for i := range len(name) {
		if !plain(name[i]) {
			return "", errNamespace
		}
	}
	return Namespace(name), nil
}

// Session returns the name of a session's entry: the namespace, a colon, and
// the escaped ID. Neither part contains a colon, so the pair can be read back
// and no two pairs share a name:
//
//	Namespace("chat").Session("u:1") is "chat:u%3A1"
func (n Namespace) Session(id string) string {
	return string(n) + ":" + Escape(id)
}

// MaxMember is the longest member of a list of an index in bytes.
const MaxMember = 1024

// List returns the name of a list of an index. It is the namespace, two colons around the letter i,
// and the list's name as it is given, which [IsList] must accept. No session has a name with two
// colons:
//
//	Namespace("chat").List("gh0F") is "chat:i:gh0F"
func (n Namespace) List(list string) string {
	return string(n) + ":i:" + list
}

// IsList reports whether list can be the name of a list: 1 to 64 of the characters A-Z a-z 0-9 _ . -
func IsList(list string) bool {
	if len(list) == 0 || len(list) > 64 {
		return false
	}
	for i := range len(list) {
		if !plain(list[i]) {
			return false
		}
	}
	return true
}

// Ends returns the name of the channel on which processes tell each other which
// sessions may have ended. It is the name of no session:
//
//	Namespace("chat").Ends() is "chat:/ends"
func (n Namespace) Ends() string { return string(n) + ":/ends" }

// Escape writes every byte of id as %XX with upper-case hexadecimal digits, except A-Z a-z 0-9 _ .
// and -, as a URL path segment does. It is injective, and its result is printable ASCII without
// colon, brace, space or NUL, safe as (part of) a key in any store. An ID that needs no escape is
// returned as it is, without a copy.
func Escape(id string) string {
	escapes := 0
	for i := range len(id) {
		if !plain(id[i]) {
			escapes++
		}
	}
	if escapes == 0 {
		return id
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(id) + 2*escapes)
	for i := range len(id) {
		if c := id[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// plain reports whether c represents itself in a physical name.
func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '-'
}
