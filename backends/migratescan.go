package backends

import (
	"context"
	"errors"
	"fmt"

	"github.com/sessionkv/store"
)

// Scanner returns the [store.Scanner] of a Migration whose backends both have one. A session that moves
// during a scan may be on a page of each backend, and is on one at least.
func (m *Migration) Scanner() (store.Scanner, error) {
	if !m.made() {
		return nil, errNotMigrate
	}
	older, err := store.AsScanner(m.old.Backend)
	if err != nil {
		return nil, fmt.Errorf("the old backend: %w", err)
	}
	newer, err := store.AsScanner(m.new.Backend)
	if err != nil {
		return nil, fmt.Errorf("the new backend: %w", err)
	}
	return &movingScanner{m, older, newer}, nil
}

// A movingScanner lists both places, the old one first. Sessions move in one direction only. So one that has
// left the old place before its page was read is at the new one before that is listed.
type movingScanner struct {
	m        *Migration
	old, new store.Scanner
}

var errScanCursor = errors.New("backends: the cursor is not one that Scan of a Migration has returned")

// Scan implements [store.Scanner]. A page is one of the old backend or of the new one. It does not compare the two: that
// would take the memory of all IDs, or a look at each.
func (x *movingScanner) Scan(ctx context.Context, cursor string) (ids []string, next string, err error) {
	if err := x.m.usable(ctx); err != nil {
		return nil, "", err
	}
	at, rest := cursorOld, ""
	if cursor != "" {
		at, rest = cursor[:1], cursor[1:]
	}
	switch {
	case at == cursorOld && (cursor == "" || rest != ""):
		if ids, next, err = x.old.Scan(ctx, rest); err != nil {
			return nil, "", fmt.Errorf("the old backend: %w", err)
		}
		if next == "" {
			return ids, cursorNew, nil
		}
		return ids, cursorOld + next, nil
	case at == cursorNew:
		if ids, next, err = x.new.Scan(ctx, rest); err != nil {
			return nil, "", fmt.Errorf("the new backend: %w", err)
		}
		if next != "" {
			next = cursorNew + next
		}
		return ids, next, nil
	}
	return nil, "", errScanCursor
}
