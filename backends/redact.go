package backends

import "log/slog"

// String keeps sessions out of what is printed.
func (o *owning) String() string { return "backends.Backend" }

// GoString does the same for %#v.
func (o *owning) GoString() string { return o.String() }

// LogValue does the same for logs.
func (o *owning) LogValue() slog.Value { return slog.StringValue(o.String()) }
