package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// createMany begins n sessions and returns their IDs.
func createMany(t *testing.T, b *redisstore.Backend, n int) []string {
	t.Helper()
	ids := make([]string, n)
	errs := make(chan error, 16)
	for w := range cap(errs) {
		go func() {
			for i := w; i < n; i += cap(errs) {
				ids[i] = store.NewID()
				if _, err := b.Create(t.Context(), ids[i], nil, store.Terms{Lease: time.Hour}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// scanned goes on with a scan until its end. It tries again after errors that again accepts.
func scanFrom(t *testing.T, b *redisstore.Backend, cursor string, named map[string]bool, again func(error) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		ids, next, err := b.Scan(ctx, cursor)
		if err != nil {
			if again == nil || !again(err) || ctx.Err() != nil {
				t.Fatalf("Scan() = %v", err)
			}
			time.Sleep(50 * time.Millisecond)
			continue
		}
		for _, id := range ids {
			named[id] = true
		}
		if cursor = next; cursor == "" {
			return
		}
	}
}

func wantNamed(t *testing.T, named map[string]bool, ids []string) {
	t.Helper()
	missing := 0
	for _, id := range ids {
		if !named[id] {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("the scan named %d IDs without %d of the %d sessions that lived all the time", len(named), missing, len(ids))
	}
}

// Keys of others whose names begin as those of sessions are not named.
func TestScanTellsSessionsFromOthers(t *testing.T) {
	server := testserver.Redis(t)
	client := dial(t, server.URL)
	ns := namespace(t)
	b := open(t, client, redisstore.Options{Namespace: ns})
	ids := createMany(t, b, 20)
	entry := []store.IndexEntry{{Index: "list", Member: "m"}}
	if err := errors.Join(b.PutEntries(t.Context(), entry, time.Hour)...); err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		client.Set(t.Context(), fmt.Sprint("other:", i), "v", 0)
	}
	client.Set(t.Context(), ns+":cache", "v", 0)
	for _, name := range []string{ns + "x:abc", ns, ns + ":a:b", ns + ":%zz", ns + ":", ns + ":" + strings.Repeat("x", 513), "x" + ns + ":abc"} {
		client.HSet(t.Context(), name, "f", "v")
	}
	named := make(map[string]bool)
	scanFrom(t, b, "", named, nil)
	wantNamed(t, named, ids)
	if len(named) != len(ids) {
		t.Errorf("the scan named %d IDs, want %d", len(named), len(ids))
	}
	if ids, next, err := b.Scan(t.Context(), ""); next == "" || err != nil {
		t.Errorf("Scan() of 3000 keys = %d IDs, no cursor, %v, want a cursor of the next page", len(ids), err)
	}
}

// A cursor of a server is worth nothing to another one.
func TestScanAfterRestart(t *testing.T) {
	server := testserver.Redis(t)
	b := open(t, dial(t, server.URL), redisstore.Options{Namespace: namespace(t)})
	createMany(t, b, 2500)
	_, next, err := b.Scan(t.Context(), "")
	if next == "" || err != nil {
		t.Fatalf("Scan() = no cursor, %v, want one", err)
	}
	server.Stop()
	if _, _, err := b.Scan(t.Context(), next); err == nil {
		t.Error("Scan() without a server = nil, want an error")
	}
	server.Restart()
	eventually(t, "Scan after a restart", func() error { _, _, err := b.Scan(t.Context(), ""); return err }, func(err error) bool { return err == nil })
	if _, _, err := b.Scan(t.Context(), next); err == nil || !strings.Contains(err.Error(), "begin it anew") {
		t.Errorf("Scan(cursor of before the restart) = %v, want an error that says to begin anew", err)
	}
}

func TestScanNeedsItsRights(t *testing.T) {
	server := testserver.Redis(t)
	ns := namespace(t)
	more := scanRule(t)
	for i, right := range more {
		args := slices.Concat([]string{"ACL", "SETUSER", "app", "reset", "on", ">pw"}, rule(t, ns), slices.Delete(slices.Clone(more), i, i+1))
		if _, err := server.Do(args...); err != nil {
			t.Fatal(err)
		}
		b := open(t, dial(t, server.URL, func(o *redis.Options) { o.Username, o.Password = "app", "pw" }), redisstore.Options{Namespace: ns})
		if _, _, err := b.Scan(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "ACL user may not do this") {
			t.Errorf("Scan() without %s = %v, want an error that says what is missing", right, err)
		}
	}
}

// A scan of a Cluster goes on after the primary that it was in has died, and names all sessions.
func TestScanOfClusterSurvives(t *testing.T) {
	c := testserver.RedisCluster(t)
	client := dialCluster(t, c)
	b := open(t, client, redisstore.Options{Namespace: namespace(t), WaitReplicas: 1})
	ids := createMany(t, b, 6000)

	t.Run("nothing happens", func(t *testing.T) {
		named := make(map[string]bool)
		scanFrom(t, b, "", named, nil)
		wantNamed(t, named, ids)
	})
	t.Run("a slot is moved", func(t *testing.T) {
		slot := c.SlotOf(b.Namespace() + ":" + ids[0])
		from := c.Owner(slot)
		m := c.StartMigration(slot, (from+1)%3)
		named := make(map[string]bool)
		refused := false
		scanFrom(t, b, "", named, func(err error) bool {
			if refused = refused || strings.Contains(err.Error(), "being moved"); refused && m != nil {
				for _, id := range ids {
					if name := b.Namespace() + ":" + id; c.SlotOf(name) == slot {
						m.MoveKeys(name)
					}
				}
				m.Finish()
				m = nil
			}
			return true
		})
		wantNamed(t, named, ids)
		if !refused {
			t.Error("Scan() while a slot is being moved succeeded, want an error")
		}
	})
	t.Run("slots are moved between pages", func(t *testing.T) {
		named := make(map[string]bool)
		_, cursor, err := b.Scan(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		// From a primary that the scan has yet to come to, to each of the others.
		for i := range 3 {
			slot := c.SlotOf(b.Namespace() + ":" + ids[i])
			from := c.Owner(slot)
			m := c.StartMigration(slot, (from+1)%3)
			for _, id := range ids {
				if name := b.Namespace() + ":" + id; c.SlotOf(name) == slot {
					m.MoveKeys(name)
				}
			}
			m.Finish()
			page, next, err := b.Scan(t.Context(), cursor)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range page {
				named[id] = true
			}
			cursor = next
		}
		first, _, err := b.Scan(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range first {
			named[id] = true
		}
		scanFrom(t, b, cursor, named, nil)
		wantNamed(t, named, ids)
	})
	t.Run("a primary dies", func(t *testing.T) {
		_, cursor, err := b.Scan(t.Context(), "")
		if cursor == "" || err != nil {
			t.Fatalf("Scan() = no cursor, %v", err)
		}
		// The process that is being scanned is in the cursor.
		killed := false
		for i, addr := range c.Addrs {
			node := redis.NewClient(&redis.Options{Addr: addr})
			info, err := node.Info(t.Context(), "server").Result()
			node.Close()
			if err != nil {
				t.Fatal(err)
			}
			_, id, _ := strings.Cut(info, "run_id:")
			if id, _, _ = strings.Cut(id, "\r\n"); strings.Contains(cursor, id) {
				c.Kill(i)
				killed = true
			}
		}
		if !killed {
			t.Fatal("no node is the one that is being scanned")
		}
		named := make(map[string]bool)
		scanFrom(t, b, cursor, named, func(err error) bool { return !errors.Is(err, store.ErrClosed) })
		wantNamed(t, named, ids)
	})
}

func TestScanOfClusterRefusesCursors(t *testing.T) {
	c := testserver.RedisCluster(t)
	b := open(t, dialCluster(t, c), redisstore.Options{Namespace: namespace(t)})
	for _, cursor := range []string{
		"0", "abc/5", "slots/", "slots//", "slots/0-16383/", "slots/5-3/", "slots/0-16384/", "slots/1,/", "slots/0-1//",
		"slots/0-1/x/a/5", "slots/0-1/ab/", "slots/0-1/ab/a", "slots/0-1/ab/a/0", "slots/0-1/ab/a/x", "slots/0-1/ab/a/5/6",
	} {
		if ids, next, err := b.Scan(t.Context(), cursor); err == nil || next != "" || len(ids) > 0 {
			t.Errorf("Scan(%q) = %d IDs, %q, %v, want an error and nothing else", cursor, len(ids), next, err)
		}
	}
	if _, next, err := b.Scan(t.Context(), "slots/0-100,200-16382/"); next == "" && err != nil {
		t.Errorf("Scan(a cursor without a primary) = %q, %v, want a page", next, err)
	}
}

// silence is a hook that keeps pipelines back.
type silence struct{}

func (silence) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (silence) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (silence) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(context.Context, []redis.Cmder) error { return nil }
}

// No answer is not an empty page.
func TestScanWithoutAReply(t *testing.T) {
	server := testserver.SharedRedis(t)
	client := dial(t, server.URL)
	b := open(t, client, redisstore.Options{Namespace: namespace(t)})
	create(t, b)
	client.AddHook(silence{})
	if ids, next, err := b.Scan(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "without a reply") {
		t.Errorf("Scan() whose commands are kept back = %d IDs, %q, %v, want an error that says so", len(ids), next, err)
	}
}
