package redisstore

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/sessionkv/store"
)

var _ store.Scanner = (*Backend)(nil)

// scanCount is how many keys of the server, whatever they are, one call of Scan looks at.
const scanCount = 1000

var (
	errScanCursor = errors.New("redis: the cursor does not come from Scan of this kind of server")
	errExchanged  = &clientError{text: "redis: the server was restarted, or another one took its place, so that the scan would miss sessions; begin it anew"}
)

// Scan returns a page of the IDs of all sessions; see [store.Scanner]. It is a SCAN with the namespace as its pattern. It
// looks at 1000 keys of the server, those of other applications among them, so that most pages may be empty.
//
// A cursor of SCAN means something to one process of the server only. Where another one answers, after a restart or a
// failover of Sentinel, Scan fails and the scan has to begin anew. DragonflyDB does not name its process, so there
// that is not noticed. In a Cluster one primary is scanned after the other. One that is replaced is scanned anew in
// its successor; while slots are being moved, Scan fails. The package comment has the rights that it needs.
func (b *Backend) Scan(ctx context.Context, cursor string) (ids []string, next string, err error) {
	if err := b.open(ctx); err != nil {
		return nil, "", err
	}
	if client, ok := b.client.(*redis.ClusterClient); ok {
		return b.scanCluster(ctx, client, cursor)
	}
	at := position{}
	if cursor != "" {
		var ok bool
		if at, ok = parsePosition(cursor); !ok {
			return nil, "", errScanCursor
		}
	}
	page, err := b.scanPage(ctx, b.client, at.cursor, false)
	if err != nil {
		return nil, "", err
	}
	if cursor != "" && page.process != at.process {
		return nil, "", errExchanged
	}
	if page.next != 0 {
		next = position{page.process, page.next}.String()
	}
	return page.ids, next, nil
}

// A position is how far the scan of one server has come.
type position struct {
	process string // the server's run_id, or noProcess
	cursor  uint64
}

func (p position) String() string { return p.process + "/" + strconv.FormatUint(p.cursor, 10) }

func parsePosition(text string) (position, bool) {
	process, digits, ok := strings.Cut(text, "/")
	cursor, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || cursor == 0 || !isProcess(process) {
		return position{}, false
	}
	return position{process, cursor}, true
}

// noProcess represents a server that does not name its process.
const noProcess = "-"

// processOf returns the process that an answer to INFO names.
func processOf(info string) string { return cmp.Or(field(info, "run_id"), noProcess) }

func isProcess(s string) bool {
	return s == noProcess || s != "" && len(s) <= 64 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// A scanned is what one server answered.
type scanned struct {
	ids     []string
	next    uint64 // 0: that was all
	process string
	node    node // in a Cluster
}

// scanPage asks one server for a page and who it is, over one connection. In a Cluster it
// also asks which slots it serves, after the page.
func (b *Backend) scanPage(ctx context.Context, server interface{ Pipeline() redis.Pipeliner }, cursor uint64, cluster bool) (scanned, error) {
	type replies struct {
		scan  *redis.ScanCmd
		nodes *redis.StringCmd
		info  *redis.StringCmd
	}
	got := make(chan replies, 1)
	err := await(ctx, func() error {
		var r replies
		pipe := server.Pipeline()
		// A namespace has no character that a pattern treats specially.
		r.scan = pipe.ScanType(ctx, cursor, string(b.namespace)+":*", scanCount, "hash")
		if cluster {
			r.nodes = pipe.ClusterNodes(ctx)
		}
		r.info = pipe.Info(ctx, "server")
		_, err := pipe.Exec(ctx)
		got <- r
		return err
	})
	if err != nil {
		if ctx.Err() != nil {
			return scanned{}, ctx.Err()
		}
		return scanned{}, b.explain(err)
	}
	r := <-got
	var s scanned
	names, next := r.scan.Val()
	if names == nil || r.info.Val() == "" {
		return scanned{}, b.explain(errNoReply)
	}
	s.next = next
	for _, name := range names {
		if id, ok := b.namespace.ID(name); ok && store.CheckID(id) == nil {
			s.ids = append(s.ids, id)
		}
	}
	if s.process = processOf(r.info.Val()); !isProcess(s.process) {
		return scanned{}, b.explain(errReply)
	}
	if cluster {
		var ok bool
		if s.node, ok = parseNode(r.nodes.Val()); !ok {
			return scanned{}, b.explain(errReply)
		}
	}
	return s, nil
}
