package store

// A Placer is a [Backend] that keeps sessions in many places and renews those of one place together, for less than those of
// many.
type Placer interface {
	// Places returns a function that says where a session is by a number, of all that a uint32 can be. Sessions of one place
	// have one number. Numbers of places that are near to each other differ little. It is nil where places make no
	// difference. What it says of a session stays the same.
	Places() func(id string) uint32
}

// Places returns what b says as a [Placer], nil where it is none.
func Places(b Backend) func(id string) uint32 {
	if p, ok := b.(Placer); ok {
		return p.Places()
	}
	return nil
}
