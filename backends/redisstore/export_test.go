package redisstore

// Merges reports whether the server of b gets merged scripts by now.
func Merges(b *Backend) bool { return b.merger != nil && b.merger.Ready() }
