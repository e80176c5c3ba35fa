package main

import (
	"context"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sessionkv/store/examples/internal/browser"
	"github.com/sessionkv/store/internal/sioclient"
)

func signIn(user string) chromedp.Tasks {
	return chromedp.Tasks{
		chromedp.WaitVisible("#sign-in #user", chromedp.ByQuery),
		chromedp.SetValue("#user", user, chromedp.ByQuery),
		chromedp.Click("#sign-in button", chromedp.ByQuery),
		browser.TextIs("status", "online"),
	}
}

func put(thing string) chromedp.Tasks {
	return chromedp.Tasks{
		chromedp.SendKeys("#thing", thing+"\r", chromedp.ByQuery),
		browser.TextHas("basket", thing),
		browser.Holds(`document.getElementById("thing").value === ""`),
	}
}

// isAt waits until the page goes on at n, with that many connections and things.
func isAt(n *node, connects, count string) chromedp.Tasks {
	return chromedp.Tasks{
		browser.TextIs("node", strings.TrimPrefix(n.url, "http://")),
		browser.TextIs("status", "online"),
		browser.TextIs("connects", connects),
		browser.TextIs("count", count),
	}
}

// look takes pictures of the page on a desktop and on a phone, on which nothing may
// stick out to the right.
func look(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"390", 390, 844}, {"1280", 1280, 800}} {
		browser.Do(t, ctx, "fit "+size.name, chromedp.EmulateViewport(size.width, size.height),
			browser.Holds("document.documentElement.scrollWidth <= innerWidth"))
		browser.Screenshot(t, ctx, "socketio-"+name+"-"+size.name)
	}
}

// One page goes on at the other node after its connection was lost, after its node
// was killed, and after its node was drained, with all that it had.
func TestBrowserTwoNodes(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			ctx := browser.New(t)
			b := newBackend(t)
			nodes := startNodes(t, 3, b.url)
			one, two, three := nodes[0], nodes[1], nodes[2]

			browser.Do(t, ctx, "open the page", chromedp.Navigate(one.url+"/?transport="+transport), chromedp.WaitVisible("#sign-in", chromedp.ByQuery))
			look(t, ctx, "1-sign-in-"+transport)
			browser.Do(t, ctx, "sign in", signIn("Ann"), isAt(one, "1", "0"), browser.TextIs("me", "Ann"), browser.TextIs("transport", transport))
			browser.Do(t, ctx, "put tea in", put("tea"))
			browser.Do(t, ctx, "lose the connection", chromedp.Click("#lose", chromedp.ByQuery), isAt(two, "2", "1"), put("<b>milk</b>"))

			two.end(syscall.SIGKILL)
			browser.Do(t, ctx, "go on when the node was killed", isAt(three, "3", "2"), put("sugar"), browser.TextHas("log", "Connection lost"))
			look(t, ctx, "2-killed-"+transport)

			three.end(syscall.SIGTERM)
			browser.Do(t, ctx, "go on when the node was drained", isAt(one, "4", "3"), put("a cup"))
			browser.Do(t, ctx, "reload", chromedp.Reload(), isAt(one, "5", "4"), browser.TextHas("log", "goes on"))

			one.end(syscall.SIGKILL)
			browser.Do(t, ctx, "be offline when all nodes are gone", browser.TextHas("status", "offline"),
				browser.Holds(`[...document.querySelectorAll("[data-online]")].every(e => e.disabled)`))
			look(t, ctx, "3-offline-"+transport)
			if n := b.count(t); n != 1 {
				t.Errorf("the server holds %d sessions, want 1 through it all", n)
			}
		})
	}
}

// Two pages of one user, on two nodes, are signed out by one of them. Somebody else is not.
func TestBrowserLeaveEverywhere(t *testing.T) {
	b := newBackend(t)
	nodes := startNodes(t, 2, b.url, "-grace", "1h")
	ctx := browser.New(t)
	browser.Do(t, ctx, "sign in", chromedp.Navigate(nodes[0].url+"/?transport=websocket"), signIn("Ann"), put("tea"))
	elsewhere := browser.New(t)
	browser.Do(t, elsewhere, "sign in elsewhere", chromedp.Navigate(nodes[1].url+"/?transport=websocket"), signIn("Ann"), put("milk"))
	gone, _, _ := nodes[1].connected(t, sioclient.Shared(t), "websocket", as("Ann"))
	gone.Do("drop", nil) // its session waits for an hour
	bob, id, _ := nodes[1].connected(t, sioclient.Shared(t), "websocket", as("Bob"))
	b.await(t, 4)

	browser.Do(t, ctx, "leave everywhere", chromedp.Click("#leave-everywhere", chromedp.ByQuery),
		chromedp.WaitVisible("#sign-in", chromedp.ByQuery), browser.TextIs("refused", "Your session has ended."))
	browser.Do(t, elsewhere, "hear of it elsewhere",
		chromedp.WaitVisible("#sign-in", chromedp.ByQuery), browser.TextIs("refused", "Your session has ended."))
	b.await(t, 1)
	if got, _ := bob.Ask("add", "tea").([]any); len(got) != 1 || id == "" {
		t.Errorf("add of another user = %v, want a basket with tea", got)
	}
	browser.Do(t, ctx, "come back to an empty basket", signIn("Ann"), isAt(nodes[0], "1", "0"))
}

// The page begins with polling and goes over to a WebSocket, as the library does by
// default; whoever leaves finds nothing when they come back.
func TestBrowserLeave(t *testing.T) {
	if len(transports) == 1 {
		t.Skip("without polling")
	}
	ctx := browser.New(t)
	b := newBackend(t)
	n := startNodes(t, 1, b.url, "-grace", "1h")[0]
	browser.Do(t, ctx, "sign in", chromedp.Navigate(n.url), signIn("Ann"), isAt(n, "1", "0"), browser.TextIs("transport", "websocket"), put("tea"))
	browser.Do(t, ctx, "leave", chromedp.Click("#leave", chromedp.ByQuery), chromedp.WaitVisible("#sign-in", chromedp.ByQuery))
	b.await(t, 0)
	browser.Do(t, ctx, "come back", signIn("Ann"), isAt(n, "1", "0"))
}

func TestBrowserBadToken(t *testing.T) {
	ctx := browser.New(t)
	b := newBackend(t)
	n := startNodes(t, 1, b.url)[0]
	browser.Do(t, ctx, "come with a bad token",
		chromedp.Navigate(n.url),
		chromedp.WaitVisible("#sign-in", chromedp.ByQuery),
		chromedp.Evaluate(`sessionStorage.setItem("me", JSON.stringify({ token: "QW5u.bad" }))`, nil),
		chromedp.Navigate(n.url+"/?transport=websocket"),
		browser.TextIs("refused", "sign in again"),
	)
	b.await(t, 0)
	browser.Do(t, ctx, "sign in again", signIn("Ann"), isAt(n, "1", "0"), browser.TextIs("refused", ""))
}

// A browser that is killed leaves its session for the grace, and then nothing.
func TestBrowserKilled(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			ctx := browser.New(t)
			b := newBackend(t)
			n := startNodes(t, 1, b.url, "-grace", "2s")[0]
			browser.Do(t, ctx, "sign in", chromedp.Navigate(n.url+"/?transport="+transport), signIn("Ann"), put("tea"))
			b.await(t, 1)
			if err := chromedp.FromContext(ctx).Browser.Process().Kill(); err != nil {
				t.Fatal(err)
			}
			b.await(t, 0)
		})
	}
}

// A session that ends elsewhere ends on the page.
func TestBrowserTakenOver(t *testing.T) {
	ctx := browser.New(t)
	n := startNode(t, "-addr", "127.0.0.1:0")
	browser.Do(t, ctx, "sign in", chromedp.Navigate(n.url+"/?transport=websocket"), signIn("Ann"), put("tea"))
	var me struct{ Session string }
	browser.Do(t, ctx, "read the ID", chromedp.Evaluate(`JSON.parse(sessionStorage.getItem("me"))`, &me))
	_, id, visit := n.connected(t, sioclient.Shared(t), "websocket", again("Ann", me.Session))
	if id != me.Session || visit["connects"] != 2.0 {
		t.Errorf("hello = %v (same session: %t), want the page's session", visit, id == me.Session)
	}
	browser.Do(t, ctx, "hear of it", browser.TextIs("refused", "Your session has ended."))
}
