package backends_test

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/backends/redisstore"
	"github.com/sessionkv/store/internal/testserver"
)

// plain are the exported types that hold no session, value or key of ours. What is in them a caller
// has put there to be read, or they are interfaces and functions.
var plain = map[string]bool{
	"store.Entry": true, "store.Key": true, "store.CodecKey": true, "store.TxValue": true, "store.Limits": true,
	"store.Stats": true, "store.Undecodable": true, "store.Terms": true, "store.Error": true, "store.RenewError": true,
	"memstore.Options": true, "redisstore.Options": true, "redisstore.CacheOptions": true, "backends.Options": true,
	"backends.MigrateOptions": true, "backends.MigrationStats": true, "hazelcaststore.Options": true,
}

// Nothing that is printed, in whatever way, shows an ID, a value or a key. A new
// exported type must be printed here, or be plain.
func TestPrintingShowsNoSecret(t *testing.T) {
	const id, value = "geheime-kennung-1", "geheimer-wert-2"
	key := []byte("0123456789abcdefghijklmnopqrstuv")
	ctx := t.Context()
	server := testserver.SharedRedis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	defer client.Close()
	onRedis, err := redisstore.New(client, &redisstore.Options{Namespace: "redact-" + store.NewID(), Cache: &redisstore.CacheOptions{}})
	if err != nil {
		t.Fatal(err)
	}
	defer onRedis.Close()
	opened, err := backends.Open(ctx, server.URL+"?namespace=redact-"+store.NewID())
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	secret := store.SealingKey{ID: 7, Secret: key}
	ring, err := store.NewKeyRing(secret)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*redisstore.Backend // of a migration
	for i := range ends {
		if ends[i], err = redisstore.New(client, &redisstore.Options{Namespace: "redact-" + store.NewID()}); err != nil {
			t.Fatal(err)
		}
	}
	moving, err := backends.Migrate(ends[0], ends[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	defer moving.Close()
	values := []any{secret, &secret, ring, &store.Options{Sealer: ring}, store.Options{Sealer: ring}, opened}
	for _, backend := range []store.Backend{memstore.New(nil), onRedis, opened, moving, store.WrapStores(memstore.New(nil), func(s store.Store) store.Store { return s })} {
		sessions, err := store.New(backend, nil)
		if err != nil {
			t.Fatal(err)
		}
		sess, err := sessions.Create(ctx, id, userID.To(value))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sessions.Close(context.WithoutCancel(ctx)) })
		if _, err := userID.Get(ctx, sess); err != nil { // into the caches
			t.Fatal(err)
		}
		values = append(values, backend, sessions, sess, sess.Store(),
			store.UndecodableValue{Session: sess, Key: "userId", Err: store.ErrDecode},
			userID.Index(), store.IndexEntry{Index: "list", Member: id}, &store.IndexEntry{Index: "list", Member: id})
		if err := sess.Update(ctx, func(tx *store.Tx) error { values = append(values, tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	secrets := []string{id, value, string(key)}
	for _, s := range []string{id, value, string(key)} {
		secrets = append(secrets, strings.Trim(fmt.Sprint([]byte(s)), "[]"), fmt.Sprintf("%x", s), strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", []byte(s)), "[]byte{"), "}"))
	}
	shown := make(map[string]bool)
	for _, v := range values {
		shown[strings.TrimPrefix(reflect.TypeOf(v).String(), "*")] = true
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("text", "value", v)
		for _, nested := range []any{v, []any{v}, struct{ Value any }{v}} {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
				text := fmt.Sprintf(verb, nested) + log.String()
				for _, s := range secrets {
					if strings.Contains(text, s) {
						t.Errorf("%s of %T shows %q", verb, v, s)
					}
				}
			}
		}
	}
	for _, name := range exportedStructs(t) {
		if !shown[name] && !plain[name] && name != "hazelcaststore.Backend" { // printed in its own package
			t.Errorf("%s is not printed by this test", name)
		}
	}
}

// exportedStructs lists the exported types of the packages, without interfaces and functions.
func exportedStructs(t *testing.T) (names []string) {
	t.Helper()
	for dir, pkg := range map[string]string{"..": "store", ".": "backends", "memstore": "memstore", "redisstore": "redisstore", "hazelcaststore": "hazelcaststore"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tree, err := parser.ParseFile(token.NewFileSet(), file, source, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range tree.Decls {
				types, ok := decl.(*ast.GenDecl)
				if !ok || types.Tok != token.TYPE {
					continue
				}
				for _, spec := range types.Specs {
					spec := spec.(*ast.TypeSpec)
					switch spec.Type.(type) {
					case *ast.InterfaceType, *ast.FuncType:
						continue
					}
					if spec.Name.IsExported() {
						names = append(names, pkg+"."+spec.Name.Name)
					}
				}
			}
		}
	}
	return names
}
