package hazelcaststore

import "log/slog"

// String keeps sessions out of what is printed.
func (b *Backend) String() string { return "hazelcaststore.Backend" }

// GoString does the same for %#v.
func (b *Backend) GoString() string { return b.String() }

// LogValue does the same for logs.
func (b *Backend) LogValue() slog.Value { return slog.StringValue(b.String()) }

// String keeps sessions out of what is printed.
func (h *handle) String() string { return "hazelcaststore.Store(ID withheld)" }

// GoString does the same for %#v.
func (h *handle) GoString() string { return h.String() }

// LogValue does the same for logs.
func (h *handle) LogValue() slog.Value { return slog.StringValue(h.String()) }
