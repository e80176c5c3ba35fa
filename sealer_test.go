package store_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/codec"
)

func sealingKey(id uint32) store.SealingKey {
	return store.SealingKey{ID: id, Secret: bytes.Repeat([]byte{byte(id)}, 32)}
}

func keyRing(t testing.TB, primary store.SealingKey, older ...store.SealingKey) *store.KeyRing {
	t.Helper()
	r, err := store.NewKeyRing(primary, older...)
	if err != nil {
		t.Fatalf("NewKeyRing() = %v, want nil", err)
	}
	return r
}

func TestSealedValuesWorkLikePlainOnes(t *testing.T) {
	s := create(t, open(t, &store.Options{Sealer: keyRing(t, sealingKey(1))}))
	checkRoundTrip(t, s, "string", "secret")
	checkRoundTrip(t, s, "int", 42)
	checkRoundTrip(t, s, "claims", tokenClaims{"u-42", "acme", true, 1 << 40, 3})
	checkRoundTrip(t, s, "profile", profile{Name: "n", Tags: []string{"x"}})
	ctx := t.Context()
	for range 3 {
		if _, err := logins.Update(ctx, s, func(old int64, _ bool) (int64, error) { return old + 1, nil }); err != nil {
			t.Fatalf("Update() = %v, want nil", err)
		}
	}
	if got, err := logins.Get(ctx, s); got != 3 || err != nil {
		t.Errorf("Get() after three updates = %d, %v, want 3", got, err)
	}
	var id string
	err := s.Update(ctx, func(tx *store.Tx) error {
		if err := userID.In(tx).Set("u-1"); err != nil {
			return err
		}
		id, _ = userID.In(tx).Get()
		return nil
	})
	if id != "u-1" || err != nil {
		t.Errorf("Get() within a transaction = %q, %v, want the own write", id, err)
	}
}

// A sealed value opens only where it was sealed, and only unchanged.
func TestSealedValuesAreTiedToTheirPlace(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, &store.Options{Sealer: keyRing(t, sealingKey(1))})
	s, other := create(t, sessions, userID.To("secret")), create(t, sessions)
	sealed, err := s.Store().Get(ctx, "userId")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("secret")) {
		t.Errorf("the stored bytes %x contain the value", sealed)
	}
	const copied = store.Key[string]("copied")
	for name, raw := range map[string][]byte{
		"truncated":  sealed[:len(sealed)-1],
		"header":     sealed[:5],
		"one byte":   sealed[:1],
		"empty":      {},
		"plain":      []byte("\xa6secret"),
		"flipped":    append(bytes.Clone(sealed[:len(sealed)-1]), sealed[len(sealed)-1]^1),
		"other key":  append([]byte{1, 0, 0, 0, 9}, sealed[5:]...),
		"other form": append([]byte{2}, sealed[1:]...),
	} {
		if err := s.Store().Set(ctx, "userId", raw); err != nil {
			t.Fatal(err)
		}
		_, err := userID.Get(ctx, s)
		wantErr(t, name+": Get()", err, store.ErrSealed)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: Get() = %q, which shows the value", name, err)
		}
	}
	if err := other.Store().Set(ctx, "userId", sealed); err != nil {
		t.Fatal(err)
	}
	_, err = userID.Get(ctx, other)
	wantErr(t, "Get() of a value copied from another session", err, store.ErrSealed)
	if err := s.Store().Set(ctx, "copied", sealed); err != nil {
		t.Fatal(err)
	}
	_, err = copied.Get(ctx, s)
	wantErr(t, "Get() of a value copied from another key", err, store.ErrSealed)
	wantErr(t, "Load()", store.Load(ctx, s, copied.Into(new(string))), store.ErrSealed)
}

func TestKeyRotation(t *testing.T) {
	ctx := t.Context()
	backend := memstore.New(nil)
	defer backend.Close()
	node := func(ring *store.KeyRing) *store.Sessions {
		sessions := newSessions(t, backend, &store.Options{Sealer: ring})
		t.Cleanup(func() { sessions.Close(ctx) })
		return sessions
	}
	s := create(t, node(keyRing(t, sealingKey(1))), userID.To("secret"))
	attach := func(ring *store.KeyRing) *store.Session {
		t.Helper()
		h, err := node(ring).Attach(ctx, s.ID())
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	rotated := attach(keyRing(t, sealingKey(2), sealingKey(1)))
	if got, err := userID.Get(ctx, rotated); got != "secret" || err != nil {
		t.Errorf("Get() after the rotation = %q, %v, want %q", got, err, "secret")
	}
	onlyNew := attach(keyRing(t, sealingKey(2)))
	_, err := userID.Get(ctx, onlyNew)
	wantErr(t, "Get() without the old key", err, store.ErrSealed)
	if err := userID.Set(ctx, rotated, "again"); err != nil { // seals anew
		t.Fatal(err)
	}
	if got, err := userID.Get(ctx, onlyNew); got != "again" || err != nil {
		t.Errorf("Get() of a value sealed anew = %q, %v, want %q", got, err, "again")
	}
	_, err = userID.Get(ctx, s)
	wantErr(t, "Get() without the new key", err, store.ErrSealed)
}

func TestNewKeyRingRefusesBadKeys(t *testing.T) {
	secret := bytes.Repeat([]byte{0x5e}, 31)
	for name, keys := range map[string][]store.SealingKey{
		"short secret": {{ID: 1, Secret: secret}},
		"no secret":    {{ID: 1}},
		"ID twice":     {sealingKey(1), sealingKey(1)},
	} {
		_, err := store.NewKeyRing(keys[0], keys[1:]...)
		if err == nil || bytes.Contains([]byte(err.Error()), secret[:4]) {
			t.Errorf("%s: NewKeyRing() = %v, want an error without the secret", name, err)
		}
	}
}

// Neighbouring steps from plain to sealed values read each other's.
func TestChangeToSealing(t *testing.T) {
	ctx := t.Context()
	backend := memstore.New(nil)
	defer backend.Close()
	ring := keyRing(t, sealingKey(1))
	var nodes []*store.Sessions
	for _, sealer := range []store.Sealer{nil, ring.BeforeSealing(), ring.DuringSealing(), ring} {
		sessions := newSessions(t, backend, &store.Options{Sealer: sealer})
		defer sessions.Close(ctx)
		nodes = append(nodes, sessions)
	}
	const text = store.Key[string]("text")
	for i, writer := range nodes {
		for _, value := range []string{"", "x", "\x01", strings.Repeat("\x01", 40), strings.Repeat("secret", 10)} {
			s := create(t, writer, text.To(value), claims.To(sampleClaims), logins.To(1))
			for j, reader := range nodes {
				h, err := reader.Attach(ctx, s.ID())
				if err != nil {
					t.Fatal(err)
				}
				got, err := text.Get(ctx, h)
				c, errClaims := claims.Get(ctx, h)
				_, errLogins := logins.Get(ctx, h)
				switch reads := j == 1 || j == 2 || i <= 1 && j == 0 || i >= 2 && j == 3; {
				case reads && (got != value || c != sampleClaims || err != nil || errClaims != nil || errLogins != nil):
					t.Errorf("step %d of step %d: Get() = %q, %v, %v, %v, %v, want %q, %v", j, i, got, err, c, errClaims, errLogins, value, sampleClaims)
				case !reads && (err == nil || errClaims == nil):
					t.Errorf("step %d of step %d: Get() = %q, %v, want an error", j, i, got, err)
				}
			}
		}
	}
	// What is sealed stays so: changed bytes are refused, whatever is accepted beside them.
	s := create(t, nodes[2], userID.To("secret"))
	sealed, err := s.Store().Get(ctx, "userId")
	if err != nil {
		t.Fatal(err)
	}
	sealed = bytes.Clone(sealed)
	sealed[len(sealed)-1] ^= 1
	if err := s.Store().Set(ctx, "userId", sealed); err != nil {
		t.Fatal(err)
	}
	_, err = userID.Get(ctx, s)
	wantErr(t, "Get() of a changed value", err, store.ErrSealed)
	// A plain value that looks sealed is refused by whoever would write it.
	raw := text.With(codec.Raw)
	wantErr(t, "Set()", raw.Set(ctx, create(t, nodes[1]), "\x01"+strings.Repeat("x", 32)), store.ErrEncode)
	if err := raw.Set(ctx, create(t, nodes[1]), "\x01"+strings.Repeat("x", 31)); err != nil {
		t.Errorf("Set() of a shorter one = %v, want nil", err)
	}
}

// A sealed value is tied to its place, not to a life: see Sealer.
func TestSealedValueOfAnEarlierLifeOpens(t *testing.T) {
	ctx := t.Context()
	sessions := open(t, &store.Options{Sealer: keyRing(t, sealingKey(1))})
	s := create(t, sessions, userID.To("before"))
	sealed, err := s.Store().Get(ctx, "userId")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	again, err := sessions.Create(ctx, s.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Store().Set(ctx, "userId", sealed); err != nil {
		t.Fatal(err)
	}
	if got, err := userID.Get(ctx, again); got != "before" || err != nil {
		t.Errorf("Get() of a value from an earlier life = %q, %v, want %q", got, err, "before")
	}
}
