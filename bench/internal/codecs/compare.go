package codecs

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/sessionkv/store/bench/internal/report"
	"github.com/sessionkv/store/bench/internal/workload"
)

const (
	rounds = 7
	batch  = 200 // calls between two looks at the clock
)

// Compare measures every codec on every value, in turns. Each turn takes about
// slice.
func Compare(ctx context.Context, slice time.Duration) ([]report.Codec, error) {
	var all []report.Codec
	for _, measure := range []func() ([]report.Codec, error){
		func() ([]report.Codec, error) {
			return compare(ctx, "JWT claims", workload.NewClaims(42), slice, generatedClaims(workload.NewClaims(42)))
		},
		func() ([]report.Codec, error) {
			return compare(ctx, "room list", workload.NewRooms(42), slice, generatedRooms(workload.NewRooms(42)))
		},
		func() ([]report.Codec, error) {
			return compare(ctx, "handshake", workload.NewHandshake(42), slice, generatedHandshake(workload.NewHandshake(42)))
		},
		func() ([]report.Codec, error) { return compare(ctx, "user ID", "u-000042", slice) },
	} {
		some, err := measure()
		all = append(all, some...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

func compare[T any](ctx context.Context, name string, value T, slice time.Duration, more ...library) ([]report.Codec, error) {
	libs := append(libraries[T](), more...)
	results := make([]report.Codec, len(libs))
	encode, decode := make([][]float64, len(libs)), make([][]float64, len(libs))
	encoded := make([][]byte, len(libs))
	for i, lib := range libs {
		b, err := lib.encode(&value)
		if err != nil {
			return nil, fmt.Errorf("%s cannot encode the %s: %w", lib.name, name, err)
		}
		encoded[i] = bytes.Clone(b)
		results[i] = report.Codec{Codec: lib.name, Value: name, Size: len(b)}
		for j := range min(i, 2) {
			if bytes.Equal(encoded[i], encoded[j]) {
				results[i].Identical = libs[j].name
			}
		}
	}
	for range rounds {
		for i, lib := range libs {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			ns, allocs, err := measure(slice, func() error { _, err := lib.encode(&value); return err })
			if err != nil {
				return nil, fmt.Errorf("%s cannot encode the %s: %w", lib.name, name, err)
			}
			encode[i], results[i].EncodeAllocs = append(encode[i], ns), allocs
			ns, allocs, err = measure(slice, func() error {
				var v T
				return lib.decode(encoded[i], &v)
			})
			if err != nil {
				return nil, fmt.Errorf("%s cannot decode the %s: %w", lib.name, name, err)
			}
			decode[i], results[i].DecodeAllocs = append(decode[i], ns), allocs
		}
	}
	for i := range results {
		results[i].EncodeNs, results[i].DecodeNs = report.Median(encode[i]), report.Median(decode[i])
	}
	return results, nil
}

// measure returns the time and the allocations of one call of f.
func measure(slice time.Duration, f func() error) (ns, allocs float64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	n := 0
	for time.Since(start) < slice {
		for range batch {
			if err := f(); err != nil {
				return 0, 0, err
			}
		}
		n += batch
	}
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	return float64(elapsed.Nanoseconds()) / float64(n), float64((after.Mallocs - before.Mallocs) / uint64(n)), nil
}
