package address

import (
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

func TestRedisTakesUserPasswordAndDatabase(t *testing.T) {
	for _, url := range []string{"redis://app:secret@h:7/3?namespace=x&batching=off", "valkey://app:secret@h:7?db=3"} {
		o, err := Redis(url)
		if err != nil {
			t.Fatalf("Redis(%q): %v", url, err)
		}
		if o.Addr != "h:7" || o.Username != "app" || o.Password != "secret" || o.DB != 3 {
			t.Errorf("Redis(%q) = %s %s %s %d", url, o.Addr, o.Username, o.Password, o.DB)
		}
	}
	if _, err := Redis("redis+cluster://app:secret@h:7"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("Redis(cluster) = %v, want an error without the password", err)
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

func TestRedisClusterTakesHostsUserAndPassword(t *testing.T) {
	o, err := RedisCluster("redis+cluster://app:secret@h:7,g:8?namespace=x")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(o.Addrs, " ") != "h:7 g:8" || o.Username != "app" || o.Password != "secret" {
		t.Errorf("RedisCluster() = %v %s %s", o.Addrs, o.Username, o.Password)
	}
	if _, err := RedisCluster("redis://app:secret@h:7"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("RedisCluster() of a single server = %v, want an error without the password", err)
	}
}
