package address

import (
	"fmt"
	"strings"
	"testing"
)

func TestRedactHidesWhatIsSecret(t *testing.T) {
	for url, want := range map[string]string{
		"redis://app:hunter2@db.example:6379/0?namespace=x": "redis://db.example:6379/0",
		"redis+sentinel://h:1/m?sentinel_password=hunter2":  "redis+sentinel://h:1/m",
		"hazelcast://app:hunter2@h:5701,g:5702/dev":         "hazelcast://h:5701,g:5702/dev",
		"memory:":                   "memory:",
		"redis://app:hunter2 %zz@h": "(unreadable URL)",
	} {
		if got := Redact(url); got != want || strings.Contains(got, "hunter2") {
			t.Errorf("Redact(%q) = %q, want %q", url, got, want)
		}
	}
}

func TestRedisTakesHostsUserPasswordAndDatabase(t *testing.T) {
	for url, want := range map[string]string{
		"redis://app:secret@h:7/3?namespace=x&batching=off": "[h:7] app secret 3 false",
		"valkey://app:secret@h?db=3":                        "[h:6379] app secret 3 false",
		"redis+cluster://app:secret@h:7,g:8?namespace=x":    "[h:7 g:8] app secret 0 true",
	} {
		o, err := Redis(url)
		if err != nil {
			t.Errorf("Redis(%q): %v", url, err)
		} else if got := fmt.Sprintf("%v %s %s %d %t", o.Addrs, o.Username, o.Password, o.DB, o.IsClusterMode); got != want {
			t.Errorf("Redis(%q) = %s, want %s", url, got, want)
		}
	}
	for _, url := range []string{"redis://app:secret@h/x", "rediss://app:secret@h", "redis+cluster://app:secret@h:7"} {
		if _, err := RedisServer(url); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("RedisServer(%q) = %v, want an error without the password", url, err)
		}
	}
}

func TestOwnAddsANamespace(t *testing.T) {
	for url, want := range map[string]string{
		"memory:":                   "memory:",
		"redis://h:1":               "redis://h:1?namespace=" + Namespace,
		"redis://h:1?namespace=abc": "redis://h:1?namespace=abc",
	} {
		if got := Own(url); got != want {
			t.Errorf("Own(%q) = %q, want %q", url, got, want)
		}
	}
}
