package redisstore_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/notice/noticetest"
	"github.com/sessionkv/store/internal/testserver"
)

// logTo returns options with a log.
func logTo(ns string) (*noticetest.Log, redisstore.Options) {
	l := new(noticetest.Log)
	return l, redisstore.Options{Namespace: ns, Logger: l.Logger()}
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
	for over := time.Now().Add(noticetest.Patience); subscribers(t, server) != want; time.Sleep(5 * time.Millisecond) {
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
			var o redisstore.Options
			if cache {
				o = cached
			}
			b := open(t, dial(t, server.URL), o)
			create(t, b)
			wantSubscribers(t, server, 0)
			for range 10 {
				h := noticetest.WatchNew(t, b)
				noticetest.Destroy(t, b, h.ID)
				h.Ends("Destroy through another handle")
			}
			other := open(t, dial(t, server.URL), redisstore.Options{Namespace: b.Namespace()})
			h := noticetest.WatchNew(t, b)
			noticetest.Destroy(t, other, h.ID)
			h.Ends("Destroy elsewhere")
			wantSubscribers(t, server, 1)
			if err := b.Close(); err != nil {
				t.Errorf("Close() = %v", err)
			}
			wantSubscribers(t, server, 0)
			if _, err := b.Watch(h.Store, func() {}); !errors.Is(err, store.ErrClosed) {
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
						h := noticetest.WatchNew(t, b)
						// What this process ends itself comes to notice in any case.
						noticetest.Destroy(t, b, h.ID)
						h.Ends("Destroy through another handle")
						h = noticetest.WatchNew(t, b)
						errs := b.Renew(t.Context(), []store.Store{h.Store}, 0)
						if err := errors.Join(errs...); err != nil {
							t.Errorf("Renew() = %v, want nil", err)
						}
						if i == -1 || i >= 0 && rights[i] != "+subscribe" && !strings.HasPrefix(rights[i], "&") {
							wantSubscribers(t, server, 1)
							noticetest.Destroy(t, admin, h.ID)
							h.Ends("Destroy elsewhere")
						}
						if strings.HasSuffix(name, "+ping") || i == -1 {
							log.Wants(t, 0)
							return
						}
						for over := time.Now().Add(noticetest.Patience); log.String() == "" && time.Now().Before(over); time.Sleep(time.Millisecond) {
						}
						if err := b.Close(); err != nil { // whatever is still to be refused
							t.Errorf("Close() = %v", err)
						}
						log.Wants(t, 1, "&"+ns+":* +subscribe +publish +ping +pttl", "ACL user may not")
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
	h := noticetest.WatchNew(t, b)
	wantSubscribers(t, server, 1)
	for len(h.Hints) > 0 {
		<-h.Hints // of the subscription itself
	}
	w.set(refused, "")
	if _, err := server.Do("CLIENT", "KILL", "TYPE", "pubsub"); err != nil {
		t.Fatal(err)
	}
	wantSubscribers(t, server, 0)
	noticetest.Destroy(t, other, h.ID)
	for strings.Count(log.String(), "\n") == 0 {
		time.Sleep(time.Millisecond)
	}
	w.set(none, "")
	h.Ends("a new subscription")
	for range 5 { // soon after one another
		wantSubscribers(t, server, 1)
		if _, err := server.Do("CLIENT", "KILL", "TYPE", "pubsub"); err != nil {
			t.Fatal(err)
		}
	}
	h = noticetest.WatchNew(t, b)
	wantSubscribers(t, server, 1)
	noticetest.Destroy(t, other, h.ID)
	h.Ends("Destroy elsewhere, when the subscription was killed and made again")
	log.Wants(t, 1, "until the server can be subscribed to again")
}

// A server that comes back is subscribed to again.
func TestSubscriptionSurvivesARestart(t *testing.T) {
	server := testserver.Redis(t)
	log, o := logTo(namespace(t))
	b := open(t, dial(t, server.URL), o)
	noticetest.WatchNew(t, b)
	wantSubscribers(t, server, 1)
	server.Kill()
	server.Restart()
	wantSubscribers(t, server, 1)
	other := open(t, dial(t, server.URL), redisstore.Options{Namespace: o.Namespace})
	h := noticetest.WatchNew(t, b)
	noticetest.Destroy(t, other, h.ID)
	h.Ends("Destroy elsewhere, after a restart of the server")
	log.Wants(t, 1)
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
			if took := time.Since(begin); took > noticetest.Patience {
				t.Errorf("Close() with fault %d took %v", mode, took)
			}
			if err := client.Close(); err != nil {
				t.Errorf("Close() of the client = %v", err)
			}
		}
	}
	wantSubscribers(t, server, 0)
	noticetest.NoneLeft(t, "(*notices)", "PubSub", "internal/notice.")
}

// What others publish on the channel hints at nobody, or at somebody for nothing, and
// the next hint comes as before.
func TestForeignMessages(t *testing.T) {
	server := testserver.Redis(t)
	log, o := logTo(namespace(t))
	b := open(t, dial(t, server.URL), o)
	other := open(t, dial(t, server.URL), redisstore.Options{Namespace: o.Namespace})
	strange := open(t, dial(t, server.URL), redisstore.Options{Namespace: o.Namespace + "x"})
	h := noticetest.WatchNew(t, b)
	wantSubscribers(t, server, 1)
	h.Comes("the subscription")
	channel := o.Namespace + ":/ends"
	for _, message := range []string{"", "x", `{"type":"socket.io"}`, strings.Repeat("\x00", 8), strings.Repeat("12345678", 4000), strings.Repeat("\xff", 1<<20), "\r\n*3\r\n$7\r\nmessage\r\n"} {
		for range 100 {
			if got, err := server.Do("PUBLISH", channel, message); got != int64(1) || err != nil {
				t.Fatalf("PUBLISH of %d bytes = %v, %v, want one subscriber", len(message), got, err)
			}
		}
	}
	// The same ID in another namespace is another session.
	s, err := strange.Create(t.Context(), h.ID, nil, store.Terms{Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := strange.Close(); err != nil { // which sends what is to be sent
		t.Fatal(err)
	}
	if len(h.Hints) > 0 {
		t.Error("a hint came for nothing, want none")
	}
	if _, err := h.Has(t.Context(), "k"); err != nil {
		t.Errorf("Has() = %v, want nil", err)
	}
	noticetest.Destroy(t, other, h.ID)
	h.Ends("Destroy elsewhere, after foreign messages")
	log.Wants(t, 0)
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

// Many handles share the subscription, and all of them hear of their ends.
func TestManyWatch(t *testing.T) {
	server := testserver.Redis(t)
	ns := namespace(t)
	mine := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns})
	other := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns})
	noticetest.ManyEnd(t, mine, other, func() { wantSubscribers(t, server, 1) })
	wantSubscribers(t, server, 1)
}

// watchLater creates a session on b, when that succeeds after a failover, and watches it.
func watchLater(t *testing.T, b *redisstore.Backend) *noticetest.Watched {
	t.Helper()
	id, s := "", store.Store(nil)
	eventually(t, "Create after a failover", func() (err error) {
		id = store.NewID()
		s, err = b.Create(t.Context(), id, nil, store.Terms{Lease: lease})
		return err
	}, func(err error) bool { return err == nil })
	return noticetest.Watch(t, b, id, s)
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
				h := noticetest.WatchNew(t, b)
				noticetest.Destroy(t, other, h.ID)
				h.Ends(after)
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
			log.Wants(t, 0)

			to := (home + 1) % 3
			c.StartMigration(slot, to).Finish()
			subscribed(to)
			end("Destroy elsewhere, when the channel's slot has moved")
			log.Wants(t, 0)

			c.Kill(to)
			publisher := dialCluster(t, c)
			eventually(t, "SPUBLISH after a failover", func() error {
				publisher.ReloadState(t.Context())
				return publisher.SPublish(t.Context(), channel, "").Err()
			}, func(err error) bool { return err == nil })
			subscribed(c.Owner(slot))
			h := watchLater(t, b)
			noticetest.Destroy(t, other, h.ID)
			h.Ends("Destroy elsewhere, after a failover")
			log.Wants(t, 1)
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
	h := noticetest.WatchNew(t, b)
	noticetest.Destroy(t, other, h.ID)
	h.Ends("Destroy elsewhere")
	s.KillPrimary()
	h = watchLater(t, b)
	eventually(t, "Destroy after a failover", func() error {
		s, err := other.Attach(t.Context(), h.ID, store.Terms{})
		if err == nil {
			err = s.Destroy(t.Context())
		}
		return err
	}, func(err error) bool { return err == nil })
	h.Ends("Destroy elsewhere, after a failover")
	log.Wants(t, 1)
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
			h := noticetest.WatchNew(t, b)
			for over := time.Now().Add(noticetest.Patience); log.String() == ""; time.Sleep(time.Millisecond) {
				if time.Now().After(over) {
					t.Fatal("nothing was logged")
				}
			}
			if _, err := h.Has(t.Context(), "k"); err != nil {
				t.Errorf("Has() = %v, want nil", err)
			}
			w.set(none, "")
			h.Comes("SUBSCRIBE is answered again")
			noticetest.Destroy(t, other, h.ID)
			h.Ends("Destroy elsewhere")
			log.Wants(t, 1)
			for _, secret := range []string{h.ID, "other", "junk"} {
				if strings.Contains(log.String(), secret) {
					t.Errorf("the log shows %q: %s", secret, log)
				}
			}
		})
	}
}
