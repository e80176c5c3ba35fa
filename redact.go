package store

import "log/slog"

// String keeps sessions out of what is printed.
func (ss *Sessions) String() string { return "store.Sessions" }

// GoString does the same for %#v.
func (ss *Sessions) GoString() string { return ss.String() }

// LogValue does the same for logs.
func (ss *Sessions) LogValue() slog.Value { return slog.StringValue(ss.String()) }

// String keeps the key out of what is printed.
func (k SealingKey) String() string { return "store.SealingKey(secret withheld)" }

// GoString does the same for %#v.
func (k SealingKey) GoString() string { return k.String() }

// LogValue does the same for logs.
func (k SealingKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// String keeps the keys out of what is printed.
func (r *KeyRing) String() string { return "store.KeyRing(keys withheld)" }

// GoString does the same for %#v.
func (r *KeyRing) GoString() string { return r.String() }

// LogValue does the same for logs.
func (r *KeyRing) LogValue() slog.Value { return slog.StringValue(r.String()) }

// String keeps sessions out of what is printed.
func (tx *Tx) String() string { return "store.Tx" }

// GoString does the same for %#v.
func (tx *Tx) GoString() string { return tx.String() }

// LogValue does the same for logs.
func (tx *Tx) LogValue() slog.Value { return slog.StringValue(tx.String()) }

// String keeps sessions out of what is printed.
func (s *wrappedStore) String() string { return "store.Store(ID withheld)" }

// GoString does the same for %#v.
func (s *wrappedStore) GoString() string { return s.String() }

// LogValue does the same for logs.
func (s *wrappedStore) LogValue() slog.Value { return slog.StringValue(s.String()) }
