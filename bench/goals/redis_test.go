package goals

import (
	"context"
	"fmt"
	"net/url"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/bench/internal/address"
	"github.com/sessionkv/store/bench/internal/delay"
	"github.com/sessionkv/store/bench/internal/drive"
	"github.com/sessionkv/store/bench/internal/report"
	"github.com/sessionkv/store/bench/internal/system"
	"github.com/sessionkv/store/bench/internal/workload"
)

// figures are what targets reached, by target and round.
type figures struct{ rates, p99s [][]float64 }

// together measures n callers of each target, the targets one after the other, in turns of a fifth of a run: what disturbs the
// machine for a moment then decides nothing.
func together[T any](t *testing.T, targets []*drive.Target[T], w workload.Workload, n int) figures {
	f := figures{make([][]float64, len(targets)), make([][]float64, len(targets))}
	const forEach = 100 * time.Microsecond // so that most of a turn is not its begin and end
	turn := min(*duration, max(*duration/5, time.Duration(n)*forEach))
	for round := range *repeat * int((*duration+turn-1)/turn) {
		for k := range targets {
			i := (k + round) % len(targets)
			s := targets[i].Run(t.Context(), drive.Options{Workload: w, Workers: n, Duration: turn, Seed: uint64(round)})
			check(t, t.Context().Err())
			if len(s.Errors) > 0 {
				t.Fatalf("%s failed with errors of the kinds %v", targets[i].Spec, s.Errors)
			}
			f.rates[i] = append(f.rates[i], s.PerSecond())
			f.p99s[i] = append(f.p99s[i], float64(s.Latencies.All().ValueAtPercentile(99)))
		}
	}
	return f
}

// alone measures one caller, who calls each target in turn. What one caller gets depends so much on the state in which the
// processors happen to be that nothing longer than a call compares fairly. The rate is what the quickest 95 of 100 calls would make.
func alone[T any](t *testing.T, targets []*drive.Target[T], w workload.Workload) figures {
	f := figures{make([][]float64, len(targets)), make([][]float64, len(targets))}
	for round := range *repeat {
		calls := make([]func(int) error, len(targets))
		for i, target := range targets {
			calls[i] = again(target.Caller(w, uint64(round)))
		}
		for i, ns := range turns(t, *duration*time.Duration(len(targets)), 1, calls...) {
			slices.Sort(ns)
			quick, sum := max(1, len(ns)*95/100), 0.0
			for _, d := range ns[:quick] {
				sum += d
			}
			f.rates[i] = append(f.rates[i], float64(quick)/sum*1e9)
			f.p99s[i] = append(f.p99s[i], ns[len(ns)*99/100])
		}
	}
	return f
}

// limits are what throughput is held to, as multiples of the rival's, and of go-redis' latency; zero for no goal. More callers
// than one are held to a multiple of rueidis' HSET as well, see throughput.
type limits struct{ goredis, rueidis, p99 float64 }

// TestRedis compares calls with those of plain clients.
func TestRedis(t *testing.T) {
	everyRedis(t, func(t *testing.T, name, url string) {
		throughput(t, name, url, map[string]limits{
			"get 1": {goredis: 0.9}, "get 256": {goredis: 4, rueidis: 1.5, p99: 0.5}, "get 2048": {goredis: 4},
			"set 1": {goredis: 0.8}, "set 256": {goredis: 3, p99: 0.5}, "set 2048": {goredis: 4},
		})
	})
}

// TestDelayed does so where each round trip takes a millisecond more.
func TestDelayed(t *testing.T) {
	everyRedis(t, func(t *testing.T, name, url string) {
		single(t, url)
		proxies := delay.NewPool(time.Millisecond)
		t.Cleanup(proxies.Close)
		url, err := proxies.URL(url)
		check(t, err)
		throughput(t, name+" with 1ms of network delay", url, map[string]limits{
			"get 16": {goredis: 1}, "get 256": {goredis: 8},
			"set 16": {goredis: 1}, "set 256": {goredis: 8},
		})
	})
}

func throughput(t *testing.T, name, url string, goals map[string]limits) {
	systems := targets(t, 2048, workload.StringPool([]int{16}),
		system.Spec{Name: "store", URL: url, Codec: "msgpack"}, system.Spec{Name: "goredis", URL: url}, system.Spec{Name: "rueidis", URL: url})
	// Where the server takes native writes, a fenced Set is held to more.
	set := 1.0
	o, err := address.Redis(url)
	check(t, err)
	c := goredis.NewUniversalClient(o)
	defer c.Close()
	if commands, err := c.Command(t.Context()).Result(); err == nil && commands["hsetex"] != nil {
		set = 1.1
	}
	for _, n := range []int{1, 16, 256, 2048} {
		for _, op := range []struct{ name, typed, command string }{{"get", "typed Get", "HGET"}, {"set", "fenced typed Set", "HSET"}} {
			w, err := workload.ParseMix(op.name + "=100")
			check(t, err)
			w.Choice = workload.Uniform
			callers, limit := fmt.Sprintf("%d callers", n), goals[fmt.Sprint(op.name, " ", n)]
			if op.name == "set" && n > 1 {
				limit.rueidis = set
			}
			var f figures
			if n == 1 {
				callers, f = "1 caller", alone(t, systems, w)
			} else {
				f = together(t, systems, w, n)
			}
			rate := func(i int) float64 { return report.Median(f.rates[i]) / 1000 }
			for i, rival := range []struct {
				name  string
				bound float64
			}{{"go-redis", limit.goredis}, {"rueidis", limit.rueidis}} {
				var b bound
				if rival.bound > 0 {
					b = atLeast(rival.bound, "×")
				}
				b.check(t, fmt.Sprintf("%s, %s: %s beside %s %s", name, callers, op.typed, rival.name, op.command),
					ratio(f.rates[0], f.rates[i+1]), "%.1fk/s beside %.1fk/s", rate(0), rate(i+1))
			}
			var b bound
			if limit.p99 > 0 {
				b = atMost(limit.p99, "×")
			}
			b.check(t, fmt.Sprintf("%s, %s: %s beside go-redis %s, p99", name, callers, op.typed, op.command),
				ratio(f.p99s[0], f.p99s[1]), "%s beside %s (rueidis %s)", took(f.p99s[0]), took(f.p99s[1]), took(f.p99s[2]))
		}
	}
}

// TestCache compares YCSB B and C with claims through the client-side cache with those through that of rueidis.
func TestCache(t *testing.T) {
	everyRedis(t, func(t *testing.T, name, server string) {
		single(t, server)
		u, err := url.Parse(server)
		check(t, err)
		q := u.Query()
		q.Set("cache", "on")
		u.RawQuery = q.Encode()
		systems := targets(t, 1000, workload.ClaimsPool(), system.Spec{Name: "store", URL: u.String(), Codec: "msgpack"}, system.Spec{Name: "rueidis-cache", URL: server})
		for _, ycsb := range []string{"b", "c"} {
			w, err := workload.Named(ycsb)
			check(t, err)
			for _, n := range []int{16, 256} {
				f := together(t, systems, w, n)
				atLeast(2, "×").check(t, fmt.Sprintf("%s, %d callers: YCSB %s with claims through the cache beside rueidis' cache", name, n, ycsb),
					ratio(f.rates[0], f.rates[1]), "%.1fk/s beside %.1fk/s", report.Median(f.rates[0])/1000, report.Median(f.rates[1])/1000)
			}
		}
	})
}

// TestBurst has 10 000 callers without a deadline write at once to a server that stalls, and measures how long the last of them
// waits and what they take meanwhile.
func TestBurst(t *testing.T) {
	everyRedis(t, func(t *testing.T, name, url string) {
		single(t, url)
		client := func() *goredis.Client {
			o, err := address.RedisServer(url)
			check(t, err)
			o.DialTimeout, o.ReadTimeout, o.WriteTimeout = 5*time.Second, 5*time.Second, 5*time.Second
			c := goredis.NewClient(o)
			later(t, func(context.Context) error { return c.Close() })
			return c
		}
		admin, theirs := client(), client()
		backend, err := redisstore.New(client(), &redisstore.Options{Namespace: address.Namespace})
		check(t, err)
		later(t, func(context.Context) error { return backend.Close() })
		ss, err := store.New(backend, &store.Options{Lease: 10 * time.Minute})
		check(t, err)
		later(t, ss.Close)
		handles, plain := make([]*store.Session, 1000), make([]string, 1000)
		for i := range handles {
			handles[i], err = ss.Create(t.Context(), store.NewID())
			check(t, err)
			plain[i] = "raw:" + store.NewID()
			check(t, theirs.HSet(t.Context(), plain[i], "userId", "u-42").Err())
			check(t, theirs.Expire(t.Context(), plain[i], 10*time.Minute).Err())
		}
		later(t, func(ctx context.Context) error { return theirs.Del(ctx, plain...).Err() })

		calls := []func(i int) error{
			func(i int) error { return userID.Set(context.Background(), handles[i%len(handles)], names[0]) },
			func(i int) error {
				return theirs.HSet(context.Background(), plain[i%len(plain)], "userId", names[0]).Err()
			},
		}
		var longest, bytes, failed [2][]float64
		for round := range min(*repeat, 3) {
			for k := range calls {
				i := (k + round) % 2
				wait, held, fails := stall(t, admin, calls[i])
				longest[i], bytes[i], failed[i] = append(longest[i], wait), append(bytes[i], held), append(failed[i], fails)
			}
		}
		atMost(1.2, "×").check(t, name+", a burst of 10000 callers on a server that stalls for 5s: longest wait for a fenced typed Set beside go-redis HSET",
			ratio(longest[0], longest[1]), "%.2f s beside %.2f s; %.0f and %.0f callers failed",
			report.Median(longest[0]), report.Median(longest[1]), report.Median(failed[0]), report.Median(failed[1]))
		atMost(2048, "bytes").check(t, name+", the same burst: memory that a call takes, its growth of the stack included",
			report.Median(bytes[0]), "go-redis %.0f", report.Median(bytes[1]))
	})
}

// stall lets all callers call at once while the server answers nobody, by CLIENT PAUSE, and returns the seconds that the last one
// waited, the memory for each meanwhile, and how many failed.
func stall(t *testing.T, admin *goredis.Client, call func(i int) error) (longest, bytes, failed float64) {
	callers, pause := full(10_000, 1000), full(5*time.Second, 200*time.Millisecond)
	var (
		ready, over sync.WaitGroup
		start       = make(chan struct{})
		took        = make([]time.Duration, callers)
		errs        = make([]error, callers)
	)
	for i := range callers {
		ready.Add(1)
		over.Go(func() {
			ready.Done()
			<-start
			begun := time.Now()
			errs[i] = call(i)
			took[i] = time.Since(begun)
		})
	}
	ready.Wait()
	before := inUse()
	err := admin.Do(t.Context(), "client", "pause", pause.Milliseconds(), "all").Err()
	close(start)
	time.Sleep(pause / 5) // until those who grow their stacks have done so
	bytes = max(0, float64(inUse()-before)/float64(callers))
	over.Wait()
	check(t, err)
	for i, d := range took {
		longest = max(longest, d.Seconds())
		if errs[i] != nil {
			failed++
		}
	}
	// What the server still has of the burst is not the next one's.
	for deadline := time.Now().Add(time.Minute); ; {
		if err := admin.Ping(t.Context()).Err(); err == nil || time.Now().After(deadline) {
			check(t, err)
			return longest, bytes, failed
		}
	}
}

// inUse is the memory of objects and stacks.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
