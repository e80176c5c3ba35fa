package redisstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// patience is how long a test waits for what comes soon.
const patience = 30 * time.Second

// A hinted is a session that is watched.
type hinted struct {
	t testing.TB
	b *redisstore.Backend
	s store.Store
	c chan struct{}
}

// watch watches s, which b handed out.
func watch(t testing.TB, b *redisstore.Backend, s store.Store) *hinted {
	t.Helper()
	h := &hinted{t, b, s, make(chan struct{}, 1)}
	stop, err := b.Watch(s, func() {
		select {
		case h.c <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatalf("Watch() = %v", err)
	}
	t.Cleanup(stop)
	return h
}

// watchNew creates a session on b and watches it.
func watchNew(t testing.TB, b *redisstore.Backend) (string, *hinted) {
	t.Helper()
	id, s := create(t, b)
	return id, watch(t, b, s)
}

// comes waits for a hint.
func (h *hinted) comes(after string) {
	h.t.Helper()
	select {
	case <-h.c:
	case <-time.After(patience):
		h.t.Fatalf("no hint after %s, want one soon", after)
	}
}

// ends waits for hints and asks at each, until the life has ended.
func (h *hinted) ends(after string) {
	h.t.Helper()
	for {
		h.comes(after)
		if errs := h.b.Renew(h.t.Context(), []store.Store{h.s}, 0); errors.Is(errors.Join(errs...), store.ErrDestroyed) {
			return
		}
	}
}

// destroy ends the session with id through b.
func destroy(t testing.TB, b *redisstore.Backend, id string) {
	t.Helper()
	s, err := b.Attach(t.Context(), id, store.Terms{})
	if err != nil {
		t.Fatalf("Attach() = %v", err)
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatalf("Destroy() = %v", err)
	}
}

// A lines is a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wants requires n lines, the first of them with each text.
func (l *lines) wants(t testing.TB, n int, texts ...string) {
	t.Helper()
	log := l.String()
	if got := strings.Count(log, "\n"); got != n {
		t.Errorf("the log has %d lines, want %d:\n%s", got, n, log)
	}
	for _, text := range texts {
		if !strings.Contains(log, text) {
			t.Errorf("the log is %q, want %q in it", log, text)
		}
	}
}

// logTo returns options with a log.
func logTo(ns string) (*lines, redisstore.Options) {
	l := new(lines)
	return l, redisstore.Options{Namespace: ns, Logger: slog.New(slog.NewTextHandler(l, nil))}
}

// subscribers returns how many connections of the server are subscribed to something.
func subscribers(t testing.TB, server *testserver.Server) int {
	t.Helper()
	list, err := server.Do("CLIENT", "LIST", "TYPE", "PUBSUB")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(list.(string), "\n")
}

// wantSubscribers waits until so many connections are subscribed.
func wantSubscribers(t testing.TB, server *testserver.Server, want int) {
	t.Helper()
	for over := time.Now().Add(patience); subscribers(t, server) != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(over) {
			t.Fatalf("%d connections are subscribed, want %d", subscribers(t, server), want)
		}
	}
}

// One connection comes with the first Watch, serves all of them, and goes with Close.
func TestSubscriptionIsLazyAndSingle(t *testing.T) {
	for _, cache := range []bool{false, true} {
		t.Run(fmt.Sprint("cache=", cache), func(t *testing.T) {
			server := testserver.Redis(t)
			var change []func(*redis.Options)
			if cache {
				change = append(change, func(o *redis.Options) { cached(o) })
			}
			b := open(t, dial(t, server.URL, change...), redisstore.Options{})
			create(t, b)
			wantSubscribers(t, server, 0)
			for range 10 {
				id, h := watchNew(t, b)
				destroy(t, b, id)
				h.ends("Destroy through another handle")
			}
			other := open(t, dial(t, server.URL), redisstore.Options{Namespace: b.Namespace()})
			id, h := watchNew(t, b)
			destroy(t, other, id)
			h.ends("Destroy elsewhere")
			wantSubscribers(t, server, 1)
			if err := b.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
			wantSubscribers(t, server, 0)
			if _, err := b.Watch(h.s, func() {}); !errors.Is(err, store.ErrClosed) {
				t.Errorf("Watch() after Close = %v, want ErrClosed", err)
			}
		})
	}
}

// noticeRights returns the rights that the package comment names for notices.
func noticeRights(t *testing.T, namespace string) []string {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`\n\t(&chat:.*)\n`).FindSubmatch(doc)
	if m == nil {
		t.Fatal("doc.go has no line with the rights for notices")
	}
	return strings.Fields(strings.ReplaceAll(string(m[1]), "&chat:", "&"+namespace+":"))
}

// Who may not publish, subscribe or ask for deadlines gets one line in the log, and all
// else goes on. Who may gets none.
func TestNoticesWithoutRights(t *testing.T) {
	for _, flavour := range serverFlavours {
		t.Run(string(flavour), func(t *testing.T) {
			server := testserver.Redis(t, testserver.WithFlavour(flavour), testserver.WithArgs("--loglevel", "warning"))
			ns := namespace(t)
			admin := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns})
			rights := noticeRights(t, ns)
			for i := -2; i < len(rights); i++ {
				for _, check := range []bool{false, true} {
					name, mine := "with all", rights
					switch {
					case i == -2:
						name, mine = "without any", nil
					case i >= 0:
						name, mine = "without "+strings.ReplaceAll(rights[i], ns, "ns"), append(append([]string{}, rights[:i]...), rights[i+1:]...)
					}
					t.Run(fmt.Sprint(name, ",check=", check), func(t *testing.T) {
						args := append([]string{"ACL", "SETUSER", "app", "reset", "on", ">pw"}, rule(t, ns)...)
						if _, err := server.Do(append(args, mine...)...); err != nil {
							t.Fatal(err)
						}
						log, o := logTo(ns)
						b := open(t, dial(t, server.URL, func(o *redis.Options) { o.Username, o.Password = "app", "pw" }), o)
						if check {
							if err := b.Check(t.Context()); err != nil {
								t.Errorf("Check() = %v, want nil", err)
							}
						}
						id, h := watchNew(t, b)
						// What this process ends itself comes to notice in any case.
						destroy(t, b, id)
						h.ends("Destroy through another handle")
						id, h = watchNew(t, b)
						errs := b.Renew(t.Context(), []store.Store{h.s}, 0)
						if err := errors.Join(errs...); err != nil {
							t.Errorf("Renew() = %v, want nil", err)
						}
						if i == -1 || i >= 0 && rights[i] != "+subscribe" && !strings.HasPrefix(rights[i], "&") {
							wantSubscribers(t, server, 1)
							destroy(t, admin, id)
							h.ends("Destroy elsewhere")
						}
						if strings.HasSuffix(name, "+ping") || i == -1 {
							log.wants(t, 0)
							return
						}
						for over := time.Now().Add(patience); log.String() == "" && time.Now().Before(over); time.Sleep(time.Millisecond) {
						}
						if err := b.Close(); err != nil { // whatever is still to be refused
							t.Errorf("Close() = %v", err)
						}
						log.wants(t, 1, "&"+ns+":* +subscribe +publish +ping +pttl", "ACL user may not")
					})
				}
			}
		})
	}
}

// A subscription that breaks is made again, and what ended in between comes out then.
// The log has one line.
func TestSubscriptionBreaks(t *testing.T) {
	server := testserver.Redis(t)
	w := new(wire)
	log, o := logTo(namespace(t))
	b := open(t, dial(t, server.URL, func(o *redis.Options) { o.Dialer = w.dial }), o)
	other := open(t, dial(t, server.URL), redisstore.Options{Namespace: o.Namespace})
	lost, h := watchNew(t, b)
	wantSubscribers(t, server, 1)
	for len(h.c) > 0 {
		<-h.c // of the subscription itself
	}
	w.set(refused, "")
	if _, err := server.Do("CLIENT", "KILL", "TYPE", "pubsub"); err != nil {
		t.Fatal(err)
	}
	wantSubscribers(t, server, 0)
	destroy(t, other, lost)
	for strings.Count(log.String(), "\n") == 0 {
		time.Sleep(time.Millisecond)
	}
	w.set(none, "")
	h.ends("a new subscription")
	for range 5 { // soon after one another
		wantSubscribers(t, server, 1)
		if _, err := server.Do("CLIENT", "KILL", "TYPE", "pubsub"); err != nil {
			t.Fatal(err)
		}
	}
	id, h := watchNew(t, b)
	wantSubscribers(t, server, 1)
	destroy(t, other, id)
	h.ends("Destroy elsewhere, when the subscription was killed and made again")
	log.wants(t, 1, "until the server can be subscribed to again")
}

// A server that comes back is subscribed to again.
func TestSubscriptionSurvivesARestart(t *testing.T) {
	server := testserver.Redis(t)
	log, o := logTo(namespace(t))
	b := open(t, dial(t, server.URL), o)
	watchNew(t, b)
	wantSubscribers(t, server, 1)
	server.Kill()
	server.Restart()
	wantSubscribers(t, server, 1)
	other := open(t, dial(t, server.URL), redisstore.Options{Namespace: o.Namespace})
	id, h := watchNew(t, b)
	destroy(t, other, id)
	h.ends("Destroy elsewhere, after a restart of the server")
	log.wants(t, 1)
}

// Close ends listening whatever it is at, and leaves no goroutine behind.
func TestCloseWhileSubscribing(t *testing.T) {
	server := testserver.Redis(t)
	for _, mode := range []fault{none, refused, mute, deaf} {
		for i := range 12 {
			w := &wire{}
			client := dial(t, server.URL, func(o *redis.Options) {
				o.Dialer, o.ReadTimeout, o.MaxRetries = w.dial, 300*time.Millisecond, -1
			})
			b, err := redisstore.New(client, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, s := create(t, b)
			w.set(mode, "")
			if _, err := b.Watch(s, func() {}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(i*i) * 100 * time.Microsecond) // every moment of subscribing
			if i%2 == 0 {
				go b.Close()
			}
			begin := time.Now()
			if err := b.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
			if took := time.Since(begin); took > patience {
				t.Errorf("Close() with fault %d took %v", mode, took)
			}
			if err := client.Close(); err != nil {
				t.Errorf("Close() of the client = %v", err)
			}
		}
	}
	wantSubscribers(t, server, 0)
	stacks := make([]byte, 4<<20)
	for over := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		text := string(stacks[:runtime.Stack(stacks, true)])
		left := ""
		for g := range strings.SplitSeq(text, "\n\n") {
			if strings.Contains(g, "(*notices)") || strings.Contains(g, "PubSub") || strings.Contains(g, "internal/notice") {
				left = g
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(over) {
			t.Fatalf("a goroutine is left behind:\n%s", left)
		}
	}
}

// What others publish on the channel hints at nobody, or at somebody for nothing, and
// the next hint comes as before.
func TestForeignMessages(t *testing.T) {
	server := testserver.Redis(t)
	log, o := logTo(namespace(t))
	b := open(t, dial(t, server.URL), o)
	other := open(t, dial(t, server.URL), redisstore.Options{Namespace: o.Namespace})
	strange := open(t, dial(t, server.URL), redisstore.Options{Namespace: o.Namespace + "x"})
	id, h := watchNew(t, b)
	wantSubscribers(t, server, 1)
	h.comes("the subscription")
	channel := o.Namespace + ":/ends"
	for _, message := range []string{"", "x", `{"type":"socket.io"}`, strings.Repeat("\x00", 8), strings.Repeat("12345678", 4000), strings.Repeat("\xff", 1<<20), "\r\n*3\r\n$7\r\nmessage\r\n"} {
		for range 100 {
			if got, err := server.Do("PUBLISH", channel, message); got != int64(1) || err != nil {
				t.Fatalf("PUBLISH of %d bytes = %v, %v, want one subscriber", len(message), got, err)
			}
		}
	}
	// The same ID in another namespace is another session.
	s, err := strange.Create(t.Context(), id, nil, store.Terms{Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := strange.Close(); err != nil { // which sends what is to be sent
		t.Fatal(err)
	}
	if len(h.c) > 0 {
		t.Error("a hint came for nothing, want none")
	}
	if _, err := h.s.Has(t.Context(), "k"); err != nil {
		t.Errorf("Has() = %v, want nil", err)
	}
	destroy(t, other, id)
	h.ends("Destroy elsewhere, after foreign messages")
	log.wants(t, 0)
}

// No ID goes over the channel.
func TestMessagesHideIDs(t *testing.T) {
	server := testserver.Redis(t)
	b := open(t, dial(t, server.URL), redisstore.Options{})
	sub := dial(t, server.URL).Subscribe(t.Context(), b.Namespace()+":/ends")
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	id, s := create(t, b)
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	m, err := sub.ReceiveMessage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Payload) != 8 || strings.Contains(m.Payload, id[:4]) {
		t.Errorf("the message is %q, want the 8 bytes of a hash", m.Payload)
	}
}

// Many handles share the subscription, and all of them learn of their ends.
func TestManyWatch(t *testing.T) {
	const many = 10_000
	server := testserver.Redis(t)
	ns := namespace(t)
	mine := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns})
	other := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns})
	sessions, err := store.New(mine, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sessions.Close(t.Context())
	handles := make([]*store.Session, many)
	inParallel(many, func(i int) {
		var err error
		if handles[i], err = sessions.Create(t.Context(), store.NewID()); err != nil {
			t.Error(err)
			return
		}
		handles[i].Done()
	})
	if t.Failed() {
		return
	}
	wantSubscribers(t, server, 1)
	inParallel(many, func(i int) { destroy(t, other, handles[i].ID()) })
	over := time.After(patience)
	for i, s := range handles {
		select {
		case <-s.Done():
		case <-over:
			t.Fatalf("handle %d of %d has not ended", i, many)
		}
	}
	wantSubscribers(t, server, 1)
}

// inParallel calls f for each of n, several at a time.
func inParallel(n int, f func(i int)) { inParallelBy(64, n, f) }

func inParallelBy(workers, n int, f func(i int)) {
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	wg.Wait()
}

// In a Cluster the channel is sharded, follows its slot, and survives the node that has it.
func TestNoticesInACluster(t *testing.T) {
	for _, flavour := range serverFlavours {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			c := testserver.RedisCluster(t, testserver.WithFlavour(flavour))
			log, o := logTo(namespace(t))
			b := open(t, dialCluster(t, c), o)
			other := open(t, dialCluster(t, c), redisstore.Options{Namespace: o.Namespace})
			channel := o.Namespace + ":/ends"
			slot := c.SlotOf(channel)
			end := func(after string) {
				t.Helper()
				id, h := watchNew(t, b)
				destroy(t, other, id)
				h.ends(after)
			}
			subscribed := func(node int) {
				t.Helper()
				eventually(t, "PUBSUB SHARDNUMSUB", func() error {
					got, err := c.Nodes[node].Do("PUBSUB", "SHARDNUMSUB", channel)
					if list, ok := got.([]any); err == nil && (!ok || len(list) != 2 || list[1] != int64(1)) {
						err = fmt.Errorf("%v, want one subscriber", got)
					}
					return err
				}, func(err error) bool { return err == nil })
			}
			end("Destroy elsewhere")
			home := c.Owner(slot)
			subscribed(home)
			log.wants(t, 0)

			to := (home + 1) % 3
			c.StartMigration(slot, to).Finish()
			subscribed(to)
			end("Destroy elsewhere, when the channel's slot has moved")
			log.wants(t, 0)

			c.Kill(to)
			publisher := dialCluster(t, c)
			eventually(t, "SPUBLISH after a failover", func() error {
				publisher.ReloadState(t.Context())
				return publisher.SPublish(t.Context(), channel, "").Err()
			}, func(err error) bool { return err == nil })
			subscribed(c.Owner(slot))
			id := ""
			var h *hinted
			eventually(t, "Create after a failover", func() (err error) {
				id = store.NewID()
				s, err := b.Create(t.Context(), id, nil, store.Terms{Lease: lease})
				if err == nil {
					h = watch(t, b, s)
				}
				return err
			}, func(err error) bool { return err == nil })
			destroy(t, other, id)
			h.ends("Destroy elsewhere, after a failover")
			log.wants(t, 1)
		})
	}
}

// A replica that became the primary is subscribed to.
func TestNoticesAfterASentinelFailover(t *testing.T) {
	s := testserver.RedisSentinel(t)
	client := func() redis.UniversalClient {
		c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.MasterName, SentinelAddrs: s.SentinelAddrs})
		t.Cleanup(func() { c.Close() })
		return c
	}
	log, o := logTo(namespace(t))
	b := open(t, client(), o)
	other := open(t, client(), redisstore.Options{Namespace: o.Namespace})
	id, h := watchNew(t, b)
	destroy(t, other, id)
	h.ends("Destroy elsewhere")
	s.KillPrimary()
	var now store.Store
	eventually(t, "Create after a failover", func() (err error) {
		id = store.NewID()
		now, err = b.Create(t.Context(), id, nil, store.Terms{Lease: lease})
		return err
	}, func(err error) bool { return err == nil })
	h = watch(t, b, now)
	eventually(t, "Destroy after a failover", func() error {
		s, err := other.Attach(t.Context(), id, store.Terms{})
		if err == nil {
			err = s.Destroy(t.Context())
		}
		return err
	}, func(err error) bool { return err == nil })
	h.ends("Destroy elsewhere, after a failover")
	log.wants(t, 1)
}

// Answers to SUBSCRIBE that are none end nothing but the attempt, also where the client
// panics at them. The log has one line.
func TestOddAnswersToSubscribe(t *testing.T) {
	server := testserver.SharedRedis(t)
	for _, odd := range []string{
		impossible, "*3\r\n:1\r\n:2\r\n:3\r\n", "*0\r\n", "*1\r\n$9\r\nsubscribe\r\n", "*-1\r\n", "+OK\r\n", "$-1\r\n", ":7\r\n",
		"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n:1\r\n", "*3\r\n$9\r\nsubscribe\r\n$5\r\nother\r\n:1\r\n", "-ERR no\r\n", "-MOVED 1 127.0.0.1:1\r\n", "junk\r\n",
	} {
		t.Run(fmt.Sprintf("%q", odd), func(t *testing.T) {
			t.Parallel()
			w := new(wire)
			w.answer("subscribe", odd)
			log, o := logTo(namespace(t))
			b := open(t, dial(t, server.URL, func(o *redis.Options) { o.Dialer, o.Protocol, o.ReadTimeout = w.dial, 2, time.Second }), o)
			other := open(t, dial(t, server.URL), redisstore.Options{Namespace: o.Namespace})
			id, h := watchNew(t, b)
			for over := time.Now().Add(patience); log.String() == ""; time.Sleep(time.Millisecond) {
				if time.Now().After(over) {
					t.Fatal("nothing was logged")
				}
			}
			if _, err := h.s.Has(t.Context(), "k"); err != nil {
				t.Errorf("Has() = %v, want nil", err)
			}
			w.set(none, "")
			h.comes("SUBSCRIBE is answered again")
			destroy(t, other, id)
			h.ends("Destroy elsewhere")
			log.wants(t, 1)
			for _, secret := range []string{id, "other", "junk"} {
				if strings.Contains(log.String(), secret) {
					t.Errorf("the log shows %q: %s", secret, log)
				}
			}
		})
	}
}
