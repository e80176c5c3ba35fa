package backends

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// An address is a parsed store URL. net/url is not used for the whole of it. It takes one host
// only, and its errors repeat the URL with the password in it.
type address struct {
	scheme   string
	user     string
	password string
	hosts    []string // as written
	path     string   // without the leading slash
	params   params
	connect  time.Duration // connect_timeout, or its default
	trouble  func() error  // why nobody has answered so far, nil where that is not known; may be nil
}

// errMisplaced is for a password whose special characters cut the URL in the wrong place. Its end
// would be taken for parameters, a path or a host.
var errMisplaced = errors.New("it has an @ behind the host; write %40 for an @ in a path or parameter, and in a user name or password %2F for /, %3F for ?, %23 for # and %40 for @")

// parse splits a store URL. No error repeats a part of the URL that may hold a secret. Any part may
// that is not one of the names of this package.
func parse(raw string) (*address, error) {
	scheme, rest, colon := strings.Cut(raw, ":")
	scheme = strings.ToLower(scheme)
	_, known := openers[scheme]
	if !colon || !isScheme(scheme) || !known && !strings.HasPrefix(rest, "//") || known && isPort(rest) {
		return nil, errNoScheme(raw)
	}
	if !known {
		return nil, errUnknownScheme(scheme)
	}
	a := &address{scheme: scheme}
	if strings.Contains(rest, "#") {
		return nil, errors.New("it contains a #; write %23 for one in a user name, password or parameter")
	}
	rest, query, _ := strings.Cut(rest, "?")
	if strings.Contains(query, "@") {
		return nil, errMisplaced
	}
	var err error
	if a.params, err = parseParams(query); err != nil {
		return nil, err
	}
	rest, slashes := strings.CutPrefix(rest, "//")
	authority, path := "", ""
	unix := strings.HasSuffix(scheme, "+unix")
	switch {
	case slashes:
		authority, path, _ = strings.Cut(rest, "/")
	case unix && strings.HasPrefix(rest, "/"):
		path = rest[1:]
	case scheme == "memory" && rest != "":
		return nil, errMemory
	case rest != "":
		return nil, fmt.Errorf("two slashes are missing after the scheme, as in %s://host", scheme)
	}
	if strings.Contains(path, "@") {
		return nil, errMisplaced
	}
	if strings.Contains(path, "/") && !unix && scheme != "memory" {
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

func isScheme(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '+')
	}) < 0
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// errNoScheme says what is missing. It repeats what was given only where that is
// the address of this machine or a number, and so no secret.
func errNoScheme(raw string) error {
	host, port, err := net.SplitHostPort(raw)
	if err != nil || !isPort(port) {
		return errors.New("it has no scheme; write for example memory: or redis://host:6379")
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "localhost" {
		return fmt.Errorf("it has no scheme; if it is the address of a server, did you mean %s?", likely("host", port))
	}
	return fmt.Errorf("it has no scheme; did you mean %s?", likely(host, port))
}

// likely guesses the URL of a server by its port.
func likely(host, port string) string {
	hostPort := net.JoinHostPort(host, port)
	switch port {
	case sentinelPort:
		return "redis+sentinel://" + hostPort + "/name-of-the-primary"
	case hazelcastPort:
		return "hazelcast://" + hostPort
	}
	return "redis://" + hostPort
}

// errUnknownScheme names the scheme only if it is like a known one: what precedes the first colon
// may be the beginning of a password.
func errUnknownScheme(scheme string) error {
	if near := nearest(scheme, schemes()); near != "" {
		return fmt.Errorf("unknown scheme %q; did you mean %s:?", scheme, near)
	}
	return fmt.Errorf("unknown scheme; known are %s", strings.Join(schemes(), ", "))
}

// withPort checks the hosts and gives those without a port the default one.
func (a *address) withPort(port string) ([]string, error) {
	if len(a.hosts) == 0 {
		return nil, fmt.Errorf("it has no host; write for example %s://localhost:%s", a.scheme, port)
	}
	hosts := make([]string, len(a.hosts))
	for i, h := range a.hosts {
		host, p, err := splitHost(h, port)
		if err != nil {
			return nil, fmt.Errorf("host number %d %w", i+1, err)
		}
		hosts[i] = net.JoinHostPort(host, p)
	}
	return hosts, nil
}

// splitHost splits host:port, where the port may be missing.
func splitHost(h, defaultPort string) (host, port string, err error) {
	if inner, bracket := strings.CutPrefix(h, "["); bracket {
		host, rest, closed := strings.Cut(inner, "]")
		ip, err := netip.ParseAddr(host)
		if !closed || err != nil || !ip.Is6() || rest != "" && rest[0] != ':' {
			return "", "", errors.New("is malformed; an IPv6 address is written [::1] or [::1]:6379")
		}
		h = "-" + rest // any host, so that the port is left
		if _, port, err = splitHost(h, defaultPort); err != nil {
			return "", "", err
		}
		return host, port, nil
	}
	host, port, colon := strings.Cut(h, ":")
	switch {
	case !colon:
		port = defaultPort
	case strings.Contains(port, ":"):
		return "", "", errors.New("is malformed; write host:port, and IPv6 addresses in brackets")
	}
	if host == "" {
		return "", "", errors.New("is empty")
	}
	if strings.IndexFunc(host, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._", r)
	}) >= 0 {
		return "", "", errors.New("has a character that no host has; is a special character of the password not written as a % escape?")
	}
	if !isPort(port) {
		return "", "", errors.New("has a malformed port; it is a number from 1 to 65535")
	}
	return host, port, nil
}

// nearest returns the one of names that was probably meant, or "".
func nearest(given string, names []string) string {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "", "+", "").Replace(s))
	}
	if len(given) < 3 || len(given) > 40 {
		return ""
	}
	best, least := "", 40
	for _, name := range names {
		distance, most := edits(plain(given), plain(name)), min(len(plain(name))/4, 2)
		if len(given) >= 4 && strings.HasPrefix(plain(name), plain(given)) {
			distance = min(distance, most)
		}
		if distance <= most && distance < least {
			best, least = name, distance
		}
	}
	return best
}

// edits is the number of characters to insert, delete or replace between a and b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
