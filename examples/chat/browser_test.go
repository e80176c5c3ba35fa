package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browserPath returns the browser to drive. Where there is none, the test is
// skipped, or fails where the environment variable CI is set.
func browserPath(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "no Chromium or Chrome on PATH: install one, e.g. apt-get install chromium"
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// newTab opens a tab of a fresh headless browser.
func newTab(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(browserPath(t)),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(1280, 800),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
	)
	// Not t.Context: that ends before the cleanups, and the browser with it.
	alloc, cancelAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithErrorf(func(string, ...any) {
		// chromedp reports events here that it does not know yet.
	}))
	t.Cleanup(func() {
		chromedp.Cancel(ctx) // waits until the browser has let go of its files
		cancel()
		cancelAlloc()
	})
	// The browser lives as long as the context of the first Run.
	if err := chromedp.Run(ctx); err != nil {
		t.Fatalf("starting the browser: %v", err)
	}
	return ctx
}

// do runs actions and fails the test with a picture of the page when one fails.
func do(t *testing.T, ctx context.Context, what string, actions ...chromedp.Action) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := chromedp.Run(limited, actions...); err != nil {
		t.Fatalf("%s: %v; the page: %s", what, err, screenshot(t, ctx, "failed"))
	}
}

// clickInRow clicks the button in the row of the table with that name. The page
// may draw the table anew at any moment, so that it is found and clicked in one step.
func clickInRow(name string) chromedp.Action {
	return holds(fmt.Sprintf(`(() => {
		const row = [...document.querySelectorAll("tr")].find(tr => [...tr.cells].some(td => td.textContent === %q));
		row?.querySelector("button")?.click();
		return row !== undefined;
	})()`, name))
}

// holds waits until the JavaScript expression is true.
func holds(expression string) chromedp.Action {
	return chromedp.Poll("Boolean("+expression+")", nil, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(0))
}

// textIs waits until an element shows exactly text.
func textIs(id, text string) chromedp.Action {
	return holds(fmt.Sprintf("document.getElementById(%q)?.textContent === %q", id, text))
}

// textHas waits until an element shows text among others.
func textHas(id, text string) chromedp.Action {
	return holds(fmt.Sprintf("document.getElementById(%q)?.textContent.includes(%q)", id, text))
}

// screenshot writes a picture of the page and returns its path. It lies in the
// test's temporary directory, or in the one that CHAT_SCREENSHOTS names.
func screenshot(t *testing.T, ctx context.Context, name string) string {
	t.Helper()
	var png []byte
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := chromedp.Run(limited, chromedp.CaptureScreenshot(&png)); err != nil {
		return "no picture: " + err.Error()
	}
	dir := os.Getenv("CHAT_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	path := filepath.Join(dir, name+".png")
	if err := os.WriteFile(path, png, 0o644); err != nil {
		return "no picture: " + err.Error()
	}
	return path
}

func signIn(user string) chromedp.Tasks {
	return chromedp.Tasks{
		chromedp.WaitVisible("#sign-in[open] #user", chromedp.ByQuery),
		chromedp.SetValue("#user", user, chromedp.ByQuery),
		chromedp.Click("#sign-in-button", chromedp.ByQuery),
		textIs("status", "online"),
	}
}

func TestBrowser(t *testing.T) {
	ctx := newTab(t)
	n, stop := startNode(t, "-node", "n1")

	do(t, ctx, "open the page", chromedp.Navigate(n.url), chromedp.WaitVisible("#sign-in[open]", chromedp.ByQuery))
	screenshot(t, ctx, "1-sign-in")
	do(t, ctx, "sign in", signIn("Ann"), textIs("me-user", "Ann"), textIs("me-connects", "1"), textIs("node", "n1"))

	// Somebody else is there as well, over a plain WebSocket.
	bob := n.connect(t, dialer{user: "bob", header: map[string][]string{"User-Agent": {"plain client"}}})
	do(t, ctx, "see bob in the table", textIs("total", "2"), textHas("sessions", "bob"))

	do(t, ctx, "change the nickname",
		chromedp.SetValue("#nickname", "Annie", chromedp.ByQuery),
		chromedp.Click("#nickname-form button", chromedp.ByQuery),
		textHas("sessions", "Annie"),
	)
	do(t, ctx, "join a room",
		chromedp.SendKeys("#join", "go\r", chromedp.ByQuery),
		textHas("rooms", "go"),
		textHas("sessions", "lobby, go"),
		holds(`document.querySelector(".room.active")?.textContent.startsWith("go")`),
	)
	do(t, ctx, "go back to the lobby", chromedp.Click(`//nav//button[text()="lobby"]`, chromedp.BySearch))
	do(t, ctx, "say something",
		chromedp.SendKeys("#say", "hello <b>world</b>\r", chromedp.ByQuery),
		textHas("log", "hello <b>world</b>"), // as text, not as HTML
		textIs("me-messages", "1"),
		holds(`document.querySelector("tr.own td:nth-child(5)")?.textContent === "1"`),
		textHas("ops", "Messages.Update"),
	)
	await1(bob, "said", func(m said) bool { return m.From == "Annie" && m.Text == "hello <b>world</b>" })
	bob.ask(`{"type":"say","room":"lobby","text":"hi Annie"}`)
	do(t, ctx, "hear bob", textHas("log", "hi Annie"))

	// What another node does through Attach shows without a reload.
	code, body := n.call("POST", "/api/session", fmt.Sprintf(`{"session":%q,"nickname":"Bobby"}`, bob.welcome.Session))
	if code != 200 {
		t.Fatalf("POST /api/session = %d %s, want 200", code, body)
	}
	do(t, ctx, "see bob's new nickname", textHas("sessions", "Bobby"))
	n.connect(t, dialer{user: "carol"}).conn.CloseNow()
	do(t, ctx, "see carol's session wait", textHas("sessions", "suspended until"))
	screenshot(t, ctx, "2-chat")

	do(t, ctx, "reload",
		chromedp.Reload(),
		textIs("status", "online"),
		textIs("me-connects", "2"),
		textIs("me-messages", "1"),
		holds(`document.getElementById("nickname").value === "Annie"`),
		textHas("rooms", "go"),
	)

	do(t, ctx, "drop the connection", chromedp.Click("#drop", chromedp.ByQuery), textHas("banner-text", "is kept for"))
	screenshot(t, ctx, "3-dropped")
	do(t, ctx, "connect again", chromedp.Click("#banner-action", chromedp.ByQuery), textIs("status", "online"), textIs("me-connects", "3"))

	do(t, ctx, "read bob's session by its ID",
		chromedp.SetValue("#remote-id", bob.welcome.Session, chromedp.ByQuery),
		chromedp.Click("#remote-form button", chromedp.ByQuery),
		textHas("remote-result", "Nickname Bobby"),
	)
	do(t, ctx, "kick bob", clickInRow("Bobby"))
	if got := bob.closed(); got.Code != closeKicked {
		t.Errorf("bob was closed with %d %q, want %d", got.Code, got.Reason, closeKicked)
	}
	do(t, ctx, "see that bob has gone", textIs("total", "1"))

	var own string
	do(t, ctx, "find the own session", chromedp.Text("#me-hash", &own, chromedp.ByQuery))
	if code, body := n.call("POST", "/api/kick", fmt.Sprintf(`{"hash":%q}`, own)); code != 200 {
		t.Fatalf("POST /api/kick = %d %s, want 200", code, body)
	}
	do(t, ctx, "see the own end", textHas("banner-text", "an administrator ended this session"))
	screenshot(t, ctx, "4-kicked")
	do(t, ctx, "begin anew", chromedp.Click("#banner-action", chromedp.ByQuery), textIs("status", "online"), textIs("me-connects", "1"))

	if err := stop(); err != nil {
		t.Errorf("run = %v, want nil", err)
	}
	do(t, ctx, "see the server stop", textHas("banner-text", "the server is stopping"))
	screenshot(t, ctx, "5-stopped")
}

func TestBrowserSignOutAndBadToken(t *testing.T) {
	ctx := newTab(t)
	n, _ := startNode(t)
	do(t, ctx, "sign in", chromedp.Navigate(n.url), signIn("Ann"))
	do(t, ctx, "sign out", chromedp.Click("#bye", chromedp.ByQuery), chromedp.WaitVisible("#sign-in[open]", chromedp.ByQuery))
	await(t, "the session is destroyed", func() bool { m := n.sessions(); return m.Total == 0 && len(m.Suspended) == 0 })

	do(t, ctx, "come with a bad token",
		chromedp.Evaluate(`sessionStorage.setItem("token", "bad.bad.bad")`, nil),
		chromedp.Reload(),
		textHas("sign-in-error", "malformed"),
	)
}
