package drive

import (
	"bufio"
	"context"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/system"
)

// A ServerMeter asks a Redis server what it uses.
type ServerMeter struct{ c *redis.Client }

// NewServerMeter returns a meter for url; without a single Redis server it reads
// zero.
func NewServerMeter(url string) ServerMeter {
	if !address.Single(url) {
		return ServerMeter{}
	}
	o, err := address.Redis(url)
	if err != nil {
		return ServerMeter{}
	}
	return ServerMeter{redis.NewClient(o)}
}

func newServerMeter(spec system.Spec) ServerMeter { return NewServerMeter(spec.URL) }

// Info returns a field of INFO as a number, zero when there is none.
func (m ServerMeter) Info(ctx context.Context, section, field string) float64 {
	if m.c == nil {
		return 0
	}
	text, err := m.c.Info(ctx, section).Result()
	if err != nil {
		return 0
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		if name, value, _ := strings.Cut(lines.Text(), ":"); name == field {
			n, _ := strconv.ParseFloat(value, 64)
			return n
		}
	}
	return 0
}

func (m ServerMeter) bytes(ctx context.Context) uint64 {
	return uint64(m.Info(ctx, "memory", "used_memory"))
}

// Close closes the meter's connection.
func (m ServerMeter) Close() { m.close() }

func (m ServerMeter) close() {
	if m.c != nil {
		m.c.Close()
	}
}
