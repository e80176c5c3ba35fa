package backends_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends"
	"github.com/sessionkv/store/internal/testserver"
)

// The servers of the example.
var (
	oldURL = "redis://old:6379"
	newURL = "valkey://new:6379"
)

// The example needs two servers, so this runs it.
func TestMigrateExample(t *testing.T) {
	oldURL = testserver.SharedRedis(t).URL
	newURL = "valkey" + strings.TrimPrefix(testserver.SharedRedis(t, testserver.FlavourValkey).URL, "redis")
	ExampleMigrate()
}

func ExampleMigrate() {
	ctx := context.Background()
	const UserID = store.Key[string]("userId")
	const id = "from store.NewID"

	// As it was: a session on the old server, whose client has lost its connection.
	from, err := backends.Open(ctx, oldURL)
	if err != nil {
		log.Panic(err)
	}
	before, err := store.New(from, &store.Options{Grace: time.Minute})
	if err != nil {
		log.Panic(err)
	}
	sess, err := before.Create(ctx, id, UserID.To("u-42"))
	if err != nil {
		log.Panic(err)
	}
	if err := sess.Release(ctx); err != nil {
		log.Panic(err)
	}

	// The new version of the program.
	to, err := backends.Open(ctx, newURL)
	if err != nil {
		log.Panic(err)
	}
	backend, err := backends.Migrate(from, to, nil)
	if err != nil {
		log.Panic(err)
	}
	defer backend.Close() // closes both
	sessions, err := store.New(backend, &store.Options{Grace: time.Minute})
	if err != nil {
		log.Panic(err)
	}
	defer sessions.Close(ctx)

	sess, err = sessions.Resume(ctx, id) // the client comes back
	if err != nil {
		log.Panic(err)
	}
	defer sess.Destroy(ctx)
	user, err := UserID.Get(ctx, sess)
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(user, "has moved:", backend.Stats().Moved) // u-42 has moved: 1
}
