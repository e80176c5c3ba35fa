package main

import (
	"context"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/sessionkv/store/examples/internal/browser"
	"github.com/sessionkv/store/internal/testserver"
)

// A balancer sends requests to one node until it is told another.
type balancer struct {
	*httptest.Server
	node atomic.Pointer[url.URL]
}

func newBalancer(t *testing.T) *balancer {
	b := new(balancer)
	b.Server = httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(b.node.Load())
		r.Out.Host = r.In.Host // or the nodes take the page for one from elsewhere
	}})
	t.Cleanup(b.CloseClientConnections)
	return b
}

func (b *balancer) to(t *testing.T, p *process) {
	t.Helper()
	u, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	b.node.Store(u)
}

// TestBrowserTwoNodes has one page go on at another node after it lost its
// connection, and after its node was killed. The pictures of the README are from
// here: CHAT_PICTURES=../../docs/images go test -run TwoNodes ./chat
func TestBrowserTwoNodes(t *testing.T) {
	ctx := browser.New(t)
	store := namespaced(testserver.Redis(t).URL)
	a := startProcess(t, "-node", "A", "-store", store)
	b := startProcess(t, "-node", "B", "-store", store)
	front := newBalancer(t)
	front.to(t, a)

	bob := b.connect(t, dialer{user: "bob"})
	browser.Do(t, ctx, "sign in at A", chromedp.EmulateViewport(1100, 600), chromedp.Navigate(front.URL+"/?room=go"), signIn("Ann"), browser.TextIs("node", "A"))
	browser.Do(t, ctx, "say something", chromedp.SendKeys("#say", "hello from A\r", chromedp.ByQuery), browser.TextIs("me-messages", "1"), browser.TextHas("log", "hello from A"))
	browser.Do(t, ctx, "lose the connection", chromedp.Click("#drop", chromedp.ByQuery), browser.TextHas("banner-text", "is kept for"))
	picture(t, ctx, "1-drop")

	front.to(t, b)
	browser.Do(t, ctx, "go on at B", chromedp.Click("#banner-action", chromedp.ByQuery), browser.TextIs("node", "B"), browser.TextIs("status", "online"),
		browser.TextIs("me-connects", "2"), browser.TextIs("me-messages", "1"), browser.TextIs("total", "2"),
		chromedp.SendKeys("#say", "and from B\r", chromedp.ByQuery), browser.TextIs("me-messages", "2"), browser.TextHas("log", "and from B"))
	picture(t, ctx, "2-resume")

	front.to(t, a)
	b.end(syscall.SIGKILL)
	browser.Do(t, ctx, "go on at A, within the lease", browser.TextIs("node", "A"), browser.TextIs("status", "online"), browser.TextIs("me-connects", "3"), browser.TextIs("me-messages", "2"), browser.TextIs("total", "1"),
		chromedp.SendKeys("#say", "B was killed\r", chromedp.ByQuery), browser.TextIs("me-messages", "3"), browser.TextHas("log", "B was killed"))
	picture(t, ctx, "3-kill")

	if _, ok := a.session(bob.welcome.Session); !ok {
		t.Error("the session of another client ended with its node, want it to live for its lease")
	}
}

// picture writes a picture of the page to the directory that CHAT_PICTURES names.
func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("CHAT_PICTURES")
	if dir == "" {
		return
	}
	browser.Do(t, ctx, "take a picture", chromedp.ActionFunc(func(ctx context.Context) error {
		webp, err := page.CaptureScreenshot().WithFormat(page.CaptureScreenshotFormatWebp).WithQuality(80).Do(ctx)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name+".webp"), webp, 0o644)
	}))
}
