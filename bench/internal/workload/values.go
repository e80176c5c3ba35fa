package workload

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Claims is what a server keeps of a JWT.
type Claims struct {
	Subject  string   `json:"sub" msgpack:"sub" cbor:"sub"`
	Issuer   string   `json:"iss" msgpack:"iss" cbor:"iss"`
	Tenant   string   `json:"tenant" msgpack:"tenant" cbor:"tenant"`
	IssuedAt int64    `json:"iat" msgpack:"iat" cbor:"iat"`
	Expires  int64    `json:"exp" msgpack:"exp" cbor:"exp"`
	Admin    bool     `json:"admin" msgpack:"admin" cbor:"admin"`
	Scopes   []string `json:"scopes" msgpack:"scopes" cbor:"scopes"`
}

// Room is one entry of the list of rooms that a client has joined.
type Room struct {
	ID     string `json:"id" msgpack:"id" cbor:"id"`
	Role   string `json:"role" msgpack:"role" cbor:"role"`
	Joined int64  `json:"joined" msgpack:"joined" cbor:"joined"`
	Unread int    `json:"unread" msgpack:"unread" cbor:"unread"`
}

// Handshake is what is known of a client once it has connected.
type Handshake struct {
	Address   string            `json:"address" msgpack:"address" cbor:"address"`
	URL       string            `json:"url" msgpack:"url" cbor:"url"`
	Protocol  int               `json:"protocol" msgpack:"protocol" cbor:"protocol"`
	Secure    bool              `json:"secure" msgpack:"secure" cbor:"secure"`
	Connected int64             `json:"connected" msgpack:"connected" cbor:"connected"`
	Headers   map[string]string `json:"headers" msgpack:"headers" cbor:"headers"`
	Query     map[string]string `json:"query" msgpack:"query" cbor:"query"`
}

// epoch keeps times in values the same in every run.
const epoch = 1_789_000_000

// NewClaims returns the n-th set of claims.
func NewClaims(n int) Claims {
	return Claims{
		Subject: fmt.Sprintf("u-%06d", n), Issuer: "https://login.example.com", Tenant: "acme",
		IssuedAt: epoch + int64(n), Expires: epoch + 3600 + int64(n), Admin: n%7 == 0,
		Scopes: []string{"chat:read", "chat:write", "presence"},
	}
}

// NewRooms returns the n-th list of ten rooms.
func NewRooms(n int) []Room {
	rooms := make([]Room, 10)
	for i := range rooms {
		rooms[i] = Room{ID: fmt.Sprintf("room-%05d", n+i), Role: []string{"member", "moderator"}[i%2], Joined: epoch + int64(n+i), Unread: i}
	}
	return rooms
}

// NewHandshake returns the n-th handshake.
func NewHandshake(n int) Handshake {
	return Handshake{
		Address: fmt.Sprintf("192.0.2.%d:%d", n%250+1, 40000+n%20000), URL: "/socket/?transport=websocket", Protocol: 4, Secure: true, Connected: epoch + int64(n),
		Headers: map[string]string{
			"user-agent":      "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
			"accept-language": "en-GB,en;q=0.7,de;q=0.3", "origin": "https://chat.example.com", "host": "chat.example.com",
		},
		Query: map[string]string{"transport": "websocket", "room": fmt.Sprintf("room-%05d", n)},
	}
}

// poolSize is the number of different values that are written.
const poolSize = 256

func pool[T any](value func(int) T) []T {
	values := make([]T, poolSize)
	for i := range values {
		values[i] = value(i)
	}
	return values
}

// ClaimsPool returns different claims to write.
func ClaimsPool() []Claims { return pool(NewClaims) }

// RoomsPool returns different room lists to write.
func RoomsPool() [][]Room { return pool(NewRooms) }

// HandshakePool returns different handshakes to write.
func HandshakePool() []Handshake { return pool(NewHandshake) }

// StringPool returns strings of the given sizes in turn.
func StringPool(sizes []int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	return pool(func(i int) string {
		var b strings.Builder
		for range sizes[i%len(sizes)] {
			b.WriteByte(byte('a' + r.IntN(26)))
		}
		return b.String()
	})
}
