package other // want package:"[0-9]+ keys"

import "github.com/sessionkv/store"

const Tenant = store.Key[int]("tenant")
