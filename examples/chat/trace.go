package main

import "time"

// An op is one operation on the store, for the page to show.
type op struct {
	Name   string `json:"name"`
	Micros int64  `json:"micros"`
	Failed bool   `json:"failed,omitempty"`
}

// A trace collects the operations that one request took.
type trace struct{ ops []op }

// do runs fn and records it under name.
func (t *trace) do(name string, fn func() error) error {
	start := time.Now()
	err := fn()
	t.ops = append(t.ops, op{Name: name, Micros: time.Since(start).Microseconds(), Failed: err != nil})
	return err
}
