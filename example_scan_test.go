package store_test

import (
	"context"
	"fmt"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

// A tool counts the sessions of all nodes. Nothing that serves requests should.
func ExampleAsScanner() {
	ctx := context.Background()
	backend := memstore.New(nil)
	defer backend.Close()
	sessions, err := store.New(backend, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sessions.Close(ctx)
	for range 3 {
		if _, err := sessions.Create(ctx, store.NewID()); err != nil {
			fmt.Println(err)
			return
		}
	}

	scanner, err := store.AsScanner(backend)
	if err != nil {
		fmt.Println(err)
		return
	}
	seen := make(map[string]bool) // a session may be on several pages
	for cursor, more := "", true; more; more = cursor != "" {
		var ids []string
		if ids, cursor, err = scanner.Scan(ctx, cursor); err != nil {
			fmt.Println(err)
			return
		}
		for _, id := range ids {
			seen[id] = true
		}
	}
	fmt.Println(len(seen), "sessions")
	// Output: 3 sessions
}
