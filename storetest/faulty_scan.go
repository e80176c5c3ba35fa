package storetest

import (
	"context"

	"github.com/sessionkv/store"
)

// Scanner returns the [store.Scanner] of the backend beneath, with a Scan that fails on request.
func (f *FaultyBackend) Scanner() (store.Scanner, error) {
	if !f.made() {
		return nil, errNotFaulty
	}
	inner, err := store.AsScanner(f.Backend)
	if err != nil {
		return nil, err
	}
	return &faultyScanner{f, inner}, nil
}

type faultyScanner struct {
	f *FaultyBackend
	s store.Scanner
}

func (s *faultyScanner) Scan(ctx context.Context, cursor string) (ids []string, next string, err error) {
	_, err = call(s.f, OpScan, func() (struct{}, error) {
		ids, next, err = s.s.Scan(ctx, cursor)
		return struct{}{}, err
	})
	if err != nil {
		return nil, "", err
	}
	return ids, next, nil
}
