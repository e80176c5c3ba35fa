/*
Package store keeps typed values in a session.

A realtime server keeps small pieces of state for each connected client: user ID,
tenant, token claims, rooms. Declare each piece once, as a constant that names
it and its type, then get and set it in a [Session]:

	const (
		UserID = store.Key[string]("userId")
		Claims = store.Key[TokenClaims]("tokenClaims")
	)

	backend, err := backends.Open(ctx, "memory:") // or redis://…, hazelcast://…
	sessions, err := store.New(backend, nil)

	sess, resumed, err := sessions.Open(ctx, claimedID, sameUser)
	defer sess.Release(ctx)

	err = UserID.Set(ctx, sess, "u-42")
	id, err := UserID.Get(ctx, sess) // id is a string

The code that gets and sets stays the same when the backend changes.

# Reading and writing

[Key] has Get, Lookup and GetOr for reading, Set, Has, Delete, SetIfAbsent and
Take, and Update for a read-modify-write that loses nothing. [Load] and [Save] move
several keys in one round trip; Save is atomic. [Session.Update] is a transaction
over several keys.

# The life of a session

[Sessions.Open] goes on with the session that a client had before, or begins one. It makes this
process the owner, which renews the session's lease until [Session.Release], [Session.Destroy],
[Session.Suspend] or [Sessions.Close]. When a process dies, its sessions end after [Options].Lease.
Release is what a connection defers: it keeps the values for [Options].Grace, so that the client can
come back to any node. [Sessions.Create] and [Sessions.Resume] are the two halves of Open.
[Sessions.Attach] gives any node a handle to a session that lives elsewhere.

[Sessions.CreateFor] and [Session.Extend] are for clients without a connection, such as
browsers: no process owns their sessions. [Sessions.Rotate] gives a session a new ID when
its client logs in.

A session ID is a credential. Use [NewID], never an ID that a client chose or that
others can see; [Sessions.Create] says why.

Destroyed is final: on every node, for writes that are in progress, and when the
same ID lives again. Refused operations fail with [ErrDestroyed], and
[Session.Done] is closed. [Session.Context] and [Session.AfterEnd] wait for the end without a goroutine.

# Errors

Failures are [*Error] values around the sentinel errors of this package; use
[errors.Is]. The errors of a client library stay reachable with [errors.As]. Reading
an absent value is [ErrNotFound] from Get and no error from Lookup and GetOr. When
the reply to a write was lost, the error is [ErrUnknownOutcome], never a guess.

Session IDs are credentials. No error, log value or String method of this package
shows one.

# Concurrency

Everything is safe for concurrent use, by goroutines and by processes, except a
[Tx], which belongs to its function.

# Encodings

Values are stored as plain msgpack (by default) or JSON, see package codec, so that
other programs can read them. With [Options].Sealer they are encrypted first.

# Writing a backend

Users of a backend that exists need nothing from here on.

Implement [Backend] and [Store]. They never gain methods: what is added later is an interface of its own, an ability, which a
backend may implement or not. Its Stores should be a [ManyGetter], [Committer], [KeyLister] and [ConditionalDestroyer];
[GetMany], [Commit], [Keys] and [DestroyIf] use them where they are. Of the further abilities, [Indexer] and [TimedCommitter]
are for Options.Indexes. [Watcher] is for ends that are noticed at once, [Scanner] for tools, [Placer] for renewals that are
grouped, [StableReader] for reads that are remembered. A wrapper passes on the abilities of what it wraps, as [WrapStores]
does.

Then run the suite of package storetest.
*/
package store
