package memstore_test

import (
	"testing"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open:     func(testing.TB) store.Backend { return memstore.New(nil) },
		Synctest: true,
	})
}
