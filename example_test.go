package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/codec"
)

// TokenClaims is what an access token says about its bearer.
type TokenClaims struct {
	Subject string
	Admin   bool
}

// Keys are declared once, as constants.
const (
	UserID  = store.Key[string]("userId")
	Tenant  = store.Key[string]("tenant")
	Claims  = store.Key[TokenClaims]("tokenClaims")
	Credits = store.Key[int]("credits")
	Spent   = store.Key[int]("spent")
)

// newSession returns a session in memory for an example.
func newSession(ctx context.Context) *store.Session {
	sess, err := newNode(memstore.New(nil), nil).Create(ctx, store.NewID())
	if err != nil {
		log.Fatal(err)
	}
	return sess
}

// newNode returns the Sessions of one process on backend for an example.
func newNode(backend store.Backend, opts *store.Options) *store.Sessions {
	sessions, err := store.New(backend, opts)
	if err != nil {
		log.Fatal(err)
	}
	return sessions
}

func Example() {
	ctx := context.Background()
	backend := memstore.New(nil) // or backends.Open(ctx, "redis://…")
	defer backend.Close()
	sessions, err := store.New(backend, &store.Options{Codec: codec.Msgpack})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close(ctx)

	sess, err := sessions.Create(ctx, store.NewID())
	if err != nil {
		log.Fatal(err)
	}
	defer sess.Destroy(ctx)

	if err := UserID.Set(ctx, sess, "u-42"); err != nil {
		log.Fatal(err)
	}
	id, err := UserID.Get(ctx, sess) // id is a string
	fmt.Println(id, err)
	// Output: u-42 <nil>
}

func ExampleKey() {
	ctx := context.Background()
	sess := newSession(ctx)
	claims := TokenClaims{Subject: "u-42", Admin: true}
	if err := Claims.Set(ctx, sess, claims); err != nil {
		log.Fatal(err)
	}
	got, err := Claims.Get(ctx, sess)
	fmt.Println(got.Subject, got.Admin, err)
	// Output: u-42 true <nil>
}

func ExampleKey_Get() {
	ctx := context.Background()
	_, err := UserID.Get(ctx, newSession(ctx))
	fmt.Println(errors.Is(err, store.ErrNotFound))
	fmt.Println(err)
	// Output:
	// true
	// store: get "userId": no value under this key
}

func ExampleKey_Lookup() {
	ctx := context.Background()
	_, ok, err := UserID.Lookup(ctx, newSession(ctx))
	fmt.Println(ok, err)
	// Output: false <nil>
}

func ExampleKey_GetOr() {
	ctx := context.Background()
	fmt.Println(Tenant.GetOr(ctx, newSession(ctx), "public"))
	// Output: public <nil>
}

func ExampleKey_Set() {
	ctx := context.Background()
	fmt.Println(UserID.Set(ctx, newSession(ctx), "u-42"))
	// Output: <nil>
}

func ExampleKey_Has() {
	ctx := context.Background()
	fmt.Println(UserID.Has(ctx, newSession(ctx)))
	// Output: false <nil>
}

func ExampleKey_Delete() {
	ctx := context.Background()
	fmt.Println(UserID.Delete(ctx, newSession(ctx))) // absent already
	// Output: <nil>
}

func ExampleKey_SetIfAbsent() {
	ctx := context.Background()
	sess := newSession(ctx)
	fmt.Println(UserID.SetIfAbsent(ctx, sess, "first"))
	fmt.Println(UserID.SetIfAbsent(ctx, sess, "second"))
	fmt.Println(UserID.Get(ctx, sess))
	// Output:
	// true <nil>
	// false <nil>
	// first <nil>
}

func ExampleKey_Take() {
	ctx := context.Background()
	sess := newSession(ctx)
	UserID.Set(ctx, sess, "u-42")
	fmt.Println(UserID.Take(ctx, sess))
	fmt.Println(UserID.Has(ctx, sess))
	// Output:
	// u-42 <nil>
	// false <nil>
}

func ExampleKey_Update() {
	ctx := context.Background()
	sess := newSession(ctx)
	for range 3 {
		n, err := Credits.Update(ctx, sess, func(old int, ok bool) (int, error) {
			return old + 10, nil
		})
		fmt.Println(n, err)
	}
	// Output:
	// 10 <nil>
	// 20 <nil>
	// 30 <nil>
}

func ExampleKey_With() {
	ctx := context.Background()
	sess := newSession(ctx)
	claims := Claims.With(codec.JSON) // for readers in other languages
	if err := claims.Set(ctx, sess, TokenClaims{Subject: "u-42"}); err != nil {
		log.Fatal(err)
	}
	raw, err := sess.Store().Get(ctx, "tokenClaims")
	fmt.Println(string(raw), err)
	// Output: {"Subject":"u-42","Admin":false} <nil>
}

func ExampleCodecKey() {
	ctx := context.Background()
	sess := newSession(ctx)
	var note store.CodecKey[string] = store.Key[string]("note").With(codec.Raw)
	fmt.Println(note.Set(ctx, sess, "stored as it is"))
	raw, _ := sess.Store().Get(ctx, "note")
	fmt.Println(string(raw))
	// Output:
	// <nil>
	// stored as it is
}

func ExampleLoad() {
	ctx := context.Background()
	sess := newSession(ctx)
	UserID.Set(ctx, sess, "u-42")
	var id, tenant string
	err := store.Load(ctx, sess, UserID.Into(&id), Tenant.IntoOr(&tenant, "public"))
	fmt.Println(id, tenant, err)
	// Output: u-42 public <nil>
}

func ExampleSave() {
	ctx := context.Background()
	sess := newSession(ctx)
	err := store.Save(ctx, sess, UserID.To("u-42"), Claims.To(TokenClaims{Subject: "u-42"}), Tenant.Unset())
	fmt.Println(err)
	fmt.Println(sess.Keys(ctx))
	// Output:
	// <nil>
	// [tokenClaims userId] <nil>
}

func ExampleSession_Update() {
	ctx := context.Background()
	sess := newSession(ctx)
	Credits.Set(ctx, sess, 3)
	errNoCredits := errors.New("no credits left")
	spend := func(n int) error {
		return sess.Update(ctx, func(tx *store.Tx) error {
			credits, err := Credits.In(tx).GetOr(0)
			if err != nil {
				return err
			}
			if credits < n {
				return errNoCredits
			}
			spent, err := Spent.In(tx).GetOr(0)
			if err != nil {
				return err
			}
			return errors.Join(Credits.In(tx).Set(credits-n), Spent.In(tx).Set(spent+n))
		})
	}
	fmt.Println(spend(2))
	fmt.Println(errors.Is(spend(2), errNoCredits))
	fmt.Println(Credits.Get(ctx, sess))
	fmt.Println(Spent.Get(ctx, sess))
	// Output:
	// <nil>
	// true
	// 1 <nil>
	// 2 <nil>
}

func ExampleTxValue() {
	ctx := context.Background()
	sess := newSession(ctx)
	err := sess.Update(ctx, func(tx *store.Tx) error {
		id := UserID.In(tx)
		if ok, err := id.Has(); ok || err != nil {
			return err
		}
		return id.Set("u-42")
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleSessions_Create() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	sessions, err := store.New(backend, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close(ctx)

	id := store.NewID()
	sess, err := sessions.Create(ctx, id, UserID.To("u-42"), Tenant.To("acme"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(Tenant.Get(ctx, sess))
	_, err = sessions.Create(ctx, id)
	fmt.Println(errors.Is(err, store.ErrExists))
	// Output:
	// acme <nil>
	// true
}

func ExampleSessions_Attach() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	nodeA, nodeB := newNode(backend, nil), newNode(backend, nil)
	defer nodeA.Close(ctx)
	defer nodeB.Close(ctx)

	owner, err := nodeA.Create(ctx, store.NewID(), UserID.To("u-42"))
	if err != nil {
		log.Fatal(err)
	}
	handle, err := nodeB.Attach(ctx, owner.ID())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(UserID.Get(ctx, handle))

	owner.Destroy(ctx)
	err = UserID.Set(ctx, handle, "too late")
	fmt.Println(errors.Is(err, store.ErrDestroyed))
	// Output:
	// u-42 <nil>
	// true
}

func ExampleSessions_Resume() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	nodeA, nodeB := newNode(backend, nil), newNode(backend, nil)
	defer nodeA.Close(ctx)
	defer nodeB.Close(ctx)

	sess, err := nodeA.Create(ctx, store.NewID(), UserID.To("u-42"))
	if err != nil {
		log.Fatal(err)
	}
	id := sess.ID() // the client keeps it

	// The connection drops; the client comes back to another node.
	if err := sess.Suspend(ctx, time.Minute); err != nil {
		log.Fatal(err)
	}
	sess, err = nodeB.Resume(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(UserID.Get(ctx, sess))
	// Output: u-42 <nil>
}

func ExampleSessions_All() {
	ctx := context.Background()
	sessions, err := store.New(memstore.New(nil), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close(ctx)
	for _, name := range []string{"ann", "bob"} {
		if _, err := sessions.Create(ctx, store.NewID(), UserID.To(name)); err != nil {
			log.Fatal(err)
		}
	}
	var names []string
	for sess := range sessions.All() {
		name, _ := UserID.Get(ctx, sess)
		names = append(names, name)
	}
	slices.Sort(names)
	fmt.Println(names)
	// Output: [ann bob]
}

func ExampleSessions_Local() {
	ctx := context.Background()
	sessions, err := store.New(memstore.New(nil), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close(ctx)
	id := store.NewID()
	sess, _ := sessions.Create(ctx, id)
	found, ok := sessions.Local(id)
	fmt.Println(found == sess, ok)
	// Output: true true
}

func ExampleSessions_Close() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	old := newNode(backend, &store.Options{Grace: time.Minute})
	sess, _ := old.Create(ctx, store.NewID(), UserID.To("u-42"))

	// A rolling deploy: the old process lets go, the new one takes over.
	fmt.Println(old.Close(ctx))
	next := newNode(backend, nil)
	defer next.Close(ctx)
	sess, err := next.Resume(ctx, sess.ID())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(UserID.Get(ctx, sess))
	// Output:
	// <nil>
	// u-42 <nil>
}

func ExampleSession_Done() {
	ctx := context.Background()
	sess := newSession(ctx)
	go sess.Destroy(ctx)
	<-sess.Done()
	fmt.Println(sess.Err())
	// Output: the session has ended
}

func ExampleSession_Destroy() {
	ctx, cancel := context.WithCancel(context.Background())
	sess := newSession(ctx)
	cancel() // the client has gone, and its context with it
	fmt.Println(sess.Destroy(ctx))
	// Output: <nil>
}

func ExampleSession_Suspend() {
	ctx := context.Background()
	sess := newSession(ctx)
	fmt.Println(sess.Suspend(ctx, time.Minute))
	fmt.Println(errors.Is(UserID.Set(ctx, sess, "x"), store.ErrSuspended))
	// Output:
	// <nil>
	// true
}

func ExampleNewContext() {
	sess := newSession(context.Background())
	ctx := store.NewContext(context.Background(), sess)

	// Further down, in a handler that gets only ctx:
	if sess, ok := store.FromContext(ctx); ok {
		fmt.Println(UserID.Set(ctx, sess, "u-42"))
	}
	// Output: <nil>
}

func ExampleNewID() {
	id := store.NewID()
	fmt.Println(len(id), store.CheckID(id))
	// Output: 26 <nil>
}

func ExampleLimits() {
	ctx := context.Background()
	sessions, err := store.New(memstore.New(nil), &store.Options{Limits: store.Limits{ValueSize: 16}})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close(ctx)
	sess, _ := sessions.Create(ctx, store.NewID())
	fmt.Println(UserID.Set(ctx, sess, "much too long a name"))
	// Output: store: set "userId": value too large: 21 bytes encoded, at most 16 are allowed
}

func ExampleError() {
	ctx := context.Background()
	sess := newSession(ctx)
	UserID.Set(ctx, sess, "u-42")
	_, err := store.Key[int]("userId").Get(ctx, sess)
	var e *store.Error
	fmt.Println(errors.As(err, &e), e.Op, e.Key, errors.Is(err, store.ErrDecode))
	// Output: true get userId true
}

func ExampleKeyRing() {
	ctx := context.Background()
	// In a real program the secrets come from a secret manager.
	ring, err := store.NewKeyRing(store.SealingKey{ID: 1, Secret: bytes.Repeat([]byte{7}, 32)})
	if err != nil {
		log.Fatal(err)
	}
	sessions, err := store.New(memstore.New(nil), &store.Options{Sealer: ring})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close(ctx)
	sess, _ := sessions.Create(ctx, store.NewID(), UserID.To("u-42"))

	raw, _ := sess.Store().Get(ctx, "userId")
	fmt.Println(bytes.Contains(raw, []byte("u-42")))
	fmt.Println(UserID.Get(ctx, sess))
	// Output:
	// false
	// u-42 <nil>
}

func ExampleCheckKey() {
	fmt.Println(store.CheckKey("userId"))
	fmt.Println(store.CheckKey("user\x00Id"))
	// Output:
	// <nil>
	// invalid key: control character at byte 4
}

func ExampleCheckID() {
	fmt.Println(store.CheckID("any bytes \x00 do"))
	fmt.Println(store.CheckID(""))
	// Output:
	// <nil>
	// invalid session ID: it is empty
}

func ExampleCommit() {
	ctx := context.Background()
	raw := newSession(ctx).Store()
	raw.Set(ctx, "state", []byte("idle"))

	// Compare and swap on bytes, under the typed layer.
	_, err := store.Commit(ctx, raw,
		[]store.Entry{{Key: "state", Value: []byte("idle")}},
		[]store.Entry{{Key: "state", Value: []byte("busy")}})
	fmt.Println(err)

	current, err := store.Commit(ctx, raw,
		[]store.Entry{{Key: "state", Value: []byte("idle")}},
		[]store.Entry{{Key: "state", Value: []byte("gone")}})
	fmt.Println(string(current[0]), errors.Is(err, store.ErrConflict))
	// Output:
	// <nil>
	// busy true
}

func ExampleGetMany() {
	ctx := context.Background()
	raw := newSession(ctx).Store()
	raw.Set(ctx, "a", []byte("1"))
	values, err := store.GetMany(ctx, raw, []string{"a", "b"})
	fmt.Println(string(values[0]), values[1] == nil, err)
	// Output: 1 true <nil>
}

func ExampleKeys() {
	ctx := context.Background()
	raw := newSession(ctx).Store()
	raw.Set(ctx, "b", nil)
	raw.Set(ctx, "a", nil)
	fmt.Println(store.Keys(ctx, raw))
	// Output: [a b] <nil>
}

func ExampleStableReads() {
	fmt.Println(store.StableReads(newSession(context.Background()).Store()))
	// Output: true
}

func ExampleKey_IfUndecodable() {
	ctx := context.Background()
	sess := newSession(ctx)
	const limits = store.Key[int]("limits")
	// An earlier program kept a text under this name.
	if err := store.Key[string]("limits").Set(ctx, sess, "none"); err != nil {
		fmt.Println(err)
		return
	}
	_, err := limits.Get(ctx, sess)
	fmt.Println(errors.Is(err, store.ErrDecode))
	n, err := limits.IfUndecodable(store.Drop).GetOr(ctx, sess, 10)
	fmt.Println(n, err)
	has, err := limits.Has(ctx, sess)
	fmt.Println(has, err)
	// Output:
	// true
	// 10 <nil>
	// false <nil>
}

func ExampleUndecodable() {
	backend := memstore.New(nil)
	defer backend.Close()
	_, err := store.New(backend, &store.Options{
		Undecodable: store.Absent,
		OnUndecodable: func(v store.UndecodableValue) {
			log.Printf("the value of %q counts as absent: %v", v.Key, v.Err)
		},
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleKeyRing_BeforeSealing() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	ring, err := store.NewKeyRing(store.SealingKey{ID: 1, Secret: bytes.Repeat([]byte{7}, 32)})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A value of before the change is read in the first two deploys of it.
	plain, err := store.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	sess, err := plain.Create(ctx, store.NewID(), UserID.To("u-42"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, sealer := range []store.Sealer{ring.BeforeSealing(), ring.DuringSealing(), ring} {
		sessions, err := store.New(backend, &store.Options{Sealer: sealer})
		if err != nil {
			fmt.Println(err)
			return
		}
		s, err := sessions.Attach(ctx, sess.ID())
		if err != nil {
			fmt.Println(err)
			return
		}
		id, err := UserID.Get(ctx, s)
		fmt.Println(id, errors.Is(err, store.ErrSealed))
	}
	// Output:
	// u-42 false
	// u-42 false
	//  true
}
