package redisstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// However an error is printed, it shows nothing that a server has repeated.
func TestErrorsArePrintedWithoutCauses(t *testing.T) {
	var cause redis.Error = scriptError("ERR unknown command 'evalsha', with args beginning with: 'store:secret'")
	b := new(Backend)
	for _, err := range []error{
		b.explain(cause, "store:secret"),
		b.explain(&unknownError{cause: scriptError("ERR lost the secret")}, "secret"),
		&unknownError{cause: cause},
		&unconfirmedError{want: 1, err: cause},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			if text := fmt.Sprintf(verb, err); strings.Contains(text, "secret") {
				t.Errorf("Sprintf(%q) of a %T = %s, want what was sent kept secret", verb, err, text)
			}
		}
	}
}
