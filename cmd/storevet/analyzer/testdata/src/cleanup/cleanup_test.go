package cleanup

import (
	"testing"

	"github.com/sessionkv/store/storetest"
)

func TestDestroy(t *testing.T) {
	s := storetest.NewSession(t)
	defer s.Destroy(t.Context())
}
