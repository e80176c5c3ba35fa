package system

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/philippgille/gokv/syncmap"

	"github.com/sessionkv/store/bench/internal/address"
)

// rivals maps each rival to the kind of server that it needs.
var rivals = map[string]string{
	"syncmap": "memory", "rwmap": "memory", "otter": "memory", "otter-copied": "memory", "gokv-syncmap": "memory",
	"scs-memstore": "memory", "gocache": "memory",
	"goredis": "redis", "rueidis": "redis", "rueidis-cache": "redis", "gokv-redis": "redis", "scs-redis": "redis",
	"hazelcast": "hazelcast",
}

// Rivals returns the names of the rivals.
func Rivals() []string { return slices.Sorted(maps.Keys(rivals)) }

// Needs returns the kind of server that the rival needs, "memory" for none, and an error for an unknown name.
func Needs(rival string) (string, error) {
	kind, ok := rivals[rival]
	if !ok {
		return "", fmt.Errorf("unknown rival %q; known are %s", rival, strings.Join(Rivals(), ", "))
	}
	return kind, nil
}

// Open opens what spec names.
func Open[T any](ctx context.Context, spec Spec) (System[T], error) {
	s, err := open[T](ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec, err)
	}
	return s, nil
}

func open[T any](ctx context.Context, spec Spec) (System[T], error) {
	switch spec.Name {
	case "store":
		return openStore[T](ctx, spec.URL, spec.Codec)
	case "syncmap":
		return syncMaps[T]{}, nil
	case "rwmap":
		return rwMaps[T]{}, nil
	case "otter":
		return openOtter[T](false)
	case "otter-copied":
		return openOtter[T](true)
	case "gokv-syncmap":
		return openGokv[T](syncmap.NewStore(syncmap.DefaultOptions)), nil
	case "gocache":
		return openGocache[T](), nil
	case "scs-memstore":
		return openSCSMemory[T](), nil
	case "goredis":
		return openGoRedis[T](ctx, spec.URL)
	case "rueidis":
		return openRueidis[T](spec.URL, false)
	case "rueidis-cache":
		return openRueidis[T](spec.URL, true)
	case "gokv-redis":
		return openGokvRedis[T](spec.URL)
	case "scs-redis":
		return openSCSRedis[T](spec.URL)
	case "hazelcast":
		return openHazelcast[T](ctx, spec.URL)
	}
	_, err := Needs(spec.Name)
	return nil, err
}

// String returns a name for tables. It holds no password.
func (s Spec) String() string {
	name := s.Name
	if s.Name == "store" {
		name = "store " + address.Redact(s.URL)
	} else if address.Kind(s.URL) != "memory" {
		name += " " + address.Redact(s.URL)
	}
	if s.Codec != "" {
		name += " " + s.Codec
	}
	return name
}

// Server reports whether the system keeps its data in another process.
func (s Spec) Server() bool { return address.Kind(s.URL) != "memory" }
