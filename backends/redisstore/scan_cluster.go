package redisstore

import (
	"context"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store/backends/internal/panics"
)

// The scan of a Cluster goes by slots, because these stay while nodes come and go.
//
//  1. The cursor names the slots that are done, and how far the scan of one primary is: which process
//     it is, and which slots it serves since which configuration epoch.
//  2. A primary that ends its scan and has served the same slots all the time has these slots done.
//  3. One that is another process, serves other slots or has another epoch is begun anew.
//  4. The next primary is one that serves a slot which is not done. The scan is over when all are.
//  5. While a primary hands a slot over key by key, a key can go from where the scan has yet to come to where it has
//     been. Then Scan fails, and goes on with the same cursor afterwards.

const slotCount = 16384

var (
	errSlotsMove = &clientError{text: "redis: slots of the Cluster are being moved, so that the scan would miss sessions; go on when that is done"}
	errNoPrimary = &clientError{text: "redis: no primary serves some of the Cluster's slots; go on when one does"}
	errUnsettled = &clientError{text: "redis: the nodes of the Cluster changed while they were asked; try again"}
)

// slots is a set of slots.
type slots [slotCount / 64]uint64

func (s *slots) has(slot int) bool { return s[slot/64]>>(slot%64)&1 == 1 }

func (s *slots) addRange(first, last int) {
	for slot := first; slot <= last; slot++ {
		s[slot/64] |= 1 << (slot % 64)
	}
}

func (s *slots) addAll(other *slots) {
	for i := range s {
		s[i] |= other[i]
	}
}

// without reports whether s has a slot that other has not.
func (s *slots) without(other *slots) bool {
	for i := range s {
		if s[i]&^other[i] != 0 {
			return true
		}
	}
	return false
}

func (s *slots) full() bool {
	for i := range s {
		if s[i] != ^uint64(0) {
			return false
		}
	}
	return true
}

// String writes s as ranges: 0-5460,7000.
func (s *slots) String() string {
	var b strings.Builder
	for slot := 0; slot < slotCount; slot++ {
		if !s.has(slot) {
			continue
		}
		first := slot
		for slot+1 < slotCount && s.has(slot+1) {
			slot++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(first))
		if slot > first {
			b.WriteString("-" + strconv.Itoa(slot))
		}
	}
	return b.String()
}

// addRanges adds what String has written, one range at least, and reports whether it is that.
func (s *slots) addRanges(text string) bool {
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || first > last || last >= slotCount {
			return false
		}
		s.addRange(int(first), int(last))
	}
	return true
}

// A node is what a node of a Cluster says of itself.
type node struct {
	primary bool
	slots   slots
	since   string // names its slots and its configuration epoch
	moves   bool   // a slot is on its way to another node
}

// parseNode reads the line "myself" of CLUSTER NODES.
func parseNode(answer string) (n node, ok bool) {
	for line := range strings.Lines(answer) {
		f := strings.Fields(line)
		if len(f) < 8 || !hasFlag(f[2], "myself") {
			continue
		}
		n.primary = hasFlag(f[2], "master")
		h := fnv.New64a()
		h.Write([]byte(f[0] + " " + f[6]))
		for _, part := range f[8:] {
			if strings.HasPrefix(part, "[") {
				n.moves = n.moves || strings.Contains(part, "->-")
				continue
			}
			if !n.slots.addRanges(part) {
				return node{}, false
			}
			h.Write([]byte(" " + part))
		}
		n.since = strconv.FormatUint(h.Sum64(), 16)
		return n, true
	}
	return node{}, false
}

func hasFlag(flags, flag string) bool {
	for f := range strings.SplitSeq(flags, ",") {
		if f == flag {
			return true
		}
	}
	return false
}

// A progress is how far the scan of a Cluster has come.
type progress struct {
	done  slots
	since string   // of the primary that is being scanned; "" for none
	at    position // in it
}

func (p *progress) String() string {
	text := "slots/" + p.done.String() + "/" + p.since
	if p.since != "" {
		text += "/" + p.at.String()
	}
	return text
}

func parseProgress(text string) (*progress, bool) {
	p := new(progress)
	f := strings.SplitN(text, "/", 4)
	if len(f) < 3 || f[0] != "slots" || f[1] != "" && !p.done.addRanges(f[1]) || p.done.full() {
		return nil, false
	}
	p.since = f[2]
	if p.since == "" {
		return p, len(f) == 3 && f[1] != ""
	}
	if _, err := strconv.ParseUint(p.since, 16, 64); err != nil || len(f) != 4 {
		return nil, false
	}
	var ok bool
	p.at, ok = parsePosition(f[3])
	return p, ok
}

// scanCluster returns the page of a Cluster that cursor says.
func (b *Backend) scanCluster(ctx context.Context, client *redis.ClusterClient, cursor string) (ids []string, next string, err error) {
	p := new(progress)
	if cursor != "" {
		var ok bool
		if p, ok = parseProgress(cursor); !ok {
			return nil, "", errScanCursor
		}
	}
	const tries = 3
	for range tries {
		server, err := b.primaryFor(ctx, client, p)
		if err != nil {
			return nil, "", err
		}
		page, err := b.scanPage(ctx, server, p.at.cursor, true)
		switch {
		case err != nil:
			return nil, "", err
		case page.node.moves:
			return nil, "", errSlotsMove
		case !page.node.primary, p.since != "" && (page.process != p.at.process || page.node.since != p.since):
			p.since, p.at = "", position{}
			continue
		}
		p.since, p.at = page.node.since, position{page.process, page.next}
		if page.next == 0 {
			p.done.addAll(&page.node.slots)
			p.since = ""
		}
		if p.done.full() {
			return page.ids, "", nil
		}
		return page.ids, p.String(), nil
	}
	return nil, "", errUnsettled
}

// primaryFor returns the client of the primary that is being scanned, or else of one that has yet to be.
func (b *Backend) primaryFor(ctx context.Context, client *redis.ClusterClient, p *progress) (*redis.Client, error) {
	type answers struct {
		mu      sync.Mutex
		same    *redis.Client // the process that is being scanned
		other   *redis.Client // one with slots that are not done
		unasked error
	}
	var got answers
	want, done := *p, p.done // of the goroutines, which may outlast this call
	ask := func(ctx context.Context, server *redis.Client) error {
		var self node
		info, err := server.Info(ctx, "server").Result()
		same := err == nil && want.since != "" && processOf(info) == want.at.process
		if err == nil && (!same || want.at.process == noProcess) {
			var text string
			if text, err = server.ClusterNodes(ctx).Result(); err == nil {
				ok := false
				if self, ok = parseNode(text); !ok {
					err = errReply
				}
			}
			same = same && self.since == want.since
		}
		got.mu.Lock()
		defer got.mu.Unlock()
		switch {
		case err != nil:
			got.unasked = err
		case same:
			got.same = server
		case self.primary && self.slots.without(&done):
			got.other = server
		}
		return nil
	}
	err := await(ctx, func() error {
		return client.ForEachMaster(ctx, func(ctx context.Context, server *redis.Client) error {
			return panics.Guard(func() error { return ask(ctx, server) })
		})
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, b.explain(err)
	}
	got.mu.Lock()
	defer got.mu.Unlock()
	switch {
	case got.same != nil:
		return got.same, nil
	case want.since != "" && got.unasked != nil: // it may be that one, and come back
		return nil, b.explain(got.unasked)
	}
	p.since, p.at = "", position{}
	switch {
	case got.other != nil:
		return got.other, nil
	case got.unasked != nil:
		return nil, b.explain(got.unasked)
	}
	return nil, errNoPrimary
}
