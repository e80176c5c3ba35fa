/*
Package httpsession keeps a browser's login in a cookie session, on the same
store as the sessions of the sockets beside it.

	logins, err := httpsession.New(sessions, nil)
	if err != nil {
		return err
	}
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		// after the password was checked:
		_, err := logins.Login(w, r, UserID.To(user))
		…
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		sess, ok := httpsession.Of(r) // signed in?
		…
	})
	http.ListenAndServe(addr, logins.Handler(mux))

# A session's life

 1. [Manager.Begin] starts a session without a login, for a basket or a flash
    message. A request that only reads starts none, so that robots leave nothing
    behind.
 2. [Manager.Login] moves the session, with all its values, to a new ID. The ID
    from before the login ends, so nobody who planted it gets the login (session
    fixation).
 3. Each request attaches to the session. Requests of one browser in parallel share it: none ends
    the handle of another. Each value is written individually, so that no request undoes what
    another wrote.
 4. The session ends after [Options.Idle] without a request, after
    [Options.Absolute] in any case, and at once by [Manager.Logout].

Nobody owns such a session and no process renews it: a server that stops or dies
leaves the logins as they are.

# Cookies

The cookie is HttpOnly, Secure and SameSite=Lax, and by default has the name
"__Host-session", which a browser accepts from this very host over TLS only.
[Options.Insecure] is for development without TLS.

# Sockets beside the login

A WebSocket handshake sends the cookie too. Wrap the endpoint in Handler, take the login with [Of], and let
the connection end with it: package live does so with live.Options.Login. A logout then closes the sockets of
that login. In the same process it does so at once, and elsewhere within milliseconds where the backend hints
at ends. Without hints it takes half a lease at most.

What a socket says does not count as a request. One that stays open for longer than [Options.Idle]
ends with its login, unless the page makes a request with the cookie now and then:

	setInterval(() => fetch("/alive"), 5 * 60 * 1000)

where /alive is any handler within Handler. Extending the login from the socket
(Session.Extend) keeps the socket, but the next request finds the login idle and ends it.

# Flash messages

A flash message is a key that is written with Set and read with Take: Take
returns it to one request only.
*/
package httpsession
