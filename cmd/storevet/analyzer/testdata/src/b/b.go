package b // want package:"[0-9]+ keys"

import "github.com/sessionkv/store"

const (
	Tenant = store.Key[string]("tenant")
	Seat   = store.Key[int]("seat")
)
