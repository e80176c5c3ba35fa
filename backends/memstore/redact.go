package memstore

import "log/slog"

// String keeps sessions out of what is printed.
func (b *Backend) String() string { return "memstore.Backend" }

// GoString does the same for %#v.
func (b *Backend) GoString() string { return b.String() }

// LogValue does the same for logs.
func (b *Backend) LogValue() slog.Value { return slog.StringValue(b.String()) }

// String keeps sessions out of what is printed.
func (l *life) String() string { return "memstore.Store(ID withheld)" }

// GoString does the same for %#v.
func (l *life) GoString() string { return l.String() }

// LogValue does the same for logs.
func (l *life) LogValue() slog.Value { return slog.StringValue(l.String()) }
