package suite // want package:"1 keys"

import (
	"github.com/sessionkv/store"
	"github.com/sessionkv/store/storetest"
)

// The suite of storetest has a key of this name and another type, in sessions of
// its own.
const Name = store.Key[int]("name")

var New = storetest.NewSession
