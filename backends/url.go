package backends

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An address is a parsed store URL. net/url is not used for the whole of it: it
// takes one host only, and its errors repeat the URL with the password in it.
type address struct {
	scheme   string
	user     string
	password string
	hosts    []string // host:port, at least one unless the scheme needs none
	path     string   // without the leading slash
	params   params
	connect  time.Duration // connect_timeout, or its default
}

// parse splits a store URL. No error repeats a part of the URL that may hold a
// secret.
func parse(raw string) (*address, error) {
	scheme, rest, ok := strings.Cut(raw, ":")
	if !ok || scheme == "" {
		return nil, errors.New("it has no scheme; write for example memory: or redis://host:6379")
	}
	if i := strings.IndexFunc(scheme, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+')
	}); i >= 0 {
		return nil, errors.New("it has no scheme; write for example memory: or redis://host:6379")
	}
	a := &address{scheme: strings.ToLower(scheme)}
	rest, query, _ := strings.Cut(rest, "?")
	if strings.Contains(rest, "#") || strings.Contains(query, "#") {
		return nil, errors.New("it contains a #; write %23 for one in a user name, password or parameter")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("its query is malformed; write it as ?name=value&name=value with % escapes")
	}
	a.params = params{values: values}

	rest, slashes := strings.CutPrefix(rest, "//")
	if !slashes {
		if rest != "" {
			return nil, fmt.Errorf("two slashes are missing after the scheme, as in %s://host", a.scheme)
		}
		return a, nil
	}
	authority, path, _ := strings.Cut(rest, "/")
	if strings.Contains(path, "/") {
		return nil, errors.New("its path has a second slash; write %2F for one in a name, and none at the end")
	}
	if a.path, err = url.PathUnescape(path); err != nil {
		return nil, errors.New("its path has a malformed % escape")
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, password, _ := strings.Cut(authority[:i], ":")
		if a.user, err = url.PathUnescape(user); err != nil {
			return nil, errors.New("its user name has a malformed % escape")
		}
		if a.password, err = url.PathUnescape(password); err != nil {
			return nil, errors.New("its password has a malformed % escape")
		}
		authority = authority[i+1:]
	}
	if authority != "" {
		a.hosts = strings.Split(authority, ",")
	}
	return a, nil
}

// withPort checks the hosts and gives those without a port the default one.
func (a *address) withPort(port string) ([]string, error) {
	if len(a.hosts) == 0 {
		return nil, fmt.Errorf("it has no host; write for example %s://localhost:%s", a.scheme, port)
	}
	hosts := make([]string, len(a.hosts))
	for i, h := range a.hosts {
		host, p, err := net.SplitHostPort(h)
		if err != nil {
			// No port, or an IPv6 address in brackets without one.
			bare, opened := strings.CutPrefix(h, "[")
			bare, closed := strings.CutSuffix(bare, "]")
			if strings.Contains(h, ":") && !opened || opened != closed || strings.ContainsAny(bare, "[]") {
				return nil, fmt.Errorf("host number %d is malformed; write host:port, and IPv6 addresses in brackets", i+1)
			}
			host, p = bare, port
		}
		if host == "" {
			return nil, fmt.Errorf("host number %d is empty", i+1)
		}
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("host number %d has a malformed port; it is a number from 1 to 65535", i+1)
		}
		hosts[i] = net.JoinHostPort(host, p)
	}
	return hosts, nil
}

// params reads the query. The first error is kept, so that a caller reads all
// parameters and then asks once.
type params struct {
	values url.Values
	asked  []string
	err    error
}

// text returns the parameter name, or fallback when it is not given.
func (p *params) text(name, fallback string) string {
	p.asked = append(p.asked, name)
	v, ok := p.values[name]
	switch {
	case !ok:
		return fallback
	case len(v) > 1:
		p.fail("parameter %s is given %d times; give it once", name, len(v))
	case v[0] == "":
		p.fail("parameter %s is empty; leave it out for its default", name)
	}
	return v[0]
}

func (p *params) number(name string, fallback, low, high int) int {
	v := p.text(name, "")
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
	v := p.text(name, "")
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
	switch p.text(name, "") {
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

// done returns the first error, or one that names a parameter nobody asked for.
func (p *params) done() error {
	if p.err != nil {
		return p.err
	}
	var unknown []string
	for name := range p.values {
		if !slices.Contains(p.asked, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		slices.Sort(p.asked)
		return fmt.Errorf("unknown parameter %q; this scheme takes %s", unknown[0], strings.Join(p.asked, ", "))
	}
	return nil
}
