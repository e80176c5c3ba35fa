package delay

import (
	"time"

	"github.com/sessionkv/store/bench/internal/address"
)

// A Pool has a proxy for each Redis server that is asked for.
type Pool struct {
	delay   time.Duration
	proxies map[string]*process
}

// NewPool returns a pool; with a delay of zero it makes no proxies.
func NewPool(delay time.Duration) *Pool { return &Pool{delay, map[string]*process{}} }

// URL returns url with the address of a proxy in it.
func (p *Pool) URL(url string) (string, error) {
	if p.delay == 0 || !address.Single(url) {
		return url, nil
	}
	host := address.Host(url)
	if p.proxies[host] == nil {
		proxy, err := start(host, p.delay)
		if err != nil {
			return "", err
		}
		p.proxies[host] = proxy
	}
	return address.WithHost(url, p.proxies[host].addr), nil
}

// Close ends the proxies.
func (p *Pool) Close() error {
	for _, proxy := range p.proxies {
		proxy.close()
	}
	return nil
}
