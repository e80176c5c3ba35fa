package memstore_test

import (
	"os/exec"
	"strings"
	"testing"
)

// Users of typed keys in memory link no client of any server: these packages
// need the standard library and msgpack with what that needs.
func TestDependencies(t *testing.T) {
	const module = "github.com/sessionkv/store"
	for _, pkg := range []string{module, module + "/codec", module + "/backends/memstore", module + "/live", module + "/httpsession", module + "/inspect"} {
		// Not .Standard only: a package of this module may link something else
		// only by importing it, so the flat list is enough.
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps",
			"-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", pkg, err)
		}
		deps := strings.Fields(string(out))
		if len(deps) == 0 {
			t.Fatalf("go list -deps %s prints nothing, want at least the package itself", pkg)
		}
		for _, dep := range deps {
			if !mayLink(dep) {
				t.Errorf("%s links %s; it may link the standard library, msgpack and this module", pkg, dep)
			}
		}
	}
}

func mayLink(pkg string) bool {
	for _, root := range []string{
		"github.com/sessionkv/store",
		"github.com/vmihailenco/msgpack/v5",
		"github.com/vmihailenco/tagparser/v2",
	} {
		if pkg == root || strings.HasPrefix(pkg, root+"/") {
			return true
		}
	}
	return false
}
