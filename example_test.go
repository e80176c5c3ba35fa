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
	sessions, err := store.New(backend, &store.Options{Codec: codec.Msgpack, Grace: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close(ctx)

	sess, resumed, err := sessions.Open(ctx, "", nil) // a new client has no ID yet
	if err != nil {
		log.Fatal(err)
	}
	defer sess.Release(ctx)

	if err := UserID.Set(ctx, sess, "u-42"); err != nil {
		log.Fatal(err)
	}
	id, err := UserID.Get(ctx, sess) // id is a string
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id, resumed)
	// Output: u-42 false
}

func ExampleKey() {
	ctx := context.Background()
	sess := newSession(ctx)
	claims := TokenClaims{Subject: "u-42", Admin: true}
	if err := Claims.Set(ctx, sess, claims); err != nil {
		log.Fatal(err)
	}
	got, err := Claims.Get(ctx, sess)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(got.Subject, got.Admin)
	// Output: u-42 true
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
	id, ok, err := UserID.Lookup(ctx, newSession(ctx))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q %t\n", id, ok)
	// Output: "" false
}

func ExampleKey_GetOr() {
	ctx := context.Background()
	tenant, err := Tenant.GetOr(ctx, newSession(ctx), "public")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tenant)
	// Output: public
}

func ExampleKey_Set() {
	ctx := context.Background()
	sess := newSession(ctx)
	if err := UserID.Set(ctx, sess, "u-42"); err != nil {
		log.Fatal(err)
	}
	id, err := UserID.Get(ctx, sess)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id)
	// Output: u-42
}

func ExampleKey_Has() {
	ctx := context.Background()
	sess := newSession(ctx)
	if err := UserID.Set(ctx, sess, "u-42"); err != nil {
		log.Fatal(err)
	}
	user, err := UserID.Has(ctx, sess)
	if err != nil {
		log.Fatal(err)
	}
	tenant, err := Tenant.Has(ctx, sess)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(user, tenant)
	// Output: true false
}

func ExampleKey_Delete() {
	ctx := context.Background()
	sess := newSession(ctx)
	if err := UserID.Set(ctx, sess, "u-42"); err != nil {
		log.Fatal(err)
	}
	for range 2 { // deleting an absent value succeeds
		if err := UserID.Delete(ctx, sess); err != nil {
			log.Fatal(err)
		}
	}
	has, err := UserID.Has(ctx, sess)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(has)
	// Output: false
}

func ExampleKey_SetIfAbsent() {
	ctx := context.Background()
	sess := newSession(ctx)
	for _, id := range []string{"first", "second"} {
		stored, err := UserID.SetIfAbsent(ctx, sess, id)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(id, stored)
	}
	// Output:
	// first true
	// second false
}

func ExampleKey_Take() {
	ctx := context.Background()
	sess := newSession(ctx)
	if err := UserID.Set(ctx, sess, "u-42"); err != nil {
		log.Fatal(err)
	}
	id, err := UserID.Take(ctx, sess)
	if err != nil {
		log.Fatal(err)
	}
	_, err = UserID.Take(ctx, sess)
	fmt.Println(id, errors.Is(err, store.ErrNotFound))
	// Output: u-42 true
}

func ExampleKey_Update() {
	ctx := context.Background()
	sess := newSession(ctx)
	for range 3 {
		n, err := Credits.Update(ctx, sess, func(old int, ok bool) (int, error) {
			return old + 10, nil
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(n)
	}
	// Output:
	// 10
	// 20
	// 30
}

func ExampleKey_With() {
	ctx := context.Background()
	sess := newSession(ctx)
	claims := Claims.With(codec.JSON) // for readers in other languages
	if err := claims.Set(ctx, sess, TokenClaims{Subject: "u-42"}); err != nil {
		log.Fatal(err)
	}
	raw, err := sess.Store().Get(ctx, "tokenClaims")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(raw))
	// Output: {"Subject":"u-42","Admin":false}
}

func ExampleCodecKey() {
	ctx := context.Background()
	sess := newSession(ctx)
	var note store.CodecKey[string] = store.Key[string]("note").With(codec.Raw)
	if err := note.Set(ctx, sess, "stored as it is"); err != nil {
		log.Fatal(err)
	}
	raw, err := sess.Store().Get(ctx, "note")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(raw))
	// Output: stored as it is
}

func ExampleLoad() {
	ctx := context.Background()
	sess := newSession(ctx)
	if err := UserID.Set(ctx, sess, "u-42"); err != nil {
		log.Fatal(err)
	}
	var id, tenant string
	err := store.Load(ctx, sess, UserID.Into(&id), Tenant.IntoOr(&tenant, "public"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id, tenant)
	// Output: u-42 public
}

func ExampleSave() {
	ctx := context.Background()
	sess := newSession(ctx)
	err := store.Save(ctx, sess, UserID.To("u-42"), Claims.To(TokenClaims{Subject: "u-42"}), Tenant.Unset())
	if err != nil {
		log.Fatal(err)
	}
	keys, err := sess.Keys(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(keys)
	// Output: [tokenClaims userId]
}

func ExampleSession_Update() {
	ctx := context.Background()
	sess := newSession(ctx)
	if err := Credits.Set(ctx, sess, 3); err != nil {
		log.Fatal(err)
	}
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
	if err := spend(2); err != nil {
		log.Fatal(err)
	}
	fmt.Println(errors.Is(spend(2), errNoCredits)) // nothing was written

	var credits, spent int
	if err := store.Load(ctx, sess, Credits.Into(&credits), Spent.Into(&spent)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(credits, spent)
	// Output:
	// true
	// 1 2
}

func ExampleTx_Load() {
	ctx := context.Background()
	sess := newSession(ctx)
	if err := Credits.Set(ctx, sess, 3); err != nil {
		log.Fatal(err)
	}
	err := sess.Update(ctx, func(tx *store.Tx) error {
		var credits, spent int
		if err := tx.Load(Credits.Into(&credits), Spent.IntoOr(&spent, 0)); err != nil {
			return err
		}
		return errors.Join(Credits.In(tx).Set(credits-2), Spent.In(tx).Set(spent+2))
	})
	if err != nil {
		log.Fatal(err)
	}
	var credits, spent int
	if err := store.Load(ctx, sess, Credits.Into(&credits), Spent.Into(&spent)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(credits, spent)
	// Output: 1 2
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
	if err != nil {
		log.Fatal(err)
	}
	id, err := UserID.Get(ctx, sess)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id)
	// Output: u-42
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
	tenant, err := Tenant.Get(ctx, sess)
	if err != nil {
		log.Fatal(err)
	}
	_, err = sessions.Create(ctx, id)
	fmt.Println(tenant, errors.Is(err, store.ErrExists))
	// Output: acme true
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
	id, err := UserID.Get(ctx, handle)
	if err != nil {
		log.Fatal(err)
	}
	if err := owner.Destroy(ctx); err != nil {
		log.Fatal(err)
	}
	err = UserID.Set(ctx, handle, "too late")
	fmt.Println(id, errors.Is(err, store.ErrDestroyed))
	// Output: u-42 true
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
	user, err := UserID.Get(ctx, sess)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(user)
	// Output: u-42
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
		name, err := UserID.Get(ctx, sess)
		if err != nil {
			log.Fatal(err)
		}
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
	sess, err := sessions.Create(ctx, id)
	if err != nil {
		log.Fatal(err)
	}
	found, ok := sessions.Local(id)
	fmt.Println(found == sess, ok)
	// Output: true true
}

func ExampleSessions_Close() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	old := newNode(backend, &store.Options{Grace: time.Minute})
	sess, err := old.Create(ctx, store.NewID(), UserID.To("u-42"))
	if err != nil {
		log.Fatal(err)
	}

	// A rolling deploy: the old process lets go, the new one takes over.
	if err := old.Close(ctx); err != nil {
		log.Fatal(err)
	}
	next := newNode(backend, nil)
	defer next.Close(ctx)
	sess, err = next.Resume(ctx, sess.ID())
	if err != nil {
		log.Fatal(err)
	}
	user, err := UserID.Get(ctx, sess)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(user)
	// Output: u-42
}

func ExampleSession_Done() {
	ctx := context.Background()
	sess := newSession(ctx)
	go func() { _ = sess.Destroy(ctx) }()
	<-sess.Done()
	fmt.Println(sess.Err())
	// Output: the session has ended
}

func ExampleSession_Destroy() {
	ctx, cancel := context.WithCancel(context.Background())
	sess := newSession(ctx)
	cancel() // the client has gone, and its context with it
	if err := sess.Destroy(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sess.Err())
	// Output: the session has ended
}

func ExampleSession_Suspend() {
	ctx := context.Background()
	sess := newSession(ctx)
	if err := sess.Suspend(ctx, time.Minute); err != nil {
		log.Fatal(err)
	}
	fmt.Println(errors.Is(UserID.Set(ctx, sess, "x"), store.ErrSuspended))
	// Output: true
}

func ExampleNewContext() {
	sess := newSession(context.Background())
	ctx := store.NewContext(context.Background(), sess)

	// Further down, in a handler that gets only ctx:
	found, ok := store.FromContext(ctx)
	fmt.Println(found == sess, ok)
	// Output: true true
}

func ExampleNewID() {
	id := store.NewID()
	fmt.Println(len(id), id == store.NewID())
	// Output: 26 false
}

func ExampleLimits() {
	ctx := context.Background()
	sessions, err := store.New(memstore.New(nil), &store.Options{Limits: store.Limits{ValueSize: 16}})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close(ctx)
	sess, err := sessions.Create(ctx, store.NewID())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(UserID.Set(ctx, sess, "much too long a name"))
	// Output: store: set "userId": value too large: 21 bytes encoded, at most 16 are allowed
}

func ExampleError() {
	ctx := context.Background()
	sess := newSession(ctx)
	if err := UserID.Set(ctx, sess, "u-42"); err != nil {
		log.Fatal(err)
	}
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
	sess, err := sessions.Create(ctx, store.NewID(), UserID.To("u-42"))
	if err != nil {
		log.Fatal(err)
	}
	raw, err := sess.Store().Get(ctx, "userId")
	if err != nil {
		log.Fatal(err)
	}
	id, err := UserID.Get(ctx, sess)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(bytes.Contains(raw, []byte(id)), id)
	// Output: false u-42
}

func ExampleCheckKey() {
	fmt.Println(store.CheckKey("userId") == nil)
	fmt.Println(store.CheckKey("user\x00Id"))
	// Output:
	// true
	// invalid key: control character at byte 4
}

func ExampleCheckID() {
	fmt.Println(store.CheckID("any bytes \x00 do") == nil)
	fmt.Println(store.CheckID(""))
	// Output:
	// true
	// invalid session ID: it is empty
}

func ExampleCommit() {
	ctx := context.Background()
	raw := newSession(ctx).Store()
	if err := raw.Set(ctx, "state", []byte("idle")); err != nil {
		log.Fatal(err)
	}

	// Compare and swap on bytes, under the typed layer.
	idle := []store.Entry{{Key: "state", Value: []byte("idle")}}
	if _, err := store.Commit(ctx, raw, idle, []store.Entry{{Key: "state", Value: []byte("busy")}}); err != nil {
		log.Fatal(err)
	}
	current, err := store.Commit(ctx, raw, idle, []store.Entry{{Key: "state", Value: []byte("gone")}})
	fmt.Println(string(current[0]), errors.Is(err, store.ErrConflict))
	// Output: busy true
}

func ExampleGetMany() {
	ctx := context.Background()
	raw := newSession(ctx).Store()
	if err := raw.Set(ctx, "a", []byte("1")); err != nil {
		log.Fatal(err)
	}
	values, err := store.GetMany(ctx, raw, []string{"a", "b"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(values[0]), values[1] == nil)
	// Output: 1 true
}

func ExampleKeys() {
	ctx := context.Background()
	raw := newSession(ctx).Store()
	for _, key := range []string{"b", "a"} {
		if err := raw.Set(ctx, key, nil); err != nil {
			log.Fatal(err)
		}
	}
	keys, err := store.Keys(ctx, raw)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(keys)
	// Output: [a b]
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
	if err != nil {
		log.Fatal(err)
	}
	has, err := limits.Has(ctx, sess)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, has)
	// Output:
	// true
	// 10 false
}

func ExampleUndecodable() {
	backend := memstore.New(nil)
	defer backend.Close()
	ctx := context.Background()
	sessions := newNode(backend, &store.Options{
		Undecodable: store.Absent,
		OnUndecodable: func(v store.UndecodableValue) {
			fmt.Printf("the value of %q counts as absent\n", v.Key)
		},
	})
	defer sessions.Close(ctx)
	// An earlier program kept a text under the name of a number.
	sess, err := sessions.Create(ctx, store.NewID(), store.Key[string]("credits").To("none"))
	if err != nil {
		log.Fatal(err)
	}
	n, err := Credits.GetOr(ctx, sess, 10)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n)
	// Output:
	// the value of "credits" counts as absent
	// 10
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
