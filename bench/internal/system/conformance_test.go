package system

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/bench/internal/workload"
	"github.com/sessionkv/store/internal/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// serverURL returns a real server of the kind.
func serverURL(t testing.TB, kind string) string {
	switch kind {
	case "redis":
		return testserver.SharedRedis(t).URL
	case "hazelcast":
		c := testserver.SharedHazelcast(t)
		return "hazelcast://" + c.Addrs[0] + "/" + c.ClusterName + "?namespace=ttl-bench"
	}
	return "memory:"
}

// specsFor returns the library on the kind of server, and the rivals there.
func specsFor(t testing.TB, kind string) []Spec {
	url := serverURL(t, kind)
	specs := []Spec{{"store", url, "msgpack"}, {"store", url, "json"}}
	for _, name := range Rivals() {
		if k, _ := Needs(name); k == kind {
			specs = append(specs, Spec{Name: name, URL: url})
		}
	}
	return specs
}

var kinds = []string{"memory", "redis", "hazelcast"}

func TestSystemsKeepValues(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			for _, spec := range specsFor(t, kind) {
				name := spec.Name + spec.Codec
				t.Run(name+"/string", func(t *testing.T) { conform(t, spec, workload.StringPool([]int{0, 100})) })
				t.Run(name+"/claims", func(t *testing.T) { conform(t, spec, workload.ClaimsPool()) })
			}
		})
	}
}

func conform[T any](t *testing.T, spec Spec, pool []T) {
	ctx := t.Context()
	sys, err := Open[T](ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sys.Close(ctx); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}()
	s, err := sys.Create(ctx, store.NewID(), []string{"one", "two"}, []T{pool[1], pool[2]})
	if err != nil {
		t.Fatalf("Create() = %v", err)
	}
	other, err := sys.Create(ctx, store.NewID(), []string{"one"}, []T{pool[5]})
	if err != nil {
		t.Fatalf("Create() = %v", err)
	}
	// A client-side cache hears of a change only after the writer does.
	settle := func(seen func() bool) {
		for deadline := time.Now().Add(10 * time.Second); spec.Name == "rueidis-cache" && !seen() && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
	}
	get := func(s Session[T], key string, want T) {
		t.Helper()
		settle(func() bool { got, err := s.Get(ctx, key); return err == nil && cmp.Equal(want, got) })
		got, err := s.Get(ctx, key)
		if err != nil {
			t.Fatalf("Get(%q) = %v", key, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("Get(%q): -want +got\n%s", key, d)
		}
	}
	has := func(key string, want bool) {
		t.Helper()
		settle(func() bool { got, err := s.Has(ctx, key); return err == nil && got == want })
		if got, err := s.Has(ctx, key); got != want || err != nil {
			t.Errorf("Has(%q) = %v, %v, want %v", key, got, err, want)
		}
	}
	get(s, "one", pool[1])
	get(s, "two", pool[2])
	if err := s.Set(ctx, "one", pool[3]); err != nil {
		t.Fatalf("Set() = %v", err)
	}
	get(s, "one", pool[3])
	get(other, "one", pool[5]) // sessions are apart
	has("two", true)
	if err := s.Delete(ctx, "two"); err != nil {
		t.Errorf("Delete() = %v", err)
	}
	has("two", false)
	settle(func() bool { _, err := s.Get(ctx, "two"); return errors.Is(err, ErrAbsent) })
	if _, err := s.Get(ctx, "two"); !errors.Is(err, ErrAbsent) {
		t.Errorf("Get of a deleted key = %v, want ErrAbsent", err)
	}
	if u, ok := s.(Updater[T]); ok {
		if err := u.Update(ctx, "one", func(T) T { return pool[4] }); err != nil {
			t.Errorf("Update() = %v", err)
		}
		get(s, "one", pool[4])
	}
	for _, s := range []Session[T]{s, other} {
		if err := s.Destroy(ctx); err != nil {
			t.Errorf("Destroy() = %v", err)
		}
	}
}

func TestUnknownRival(t *testing.T) {
	if _, err := Open[string](t.Context(), Spec{Name: "nothing"}); err == nil {
		t.Error("Open of an unknown rival succeeded")
	}
}
