package memstore

import (
	"context"
	"errors"
	"strconv"

	"github.com/sessionkv/store"
)

var _ store.Scanner = (*Backend)(nil)

// scanPage is about how many IDs one call of Scan returns.
const scanPage = 256

var errScanCursor = errors.New("the cursor does not come from Scan")

// Scan implements [store.Scanner]. A page holds whole shards, and a session never changes its shard. Each shard is
// locked for as long as its IDs are copied.
func (b *Backend) Scan(ctx context.Context, cursor string) (ids []string, next string, err error) {
	if err := b.usable(ctx); err != nil {
		return nil, "", err
	}
	at := 0
	if cursor != "" {
		if at, err = strconv.Atoi(cursor); err != nil || at < 1 || at >= shardCount {
			return nil, "", errScanCursor
		}
	}
	for ; at < shardCount && len(ids) < scanPage; at++ {
		if ids, err = b.shards[at].appendLiving(ids); err != nil {
			return nil, "", err
		}
	}
	if at < shardCount {
		next = strconv.Itoa(at)
	}
	return ids, next, nil
}

// appendLiving appends the IDs of the shard's living sessions.
func (s *shard) appendLiving(ids []string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := s.now()
	if err != nil {
		return nil, err
	}
	for id, l := range s.index {
		l.mu.Lock()
		if l.deadline > now {
			ids = append(ids, id)
		}
		l.mu.Unlock()
	}
	return ids, nil
}
