package store

import "context"

type contextKey struct{}

// NewContext returns a context that carries s to handlers further down.
func NewContext(ctx context.Context, s *Session) context.Context {
	return context.WithValue(ctx, contextKey{}, s)
}

// FromContext returns the session that ctx carries, and false when it carries none.
func FromContext(ctx context.Context) (*Session, bool) {
	s, _ := ctx.Value(contextKey{}).(*Session)
	return s, s != nil
}
