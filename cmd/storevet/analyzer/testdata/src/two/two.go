package two // want package:"2 keys" `key "tenant" has type string at example.com/vetted/b, b.go:\d+ and type int at example.com/vetted/other, other.go:\d+`

import (
	"github.com/sessionkv/store"

	"example.com/vetted/b"
	"example.com/vetted/other"
)

const Seat = store.Key[uint]("seat") // want `key "seat" has type uint here and type int at example.com/vetted/b`

var Keys = []any{b.Tenant, other.Tenant, Seat}
