package main

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sessionkv/store/examples/internal/browser"
	"github.com/sessionkv/store/internal/await"
)

// disabled holds when each control that needs the connection is disabled, and
// Sign out is not.
const disabled = `["#nickname", "#nickname-form button", "#join", "#join-form button", ".room button", ".room .leave", "#say", "#say-form button", "#drop"]
	.every(q => [...document.querySelectorAll(q)].length > 0 && [...document.querySelectorAll(q)].every(e => e.disabled))
	&& [...document.querySelectorAll("#sessions button")].every(e => e.disabled) && !document.getElementById("bye").disabled`

func TestBrowserOffline(t *testing.T) {
	ctx := browser.New(t)
	n, _ := startNode(t)
	browser.Do(t, ctx, "sign in", chromedp.Navigate(n.url), signIn("Ann"), browser.TextIs("total", "1"), browser.Holds("!("+disabled+")"))

	browser.Do(t, ctx, "write, and drop before sending",
		chromedp.SetValue("#say", "half a thought", chromedp.ByQuery),
		chromedp.Click("#drop", chromedp.ByQuery),
		browser.TextIs("status", "offline"),
		browser.Holds(disabled),
	)
	browser.Do(t, ctx, "send without a connection",
		chromedp.Evaluate(`document.getElementById("say-form").requestSubmit()`, nil),
		browser.Holds(`document.getElementById("say").value === "half a thought"`),
	)
	browser.Do(t, ctx, "see the own session wait",
		browser.Holds(`document.querySelector("tr.own") === null`),
		browser.TextHas("sessions", "waits for this page"),
		browser.TextHas("as-of", "as it was at"),
		browser.TextIs("me-state", "waits"),
		browser.TextIs("total", "0"),
	)
	browser.Screenshot(t, ctx, "6-offline")
	browser.Do(t, ctx, "connect and send",
		chromedp.Click("#banner-action", chromedp.ByQuery),
		browser.TextIs("status", "online"),
		browser.TextIs("me-state", ""),
		browser.Holds(`document.querySelector("tr.own") !== null`),
		chromedp.Click("#send", chromedp.ByQuery),
		browser.TextHas("log", "half a thought"),
		browser.Holds(`document.getElementById("say").value === ""`),
	)

	// A message that went into a connection which was dead already.
	browser.Do(t, ctx, "send into a dead connection",
		chromedp.Evaluate(`socket.send = () => {}`, nil),
		chromedp.SetValue("#say", "lost words", chromedp.ByQuery),
		chromedp.Click("#send", chromedp.ByQuery),
		browser.Holds(`document.getElementById("say").value === ""`),
		chromedp.Click("#drop", chromedp.ByQuery),
		browser.Holds(`document.getElementById("say").value === "lost words"`),
	)

	browser.Do(t, ctx, "sign out without a connection",
		chromedp.Click("#bye", chromedp.ByQuery),
		chromedp.WaitVisible("#sign-in[open]", chromedp.ByQuery),
	)
	await.Until(t, "the session is destroyed", func() bool { m := n.sessions(); return m.Total == 0 && len(m.Suspended) == 0 })
}

func TestBrowserKickedAndServerGone(t *testing.T) {
	ctx := browser.New(t)
	n, stop := startNode(t)
	var own string
	browser.Do(t, ctx, "sign in", chromedp.Navigate(n.url), signIn("Ann"), browser.TextIs("total", "1"), chromedp.Text("#me-hash", &own, chromedp.ByQuery))
	if code, body := n.call("POST", "/api/kick", fmt.Sprintf(`{"hash":%q}`, own)); code != 200 {
		t.Fatalf("POST /api/kick = %d %s, want 200", code, body)
	}
	browser.Do(t, ctx, "see that the own session has ended",
		browser.TextHas("banner-text", "an administrator ended this session"),
		browser.Holds(disabled),
		browser.TextIs("me-state", "ended"),
		browser.TextIs("total", "0"),
		browser.Holds(`document.getElementById("sessions").rows.length === 0`),
	)
	browser.Do(t, ctx, "begin anew", chromedp.Click("#banner-action", chromedp.ByQuery), browser.TextIs("status", "online"), browser.TextIs("total", "1"))

	if err := stop(); err != nil {
		t.Errorf("run = %v, want nil", err)
	}
	browser.Do(t, ctx, "sign out while no server answers",
		browser.Holds(disabled),
		chromedp.Click("#bye", chromedp.ByQuery),
		browser.TextHas("sign-in-error", "does not answer"),
		browser.Holds(`sessionStorage.length === 0`),
	)
}

// TestBrowserSignOutIsForOwners has a stranger name a session in the request that
// signs out without a connection.
func TestBrowserSignOutIsForOwners(t *testing.T) {
	n, _ := startNode(t)
	ann := n.connect(t, dialer{user: "ann"})
	body := fmt.Sprintf(`{"session":%q}`, ann.welcome.Session)
	if code, text := n.callAs(token(t, "eve"), "POST", "/api/bye", body); code != 403 {
		t.Errorf("POST /api/bye by a stranger = %d %s, want 403", code, text)
	}
	if code, text := n.callAs(token(t, "ann"), "POST", "/api/bye", body); code != 200 {
		t.Errorf("POST /api/bye by its user = %d %s, want 200", code, text)
	}
	if code, text := n.callAs(token(t, "ann"), "POST", "/api/bye", body); code != 404 {
		t.Errorf("POST /api/bye of an ended session = %d %s, want 404", code, text)
	}
}

func TestBrowserWidths(t *testing.T) {
	ctx := browser.New(t)
	n, _ := startNode(t)
	for _, name := range []string{"bob", "carol-with-a-name-as-long-as-it-"} {
		n.connect(t, dialer{user: name, header: map[string][]string{"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0"}}})
	}
	n.connect(t, dialer{user: "dan"}).conn.CloseNow()
	browser.Do(t, ctx, "sign in", chromedp.Navigate(n.url), signIn("Ann"), browser.TextIs("total", "3"), browser.TextHas("sessions", "suspended until"))
	for _, size := range []struct{ width, height int64 }{{1280, 800}, {1100, 700}, {800, 700}, {390, 844}} {
		browser.Do(t, ctx, fmt.Sprintf("see rows of one line at %d px, none cut off at the edge", size.width),
			chromedp.EmulateViewport(size.width, size.height),
			chromedp.ScrollIntoView("#live", chromedp.ByQuery),
			browser.Holds(fmt.Sprintf(`document.documentElement.scrollWidth <= %d`, size.width)),
			browser.Holds(`document.querySelectorAll("#sessions tr").length === 4`),
			browser.Holds(`[...document.querySelectorAll("#sessions tr")].every(r => r.getBoundingClientRect().height <= 44)`),
			browser.Holds(`(() => {
				const edge = document.getElementById("live").getBoundingClientRect().right;
				return [...document.querySelectorAll("#sessions td, #sessions button")].every(e => e.getBoundingClientRect().right < edge);
			})()`),
			browser.Holds(`[...document.querySelectorAll("#sessions button")].length === 3 && [...document.querySelectorAll("#sessions button")].every(e => e.getBoundingClientRect().width >= 30 && e.scrollWidth <= e.clientWidth + 1)`),
		)
		browser.Screenshot(t, ctx, fmt.Sprintf("7-at-%d", size.width))
	}
	browser.Do(t, ctx, "kick from a phone", clickInRow("bob"), browser.TextIs("total", "2"))
}
