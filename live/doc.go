/*
Package live ties a session to a connection that is an HTTP handler:
WebSocket, server-sent events, long polling, or a stream over net/http.

	conns := live.New(sessions, live.Options{
		Grace: 30 * time.Second,
		ID:    live.Query("session"), // the ID that a returning client sends
		Begin: login,                 // who is it, and the first values
		Allow: sameUser,              // may it go on with that session?
	})
	mux.Handle("/ws", conns.Handler(http.HandlerFunc(chat)))

The handler finds its session in the request:

	func chat(w http.ResponseWriter, r *http.Request) {
		sess, _ := store.FromContext(r.Context())
		ws, err := websocket.Accept(w, r, nil) // any library
		…
	}

# What Handler does

 1. It asks Begin who the client is. An error ends the request with a status.
 2. It goes on with the session that the client names, if that lives and Allow agrees. Otherwise it
    begins a new one under an ID of its own.
 3. It calls the handler with a context that carries the session. The context ends when the session
    ends, on whatever node, and when [Server.Stop] is called. It also ends when the client goes away
    before the connection is hijacked. context.Cause says which.
 4. A handler that has not returned [Options.Linger] after its context ended is
    cut off: its connection is closed, or its reads and writes fail. So a session
    that is destroyed elsewhere closes its socket, and a client that does not
    read cannot keep its handler.
 5. When the handler has returned, or panicked, the session is let go exactly
    once: suspended for the grace, or destroyed without one or after [Goodbye].
    A hijacked connection that is still open is closed then, because its session
    is gone.

# The client's side

The handler tells its client the ID of the session, for example in the first
message, and the client sends it back when it reconnects. The ID is a
credential: show it to that client only, and send it over TLS. A header or a
cookie keeps it out of the access logs, which often record the query.

# Shutting down

Stop ends all contexts, waits for the handlers, and closes the Sessions. Call it
before http.Server.Shutdown, which does not wait for hijacked connections:

	signal → conns.Stop(ctx) → server.Shutdown(ctx) → backend.Close()
*/
package live
