package drive

import (
	"bufio"
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/system"
)

// A ServerMeter asks a Redis server, or the primaries of a cluster, what they use.
type ServerMeter struct{ c redis.UniversalClient }

// NewServerMeter returns a meter for url; for others than Redis servers without TLS it reads zero.
func NewServerMeter(url string) ServerMeter {
	o, err := address.Redis(url)
	switch {
	case err == nil:
		return ServerMeter{redis.NewClient(o)}
	case !address.Cluster(url):
		return ServerMeter{}
	}
	cluster, err := address.RedisCluster(url)
	if err != nil {
		return ServerMeter{}
	}
	return ServerMeter{redis.NewClusterClient(cluster)}
}

func newServerMeter(spec system.Spec) ServerMeter { return NewServerMeter(spec.URL) }

// Info returns a field of INFO as a number, the sum of a cluster's primaries, zero when there is none.
func (m ServerMeter) Info(ctx context.Context, section, field string) float64 {
	switch c := m.c.(type) {
	case *redis.Client:
		return info(ctx, c, section, field)
	case *redis.ClusterClient:
		var mu sync.Mutex
		sum := 0.0
		err := c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			n := info(ctx, node, section, field)
			mu.Lock()
			sum += n
			mu.Unlock()
			return nil
		})
		if err == nil {
			return sum
		}
	}
	return 0
}

func info(ctx context.Context, c redis.UniversalClient, section, field string) float64 {
	n, _ := strconv.ParseFloat(text(ctx, c, section, field), 64)
	return n
}

// CPU returns the seconds of CPU time that the server has taken.
func (m ServerMeter) CPU(ctx context.Context) float64 {
	return m.Info(ctx, "cpu", "used_cpu_sys") + m.Info(ctx, "cpu", "used_cpu_user")
}

// Text returns a field of INFO of one server, "" when there is none.
func (m ServerMeter) Text(ctx context.Context, section, field string) string {
	if m.c == nil {
		return ""
	}
	return text(ctx, m.c, section, field)
}

// Has reports whether the server has a command.
func (m ServerMeter) Has(ctx context.Context, command string) bool {
	if m.c == nil {
		return false
	}
	infos, err := m.c.Command(ctx).Result()
	return err == nil && infos[command] != nil
}

func text(ctx context.Context, c redis.UniversalClient, section, field string) string {
	text, err := c.Info(ctx, section).Result()
	if err != nil {
		return ""
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		if name, value, _ := strings.Cut(lines.Text(), ":"); name == field {
			return value
		}
	}
	return ""
}

func (m ServerMeter) bytes(ctx context.Context) uint64 {
	return uint64(m.Info(ctx, "memory", "used_memory"))
}

// Close closes the meter's connections.
func (m ServerMeter) Close() { m.close() }

func (m ServerMeter) close() {
	if m.c != nil {
		m.c.Close()
	}
}
