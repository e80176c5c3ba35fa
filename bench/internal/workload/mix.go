// Package workload says what is done: which operations on which sessions, keys and values.
package workload

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Kind is a kind of operation.
type Kind uint8

// The kinds of operation. Life is a whole session: create it, write what a handshake brings, read, destroy it.
// Insert is the creation of a session that stays.
const (
	Get Kind = iota
	Set
	Has
	Delete
	Update
	Insert
	Life
	Kinds // the number of kinds
)

var kindNames = [Kinds]string{"get", "set", "has", "delete", "update", "insert", "life"}

func (k Kind) String() string { return kindNames[k] }

// A Choice is how sessions are chosen.
type Choice uint8

// The choices.
const (
	Zipfian Choice = iota // few sessions are popular
	Latest                // the newest sessions are popular
	Uniform
)

// A Workload is a mix of operations.
type Workload struct {
	Name    string
	Percent [Kinds]int // sums up to 100
	Choice  Choice
}

var named = map[string]Workload{
	"a":    {"a", [Kinds]int{Get: 50, Set: 50}, Zipfian},
	"b":    {"b", [Kinds]int{Get: 95, Set: 5}, Zipfian},
	"c":    {"c", [Kinds]int{Get: 100}, Zipfian},
	"d":    {"d", [Kinds]int{Get: 95, Insert: 5}, Latest},
	"f":    {"f", [Kinds]int{Get: 50, Update: 50}, Zipfian},
	"life": {"life", [Kinds]int{Life: 100}, Zipfian},
}

// Named returns the workload called name: a, b, c, d, f or life.
func Named(name string) (Workload, error) {
	w, ok := named[strings.ToLower(name)]
	if !ok {
		return w, fmt.Errorf("unknown workload %q; known are a, b, c, d, f and life", name)
	}
	return w, nil
}

// ParseMix reads a mix such as get=90,set=10.
func ParseMix(text string) (Workload, error) {
	w := Workload{Name: text}
	sum := 0
	for part := range strings.SplitSeq(text, ",") {
		name, number, ok := strings.Cut(strings.TrimSpace(part), "=")
		k := slices.Index(kindNames[:], name)
		if !ok || k < 0 {
			return w, fmt.Errorf("cannot read %q of the mix; write operation=percent with %s", part, strings.Join(kindNames[:], ", "))
		}
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n > 100 {
			return w, fmt.Errorf("%q of the mix is no percentage from 0 to 100", number)
		}
		w.Percent[k] += n
		sum += n
	}
	if sum != 100 {
		return w, fmt.Errorf("the percentages of the mix %q add up to %d, not to 100", text, sum)
	}
	return w, nil
}
