package storetest_test

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// scanCursor begins every cursor of Scan, which is the ID that comes next.
const scanCursor = "from "

var errScanCursor = errors.New("reference: no such cursor")

// Scan names the sessions in the order of their names, a hundred on a page.
func (b *reference) Scan(ctx context.Context, cursor string) (ids []string, next string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.open(ctx); err != nil {
		return nil, "", err
	}
	from, ours := strings.CutPrefix(cursor, scanCursor)
	if cursor != "" && !ours {
		if !b.has("Scan takes any cursor") {
			return nil, "", errScanCursor
		}
		from = ""
	}
	for id, l := range b.lives {
		if b.has("Scan names suspended sessions never") && l.suspended || b.alive(id) == nil {
			continue
		}
		if b.has("Scan names escaped IDs") {
			id = url.PathEscape(id)
		}
		ids = append(ids, id)
	}
	switch b.bug {
	case "Scan names what was destroyed":
		ids = append(ids, b.destroyed...)
	case "Scan names lists":
		ids = slices.AppendSeq(ids, maps.Keys(b.lists))
	}
	slices.Sort(ids)
	if b.has("Scan counts instead of remembering where it was") {
		n, _ := strconv.Atoi(from)
		ids = ids[min(n, len(ids)):]
		if len(ids) > 100 {
			return ids[:100], scanCursor + strconv.Itoa(n+100), nil
		}
		return ids, "", nil
	}
	at, _ := slices.BinarySearch(ids, from)
	ids = ids[at:]
	if len(ids) > 100 {
		if b.has("Scan ends after the first page") {
			return ids[:100], "", nil
		}
		return ids[:100], scanCursor + ids[100], nil
	}
	return ids, "", nil
}
