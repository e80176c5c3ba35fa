package systemtest

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/codec"
	"github.com/sessionkv/store/internal/testserver"
)

// optionsOf returns the options of one version of the program, of those that [versions] lists; "" has
// the default ones.
func optionsOf(version string) (*store.Options, error) {
	ring, err := store.NewKeyRing(store.SealingKey{ID: 7, Secret: bytes.Repeat([]byte{7}, 32)})
	if err != nil {
		return nil, err
	}
	switch version {
	case "", "plain":
		return &store.Options{}, nil
	case "before sealing":
		return &store.Options{Sealer: ring.BeforeSealing()}, nil
	case "during sealing":
		return &store.Options{Sealer: ring.DuringSealing()}, nil
	case "sealed":
		return &store.Options{Sealer: ring}, nil
	case "json":
		return &store.Options{Codec: codec.JSON}, nil
	case "before the change":
		return &store.Options{Codec: codec.BeforeChange(codec.JSON, codec.Msgpack)}, nil
	case "during the change":
		return &store.Options{Codec: codec.DuringChange(codec.JSON, codec.Msgpack)}, nil
	case "end of the change":
		return &store.Options{Codec: codec.EndChange(codec.Msgpack)}, nil
	case "after the change":
		return &store.Options{Codec: codec.AfterChange(codec.Msgpack)}, nil
	case "msgpack":
		return &store.Options{Codec: codec.Msgpack}, nil
	}
	return nil, fmt.Errorf("unknown version %q", version)
}

// versions are the deploys of a rolling change, in order.
var versions = map[string][]string{
	"sealing": {"plain", "before sealing", "during sealing", "sealed"},
	"codec":   {"json", "before the change", "during the change", "end of the change", "after the change", "msgpack"},
}

// TestRollingChanges deploys each step of a change of codec and of sealing while sessions live. Two processes
// of neighbouring versions share a session, and each reads what the other writes, before the older one ends.
func TestRollingChanges(t *testing.T) {
	server := testserver.Redis(t, testserver.WithArgs("--save", ""))
	for change, steps := range versions {
		t.Run(change, func(t *testing.T) {
			url, id := redisURL(server), store.NewID()
			older := startVersion(t, url, steps[0], long, time.Minute)
			older.must(task{Do: "Create", Handle: "s", ID: id, Key: "created", Value: "by " + steps[0]})
			wrote := map[string]string{"created": "by " + steps[0]}
			for i, version := range steps[1:] {
				newer := startVersion(t, url, version, long, time.Minute)
				newer.must(task{Do: "Attach", Handle: "s", ID: id})
				reads := func(w *worker, who, key string) {
					t.Helper()
					if r := w.must(task{Do: "Get", Handle: "s", Key: key}); r.Value != wrote[key] {
						t.Errorf("Get(%q) by %q = %q, want %q", key, who, r.Value, wrote[key])
					}
				}
				for key := range wrote { // values from before, which the third step has written anew
					reads(newer, version, key)
				}
				for key, by := range map[string]*worker{"older": older, "newer": newer} {
					for _, do := range []string{"Set", "Update"} {
						wrote[key] = fmt.Sprint(do, " by the ", key, " of ", i)
						by.must(task{Do: do, Handle: "s", Key: key, Value: wrote[key]})
						reads(older, steps[i], key)
						reads(newer, version, key)
					}
				}
				// The order asks for this from the step on that writes the new form.
				for key := range wrote {
					wrote[key] = fmt.Sprint("anew by ", version)
					newer.must(task{Do: "Set", Handle: "s", Key: key, Value: wrote[key]})
					reads(older, steps[i], key)
				}
				if i == 0 {
					older.must(task{Do: "Suspend", Handle: "s"})
				} else {
					older.must(task{Do: "Suspend", Handle: "owner"})
				}
				older.exit()
				newer.must(task{Do: "Resume", Handle: "owner", ID: id})
				newer.must(task{Do: "Attach", Handle: "s", ID: id})
				for key := range wrote {
					reads(newer, version, key)
				}
				older = newer
			}
		})
	}
	t.Run("a step left out", func(t *testing.T) {
		for _, pair := range [][2]string{{"sealed", "plain"}, {"plain", "sealed"}, {"during the change", "json"}} {
			url, id := redisURL(server), store.NewID()
			writer := startVersion(t, url, pair[0], long, time.Minute)
			reader := startVersion(t, url, pair[1], long, time.Minute)
			writer.must(task{Do: "Create", Handle: "s", ID: id, Key: "k", Value: "a value that is long enough to look sealed, or not"})
			reader.must(task{Do: "Attach", Handle: "s", ID: id})
			if r := reader.do(task{Do: "Get", Handle: "s", Key: "k"}); r.Kind == "" {
				t.Errorf("Get by %q of what %q wrote = %q, want an error", pair[1], pair[0], r.Value)
			}
		}
	})
}
