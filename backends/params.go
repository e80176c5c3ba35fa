package backends

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// params reads the parameters of a URL. The first error is kept, so that a caller
// reads all of them and then asks once. No error shows a value.
type params struct {
	names  []string // in the order of the URL, each once
	values map[string][]string
	asked  []string
	err    error
}

func parseParams(query string) (params, error) {
	p := params{values: make(map[string][]string)}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, errName := url.QueryUnescape(name)
		value, errValue := url.QueryUnescape(value)
		if errName != nil || errValue != nil || strings.Contains(pair, ";") {
			return params{}, errors.New("its query is malformed; write it as ?name=value&name=value with % escapes")
		}
		if _, again := p.values[name]; !again {
			p.names = append(p.names, name)
		}
		p.values[name] = append(p.values[name], value)
	}
	return p, nil
}

func (p *params) has(name string) bool { return len(p.values[name]) > 0 }

// text returns the parameter name, or "" when it is not given.
func (p *params) text(name string) string {
	p.asked = append(p.asked, name)
	v, ok := p.values[name]
	switch {
	case !ok:
		return ""
	case len(v) > 1:
		p.fail("parameter %s is given %d times; give it once", name, len(v))
	case v[0] == "":
		p.fail("parameter %s is empty; leave it out for its default", name)
	}
	return v[0]
}

func (p *params) number(name string, fallback, low, high int) int {
	v := p.text(name)
	if v == "" {
		return fallback
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		p.fail("parameter %s must be a whole number from %d to %d", name, low, high)
	}
	return n
}

func (p *params) duration(name string) time.Duration {
	v := p.text(name)
	if v == "" {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		p.fail("parameter %s must be a positive duration such as 500ms or 2s", name)
	}
	return d
}

func (p *params) flag(name string, fallback bool) bool {
	switch p.text(name) {
	case "":
		return fallback
	case "on", "true", "1":
		return true
	case "off", "false", "0":
		return false
	}
	p.fail("parameter %s must be on or off", name)
	return fallback
}

func (p *params) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// done returns the first error, or one about a parameter nobody asked for. That
// is named only if it is like one of the known: it may be a piece of a password
// with an & in it.
func (p *params) done() error {
	if p.err != nil {
		return p.err
	}
	slices.Sort(p.asked)
	p.asked = slices.Compact(p.asked)
	for i, name := range p.names {
		if slices.Contains(p.asked, name) {
			continue
		}
		if near := nearest(name, p.asked); near != "" {
			return fmt.Errorf("unknown parameter %q; did you mean %s?", name, near)
		}
		return fmt.Errorf("unknown parameter, number %d of the URL (not shown, for it may be a piece of a password with an &, which is written %%26); this scheme takes %s", i+1, strings.Join(p.asked, ", "))
	}
	return nil
}
