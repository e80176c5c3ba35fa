package redisstore_test

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// rule returns the permissions that the package comment promises to suffice, for
// a namespace.
func rule(t *testing.T, namespace string) []string {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`\n\tuser app on >password (.*)\n`).FindSubmatch(doc)
	if m == nil {
		t.Fatal("doc.go has no line with the ACL rule")
	}
	return strings.Fields(strings.ReplaceAll(string(m[1]), "~chat:", "~"+namespace+":"))
}

// indexRule returns those that it promises to suffice for indexes.
func indexRule(t *testing.T) []string {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`Indexes need more:\n\n\t(.*)\n`).FindSubmatch(doc)
	if m == nil {
		t.Fatal("doc.go has no line with what indexes need")
	}
	return strings.Fields(string(m[1]))
}

// scanRule returns those that it promises to suffice for Scan.
func scanRule(t *testing.T) []string {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`which only tools do, needs\n\n\t(.*)\n`).FindSubmatch(doc)
	if m == nil {
		t.Fatal("doc.go has no line with what Scan needs")
	}
	return strings.Fields(string(m[1]))
}

// Without any of the permissions for indexes some call is refused, and no list without an expiry
// stays behind.
func TestFewerRightsDoNotSufficeForIndexes(t *testing.T) {
	server := testserver.Redis(t)
	ns := namespace(t)
	admin := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns})
	id, _ := create(t, admin)
	more := indexRule(t)
	for i, right := range more {
		t.Run("without "+right, func(t *testing.T) {
			args := append([]string{"ACL", "SETUSER", "app", "reset", "on", ">pw"}, rule(t, ns)...)
			if _, err := server.Do(append(args, slices.Delete(slices.Clone(more), i, i+1)...)...); err != nil {
				t.Fatal(err)
			}
			b := open(t, dial(t, server.URL, func(o *redis.Options) { o.Username, o.Password = "app", "pw" }), redisstore.Options{Namespace: ns})
			mine, err := b.Attach(t.Context(), id, store.Terms{})
			if err != nil {
				t.Fatal(err)
			}
			const list = "list"
			entry := []store.IndexEntry{{Index: list, Member: "secret " + id}}
			_, _, readErr := b.Entries(t.Context(), list, "")
			_, leftErr := b.TimeLeft(t.Context(), mine)
			written := []store.Entry{{Key: "written without " + right, Value: []byte("v")}}
			_, _, commitErr := store.CommitTimed(t.Context(), mine, []store.Entry{{Key: "absent"}}, written)
			if found, err := mine.Has(t.Context(), written[0].Key); found != (commitErr == nil) || err != nil {
				t.Errorf("after CommitTimed() = %v: Has() = %v, %v", commitErr, found, err)
			}
			refused := false
			for call, err := range map[string]error{
				"PutEntries":    errors.Join(b.PutEntries(t.Context(), entry, lease)...),
				"RemoveEntries": b.RemoveEntries(t.Context(), entry),
				"Entries":       readErr,
				"TimeLeft":      leftErr,
				"CommitTimed":   commitErr,
			} {
				if err != nil {
					wantRefused(t, call, err, "ACL user may not do this", id, "pw")
					refused = true
				}
				ttl, err := server.Do("PTTL", ns+":i:"+list)
				if err != nil {
					t.Fatal(err)
				}
				if ttl == int64(-1) {
					t.Errorf("after %s the list has no expiry", call)
				}
			}
			if !refused {
				t.Errorf("every call succeeded without %s; it does not belong to the least that is needed", right)
			}
			if err := errors.Join(admin.PutEntries(t.Context(), entry, lease)...); err != nil {
				t.Fatal(err)
			}
			if err := admin.RemoveEntries(t.Context(), entry); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestContractWithTLSAndLeastRights(t *testing.T) {
	for _, flavour := range []testserver.Flavour{testserver.FlavourRedis, testserver.FlavourRedis8, testserver.FlavourValkey, testserver.FlavourValkey9} {
		t.Run(string(flavour), func(t *testing.T) {
			t.Parallel()
			rights := slices.Concat(rule(t, "test-*"), indexRule(t), scanRule(t), noticeRights(t, "test-*"))
			server := testserver.RedisTLS(t, []string{"user app on >pw " + strings.Join(rights, " ")}, testserver.WithFlavour(flavour))
			contract(t, redisstore.Options{}, func(t testing.TB) redis.UniversalClient {
				return dial(t, server.URLFor("app", "pw"), func(o *redis.Options) { o.TLSConfig = server.TLS })
			})
		})
	}
}

// Each of the permissions is needed. Without it some operation is refused, with an error that says
// so, and no key without an expiry stays behind.
func TestFewerRightsDoNotSuffice(t *testing.T) {
	for _, flavour := range []testserver.Flavour{testserver.FlavourRedis, testserver.FlavourRedis8, testserver.FlavourValkey, testserver.FlavourValkey9} {
		t.Run(string(flavour), func(t *testing.T) {
			server := testserver.Redis(t, testserver.WithFlavour(flavour), testserver.WithArgs("--loglevel", "warning"))
			ns := namespace(t)
			admin := open(t, dial(t, server.URL), redisstore.Options{Namespace: ns})
			all := rule(t, ns)
			for i, right := range all {
				if !strings.HasPrefix(right, "+") && !strings.HasPrefix(right, "~") {
					continue
				}
				t.Run("without "+strings.ReplaceAll(right, ns, "ns"), func(t *testing.T) {
					fewer := slices.Delete(slices.Clone(all), i, i+1)
					args := append([]string{"ACL", "SETUSER", "app", "reset", "on", ">pw"}, fewer...)
					if _, err := server.Do(args...); err != nil {
						t.Fatal(err)
					}
					b := open(t, dial(t, server.URL, func(o *redis.Options) { o.Username, o.Password = "app", "pw" }), redisstore.Options{Namespace: ns})
					refused := false
					for _, op := range operations {
						id, _ := create(t, admin, store.Entry{Key: "k", Value: []byte("v")})
						s, err := b.Attach(t.Context(), id, store.Terms{})
						if op.name == "Create" {
							id = store.NewID()
						} else if err != nil {
							wantRefused(t, "Attach", err, "ACL user may not do this", id, "pw")
							refused = true
							continue
						}
						// A script that the server has not seen yet needs EVAL.
						if _, err := server.Do("SCRIPT", "FLUSH"); err != nil {
							t.Fatal(err)
						}
						if err := op.run(t.Context(), b, id, s); err != nil {
							wantRefused(t, op.name, err, "ACL user may not do this", id, "pw")
							wantReply(t, op.name, err)
							refused = true
						}
						ttl, err := server.Do("PTTL", ns+":"+id)
						if err != nil {
							t.Fatal(err)
						}
						if ttl == int64(-1) {
							t.Errorf("after %s the session has no expiry", op.name)
						}
					}
					if !refused {
						t.Errorf("every operation succeeded without %s; it does not belong to the least that is needed", right)
					}
				})
			}
		})
	}
}
