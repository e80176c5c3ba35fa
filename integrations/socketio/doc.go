/*
Package socketio keeps a session for each socket of a Socket.IO server
(github.com/zishang520/socket.io/servers/socket/v3).

	a := socketio.New(sessions, socketio.Options{
		Grace: 30 * time.Second,
		Begin: begin,    // who is it, and the first values
		Check: sameUser, // may it go on with that session?
	})
	err := a.Bind(nsp) // after nsp's other middleware, before its connection listeners
	nsp.On("connection", func(args ...any) {
		s := args[0].(*socket.Socket)
		a.On(s, "say", func(ctx context.Context, args []any) (any, error) {
			sess, _ := store.FromContext(ctx)
			return UserID.Get(ctx, sess) // the answer, if the client wants one
		})
	})

# A socket's life

 1. Bind adds a middleware that asks Begin who the client is, and opens the session. It goes on with
    the one that the client names, if that lives and Check agrees, or begins a new one. A refusal
    reaches the client as a connect_error.
 2. When the socket is connected, the client gets the event "session" with the ID of its session. It
    sends that back as auth.session when it reconnects.
 3. Handlers of [Adapter.On] run one after the other for each socket, beside the socket's own queue.
    So a client that leaves on purpose is heard even while a handler runs.
 4. When the client leaves on purpose (socket.disconnect() in the browser), its
    session is destroyed. When the connection was lost, the session is suspended
    for the grace, and the client goes on with it on whatever node. Running
    handlers are waited for first.
 5. When the session ends elsewhere, the socket is disconnected after its running
    handlers, so that their acknowledgements arrive.

# The client

	const auth = { token }
	const socket = io(url, { auth })
	socket.on("session", id => { auth.session = id })

The ID is a credential of its own. socket.id is shown to other clients. The private ID of connection
state recovery cannot be read and does not survive the death of a node.

Each namespace has sessions of its own.

# Shutting down

[Adapter.Stop] closes the connections in the way of a network fault, so that the clients reconnect
to another node. It suspends their sessions, and closes the Sessions. Disconnect(true) would tell
the clients to stay away.

# Limits of the library

Version 3.0.2 of the library has faults that an adapter cannot mend:

  - A client that answers very fast can lose the first packet of its connection.
    The server closes such a connection after ConnectTimeout, 45 seconds by
    default, and the client reconnects. A timeout of a few seconds is better.
  - Over polling the client does not hear of that close, and waits for
    PingInterval and PingTimeout together, which are 45 seconds by default.
  - A client that emits right after "connect" can be disconnected, and reconnects.
    Emit after the event "session", which is late enough.
  - An event that the client emits right before disconnect() may be dropped.
    Ask for an acknowledgement before you disconnect.

# Connection state recovery

Sessions do not need this feature of Socket.IO, and go on with it and without. It
recovers nothing until its MaxDisconnectionDuration is set. With it:

  - A recovered socket skips the middleware. Its session is opened when it is connected,
    after Begin and Check all the same; a refusal disconnects it.
  - The client gets first what it missed, which may be an earlier "session" event, and
    then the "session" event of this connection. The last one counts. A listener may be
    called twice, so that it should only keep the ID.
  - When the session has ended meanwhile, the recovered socket has a new one.
  - Packets to one client pass the library's adapter, which keeps them for the
    client's return. An adapter that writes them to a server writes the session's ID
    there: protect it as the sessions themselves.

# The race detector

Version 3.0.2 of the Socket.IO library has a data race where a client cuts off a
poll. Programs built with -race report it for clients that poll.
*/
package socketio
