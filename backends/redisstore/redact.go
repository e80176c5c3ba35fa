package redisstore

import "log/slog"

// String keeps sessions out of what is printed.
func (b *Backend) String() string { return "redisstore.Backend" }

// GoString does the same for %#v.
func (b *Backend) GoString() string { return b.String() }

// LogValue does the same for logs.
func (b *Backend) LogValue() slog.Value { return slog.StringValue(b.String()) }

// String keeps sessions out of what is printed.
func (s *handle) String() string { return "redisstore.Store(ID withheld)" }

// GoString does the same for %#v.
func (s *handle) GoString() string { return s.String() }

// LogValue does the same for logs.
func (s *handle) LogValue() slog.Value { return slog.StringValue(s.String()) }
