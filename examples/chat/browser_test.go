package main

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/sessionkv/store/examples/internal/browser"
	"github.com/sessionkv/store/internal/await"
	"github.com/sessionkv/store/internal/testserver"
)

// clickInRow clicks the button in the row of the table with that name. The page
// may draw the table anew at any moment, so that it is found and clicked in one step.
func clickInRow(name string) chromedp.Action {
	return browser.Holds(fmt.Sprintf(`(() => {
		const row = [...document.querySelectorAll("tr")].find(tr => [...tr.cells].some(td => td.textContent === %q));
		row?.querySelector("button")?.click();
		return row !== undefined;
	})()`, name))
}

func signIn(user string) chromedp.Tasks {
	return chromedp.Tasks{
		chromedp.WaitVisible("#sign-in[open] #user", chromedp.ByQuery),
		chromedp.SetValue("#user", user, chromedp.ByQuery),
		chromedp.Click("#sign-in-button", chromedp.ByQuery),
		browser.TextIs("status", "online"),
	}
}

func TestBrowser(t *testing.T) {
	ctx := browser.New(t)
	n, stop := startNode(t, "-node", "n1")

	browser.Do(t, ctx, "open the page", chromedp.Navigate(n.url), chromedp.WaitVisible("#sign-in[open]", chromedp.ByQuery))
	browser.Screenshot(t, ctx, "1-sign-in")
	browser.Do(t, ctx, "sign in", signIn("Ann"), browser.TextIs("me-user", "Ann"), browser.TextIs("me-connects", "1"), browser.TextIs("node", "n1"))

	// Somebody else is there as well, over a plain WebSocket.
	bob := n.connect(t, dialer{user: "bob", header: map[string][]string{"User-Agent": {"plain client"}}})
	browser.Do(t, ctx, "see bob in the table", browser.TextIs("total", "2"), browser.TextHas("sessions", "bob"))

	browser.Do(t, ctx, "change the nickname",
		chromedp.SetValue("#nickname", "Annie", chromedp.ByQuery),
		chromedp.Click("#nickname-form button", chromedp.ByQuery),
		browser.TextHas("sessions", "Annie"),
	)
	browser.Do(t, ctx, "join a room",
		chromedp.SendKeys("#join", "go\r", chromedp.ByQuery),
		browser.TextHas("rooms", "go"),
		browser.TextHas("sessions", "lobby, go"),
		browser.Holds(`document.querySelector(".room.active")?.textContent.startsWith("go")`),
	)
	browser.Do(t, ctx, "go back to the lobby", chromedp.Click(`//nav//button[text()="lobby"]`, chromedp.BySearch))
	browser.Do(t, ctx, "say something",
		chromedp.SendKeys("#say", "hello <b>world</b>\r", chromedp.ByQuery),
		browser.TextHas("log", "hello <b>world</b>"), // as text, not as HTML
		browser.TextIs("me-messages", "1"),
		browser.Holds(`document.querySelector("tr.own td:nth-child(5)")?.textContent === "1"`),
		browser.TextHas("ops", "Messages.Update"),
	)
	await1(bob, "said", func(m said) bool { return m.From == "Annie" && m.Text == "hello <b>world</b>" })
	bob.ask(`{"type":"say","room":"lobby","text":"hi Annie"}`)
	browser.Do(t, ctx, "hear bob", browser.TextHas("log", "hi Annie"))

	// What another node does through Attach shows without a reload.
	code, body := n.call("POST", "/api/session", fmt.Sprintf(`{"session":%q,"nickname":"Bobby"}`, bob.welcome.Session))
	if code != 200 {
		t.Fatalf("POST /api/session = %d %s, want 200", code, body)
	}
	browser.Do(t, ctx, "see bob's new nickname", browser.TextHas("sessions", "Bobby"))
	n.connect(t, dialer{user: "carol"}).conn.CloseNow()
	browser.Do(t, ctx, "see carol's session wait", browser.TextHas("sessions", "suspended until"))
	browser.Screenshot(t, ctx, "2-chat")

	browser.Do(t, ctx, "reload",
		chromedp.Reload(),
		browser.TextIs("status", "online"),
		browser.TextIs("me-connects", "2"),
		browser.TextIs("me-messages", "1"),
		browser.Holds(`document.getElementById("nickname").value === "Annie"`),
		browser.TextHas("rooms", "go"),
	)

	browser.Do(t, ctx, "drop the connection", chromedp.Click("#drop", chromedp.ByQuery), browser.TextHas("banner-text", "is kept for"))
	browser.Screenshot(t, ctx, "3-dropped")
	browser.Do(t, ctx, "connect again", chromedp.Click("#banner-action", chromedp.ByQuery), browser.TextIs("status", "online"), browser.TextIs("me-connects", "3"))

	browser.Do(t, ctx, "read bob's session by its ID",
		chromedp.SetValue("#remote-id", bob.welcome.Session, chromedp.ByQuery),
		chromedp.Click("#remote-form button", chromedp.ByQuery),
		browser.TextHas("remote-result", "Nickname Bobby"),
	)
	browser.Do(t, ctx, "kick bob", clickInRow("Bobby"))
	if got := bob.closed(); got.Code != closeKicked {
		t.Errorf("bob was closed with %d %q, want %d", got.Code, got.Reason, closeKicked)
	}
	browser.Do(t, ctx, "see that bob has gone", browser.TextIs("total", "1"))

	var own string
	browser.Do(t, ctx, "find the own session", chromedp.Text("#me-hash", &own, chromedp.ByQuery))
	if code, body := n.call("POST", "/api/kick", fmt.Sprintf(`{"hash":%q}`, own)); code != 200 {
		t.Fatalf("POST /api/kick = %d %s, want 200", code, body)
	}
	browser.Do(t, ctx, "see the own end", browser.TextHas("banner-text", "an administrator ended this session"))
	browser.Screenshot(t, ctx, "4-kicked")
	browser.Do(t, ctx, "begin anew", chromedp.Click("#banner-action", chromedp.ByQuery), browser.TextIs("status", "online"), browser.TextIs("me-connects", "1"))

	if err := stop(); err != nil {
		t.Errorf("run = %v, want nil", err)
	}
	browser.Do(t, ctx, "see the server stop", browser.TextHas("banner-text", "the server is stopping"))
	browser.Screenshot(t, ctx, "5-stopped")
}

// Two pages of one user, at two processes, are signed out by one of them: also the session
// that waits for its client, and nobody else's.
func TestBrowserSignOutEverywhere(t *testing.T) {
	url := testserver.Redis(t).URL
	one, two := startProcess(t, "-store", url), startProcess(t, "-store", url)
	ctx, elsewhere := browser.New(t), browser.New(t)
	browser.Do(t, ctx, "sign in", chromedp.Navigate(one.url), signIn("Ann"))
	browser.Do(t, elsewhere, "sign in elsewhere", chromedp.Navigate(two.url), signIn("Ann"))
	waiting := two.connect(t, dialer{user: "Ann"})
	waiting.conn.CloseNow()
	await.Until(t, "the session waits", func() bool { return len(two.sessions().Suspended) == 1 })
	bob := two.connect(t, dialer{user: "bob"})

	browser.Do(t, ctx, "sign out everywhere", chromedp.Click("#bye-everywhere", chromedp.ByQuery), chromedp.WaitVisible("#sign-in[open]", chromedp.ByQuery), browser.TextIs("sign-in-error", ""))
	browser.Do(t, elsewhere, "hear of it elsewhere", browser.TextHas("banner-text", "ended"), browser.TextIs("me-state", "ended"))
	if v, ok := one.session(waiting.welcome.Session); ok {
		t.Errorf("the session that waited = %+v, want none", v)
	}
	if _, ok := one.session(bob.welcome.Session); !ok {
		t.Error("the session of another user has ended, want it alive")
	}
	browser.Do(t, elsewhere, "begin anew", chromedp.Click("#banner-action", chromedp.ByQuery), browser.TextIs("status", "online"), browser.TextIs("me-connects", "1"))
}

func TestBrowserSignOutAndBadToken(t *testing.T) {
	ctx := browser.New(t)
	n, _ := startNode(t)
	browser.Do(t, ctx, "sign in", chromedp.Navigate(n.url), signIn("Ann"))
	browser.Do(t, ctx, "sign out", chromedp.Click("#bye", chromedp.ByQuery), chromedp.WaitVisible("#sign-in[open]", chromedp.ByQuery))
	await.Until(t, "the session is destroyed", func() bool { m := n.sessions(); return m.Total == 0 && len(m.Suspended) == 0 })

	browser.Do(t, ctx, "come with a bad token",
		chromedp.Evaluate(`sessionStorage.setItem("token", "bad.bad.bad")`, nil),
		chromedp.Reload(),
		browser.TextHas("sign-in-error", "malformed"),
	)
}
