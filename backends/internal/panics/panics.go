// Package panics keeps panics of go-redis from ending the program.
package panics

import "errors"

// Err is the outcome of a command whose reply made go-redis panic, as an absurd length
// does.
var Err = errors.New("the client library panicked, as it does on replies that break the protocol")

// Guard returns what f does, or Err when f panics.
func Guard(f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = Err
		}
	}()
	return f()
}
