package store_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sessionkv/store"
	"github.com/sessionkv/store/backends/memstore"
)

func TestNewRefusesWhatCannotBeMeant(t *testing.T) {
	backend := memstore.New(nil)
	defer backend.Close()
	tests := map[string]struct {
		backend store.Backend
		opts    *store.Options
		says    string // part of the error; empty for success
	}{
		"nil options":           {backend, nil, ""},
		"zero options":          {backend, &store.Options{}, ""},
		"a second":              {backend, &store.Options{Lease: time.Second, Grace: time.Second}, ""},
		"short in a test":       {backend, &store.Options{Lease: 5 * time.Millisecond, AllowShortTimes: true}, ""},
		"no limits":             {backend, &store.Options{Limits: store.Limits{ValueSize: -1, Keys: -1, KeyLength: -1}}, ""},
		"nil":                   {nil, nil, "backend is nil"},
		"nil pointer":           {(*memstore.Backend)(nil), nil, "backend is nil"},
		"lease of 30 ns":        {backend, &store.Options{Lease: 30}, "option Lease is 30ns; the shortest is 1s"},
		"even in a test":        {backend, &store.Options{Lease: 30, AllowShortTimes: true}, "option Lease is 30ns; the shortest is 1ms"},
		"lease below a second":  {backend, &store.Options{Lease: 999 * time.Millisecond}, "option Lease is 999ms"},
		"negative lease":        {backend, &store.Options{Lease: -time.Second}, "option Lease is -1s"},
		"endless lease":         {backend, &store.Options{Lease: math.MaxInt64}, "the longest is 168h"},
		"grace without a unit":  {backend, &store.Options{Grace: 30}, "option Grace is 30ns"},
		"negative grace":        {backend, &store.Options{Grace: -1}, "option Grace is -1ns"},
		"endless grace":         {backend, &store.Options{Grace: math.MaxInt64}, "option Grace"},
		"long keys":             {backend, &store.Options{Limits: store.Limits{KeyLength: 257}}, "KeyLength is 257"},
		"a sealer that is none": {backend, &store.Options{Sealer: (*store.KeyRing)(nil)}, "option Sealer holds a nil *store.KeyRing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sessions, err := store.New(tt.backend, tt.opts)
			if tt.says == "" {
				if sessions == nil || err != nil {
					t.Fatalf("New() = %v, %v, want Sessions", sessions, err)
				}
				sessions.Close(t.Context())
				return
			}
			if sessions != nil || err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("New() = %v, %v, want one line that says %q", sessions, err, tt.says)
			}
		})
	}
}

func TestWaysToEndAreDestroyed(t *testing.T) {
	for _, err := range []error{store.ErrResumed, store.ErrExpired} {
		if !errors.Is(err, store.ErrDestroyed) {
			t.Errorf("errors.Is(%v, ErrDestroyed) = false, want true", err)
		}
		destroyed := &store.Error{Op: "get", Err: store.ErrDestroyed}
		if errors.Is(destroyed, err) {
			t.Errorf("errors.Is(ErrDestroyed, %v) = true, want false", err)
		}
	}
	if errors.Is(store.ErrResumed, store.ErrExpired) || errors.Is(store.ErrNotOwner, store.ErrDestroyed) {
		t.Error("the ends are not told apart")
	}
}
