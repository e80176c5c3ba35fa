package goals

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
	"github.com/sessionkv/store/bench/internal/report"
	"github.com/sessionkv/store/codec"
	"github.com/sessionkv/store/internal/heap"
)

var errLost = errors.New("a value was not there")

const million = 1_000_000

// footprint weighs a million sessions with three small keys. Their IDs, which the
// server has anyway, are made before and not counted.
func footprint(ctx context.Context, o Options, add func(report.Goal)) error {
	o.Say("memory, bytes per session at 10⁶ sessions")
	ids := make([]string, million)
	for i := range ids {
		ids[i] = store.NewID()
	}
	backend, err := weighBackend(ctx, ids)
	if err != nil {
		return err
	}
	add(bytesGoal("memory: bytes per session with three small keys at 10⁶ sessions, backend", backend, 400))
	both, err := weighHandles(ctx, ids)
	if err != nil {
		return err
	}
	add(bytesGoal("memory: the same with the Session handles", both, 560))
	runtime.GC()
	return nil
}

func bytesGoal(text string, measured, bound float64) report.Goal {
	return report.Goal{Goal: text, Ratio: measured, Bound: bound, Met: measured <= bound, Measured: fmt.Sprintf("%.0f (at most %.0f)", measured, bound)}
}

var smallValues = map[string]string{"userId": "u-42-abcdef", "tenant": "acme", "room": "room-17"}

func weighBackend(ctx context.Context, ids []string) (float64, error) {
	var entries []store.Entry
	for k, v := range smallValues {
		b, err := codec.Append(codec.Msgpack, nil, &v)
		if err != nil {
			return 0, err
		}
		entries = append(entries, store.Entry{Key: k, Value: b})
	}
	before := heap.Live()
	backend := memstore.New(nil)
	defer backend.Close()
	for _, id := range ids {
		if _, err := backend.Create(ctx, id, entries, store.Terms{Lease: time.Hour}); err != nil {
			return 0, err
		}
	}
	after := heap.Live()
	runtime.KeepAlive(backend)
	return float64(after-before) / float64(len(ids)), nil
}

func weighHandles(ctx context.Context, ids []string) (float64, error) {
	handles := make([]*store.Session, len(ids))
	before := heap.Live()
	ss, end, err := newMemory()
	if err != nil {
		return 0, err
	}
	defer end()
	for i, id := range ids {
		s, err := ss.Create(ctx, id, userID.To(smallValues["userId"]), store.Key[string]("tenant").To(smallValues["tenant"]), store.Key[string]("room").To(smallValues["room"]))
		if err != nil {
			return 0, err
		}
		handles[i] = s
	}
	after := heap.Live()
	runtime.KeepAlive(handles)
	return float64(after-before) / float64(len(ids)), nil
}
