package drive

import (
	"os"
	"strings"
	"testing"

	"github.com/sessionkv/store/internal/testserver"
)

func TestMain(m *testing.M) { os.Exit(testserver.Main(m)) }

// The meter of a cluster sums up what its primaries say.
func TestServerMeter(t *testing.T) {
	cluster := testserver.RedisCluster(t)
	for _, c := range []struct {
		name, url string
		want      float64 // at least
	}{{"cluster", "redis+cluster://" + strings.Join(cluster.Addrs, ","), 3 << 19}, {"single", testserver.SharedRedis(t).URL, 1 << 19}, {"memory", "memory:", 0}} {
		m := NewServerMeter(c.url)
		if got := m.Info(t.Context(), "memory", "used_memory"); got < c.want || c.want == 0 && got != 0 {
			t.Errorf("%s: used_memory is %.0f, want at least %.0f", c.name, got, c.want)
		}
		m.Close()
	}
}
