package drive

import (
	"context"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/bench/internal/address"
)

// A ServerMeter asks a Redis server, or the primaries of a cluster, what they use. The zero ServerMeter reads zero.
type ServerMeter struct{ c redis.UniversalClient }

// NewServerMeter returns a meter for url, for others than Redis servers without TLS the zero one.
func NewServerMeter(url string) ServerMeter {
	o, err := address.Redis(url)
	if err != nil {
		return ServerMeter{}
	}
	return ServerMeter{redis.NewUniversalClient(o)}
}

// Info returns a field of INFO as a number, the sum of a cluster's primaries, zero when there is none.
func (m ServerMeter) Info(ctx context.Context, section, field string) (sum float64) {
	var mu sync.Mutex
	add := func(ctx context.Context, node *redis.Client) error {
		n, _ := strconv.ParseFloat(ServerMeter{node}.Text(ctx, section, field), 64)
		mu.Lock()
		defer mu.Unlock()
		sum += n
		return nil
	}
	switch c := m.c.(type) {
	case *redis.Client:
		_ = add(ctx, c)
	case *redis.ClusterClient:
		if c.ForEachMaster(ctx, add) != nil {
			return 0
		}
	}
	return sum
}

// CPU returns the seconds of CPU time that the server has taken.
func (m ServerMeter) CPU(ctx context.Context) float64 {
	return m.Info(ctx, "cpu", "used_cpu_sys") + m.Info(ctx, "cpu", "used_cpu_user")
}

// Bytes returns the memory that the server uses.
func (m ServerMeter) Bytes(ctx context.Context) float64 { return m.Info(ctx, "memory", "used_memory") }

// Text returns a field of INFO of one server, "" when there is none.
func (m ServerMeter) Text(ctx context.Context, section, field string) string {
	if m.c == nil {
		return ""
	}
	for _, fields := range m.c.InfoMap(ctx, section).Val() {
		if value, ok := fields[field]; ok {
			return value
		}
	}
	return ""
}

// Close closes the meter's connections.
func (m ServerMeter) Close() {
	if m.c != nil {
		m.c.Close()
	}
}
