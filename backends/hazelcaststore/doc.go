/*
Package hazelcaststore keeps sessions on a Hazelcast cluster, so that all processes
of an application share them.

	client, err := hazelcast.StartNewClientWithConfig(ctx, config)
	…
	backend, err := hazelcaststore.New(ctx, client, nil)
	…
	sessions, err := store.New(backend, nil)

The caller keeps the client and shuts it down, after the backend. Any Hazelcast 5
member will do; no code runs on the members.

# Configuration of the members

The map needs a default time to live. Without one [New] refuses to work and prints the lines to add.
A replaced entry falls back to that default: without it, the sessions of a process that died would
stay permanently. An hour is good; it must be more than the longest lease or grace period in use.
New looks at every member, and so does the Backend once a minute and when a member has joined. One
that is configured otherwise ends the creation of sessions, with [ErrMapConfig].

	<map name="*:sessions">
	  <time-to-live-seconds>3600</time-to-live-seconds>
	  <backup-count>1</backup-count>
	</map>

The README of this package has the whole configuration with reasons.

# Layout

All sessions of a namespace are entries of one map, called by the namespace and ":sessions". An
entry's key is the session ID, with every byte other than A-Z a-z 0-9 _ . - written as %XX. Its
value is a byte array that holds the whole session. That is a random token that tells this life from
others, its deadline, and all keys and values. The comment of the package internal/document gives it
byte by byte, for readers in other languages.

Every write replaces the document by a compare-and-swap against the one that was seen last. So the
check of the life, the values expected, the limits and the write itself are one atomic step, for one
key or many. Writes of one session that come while another is in progress are carried together by
the next. A writer that keeps losing against other processes locks the entry for one write, which is
for fairness and not for correctness.

# Indexes

With Options.Indexes of package store, the sessions with one value of an indexed key are in an entry of the same map. Its key is ":i:", a hash of the
value, a colon and a number, which no session's key is. The document (package internal/document, type List) has the members, each with its deadline. A
list of more than 256 members has several entries, whose numbers go up; Find reads one after the other. As with sessions, an entry stays for the map's
default time to live after its last write. Members whose deadline has come are read by nobody.

To put an entry takes one round trip into a list without members and two otherwise, and one more into a long list. Renewals of processes with indexes
take one compare-and-swap for each session, as with a lease beyond the default time to live. Through the record of the process nobody would see what
others have written to the sessions.

# Round trips

While no other process writes to the session, Create, Set, Delete, Commit, Suspend and Destroy take
one round trip. So do Get, Has, GetMany, Keys and Attach. Resume takes two. A refused Commit takes
one. Renew takes one for each session the first time, and from then on one for all together, see
[Backend.Renew]. A write that meets another process's takes two more for each time that it loses. A
lease or grace period beyond the default time to live takes two more for each write.

All of them move the whole document; a write moves two. Hazelcast cannot look into a
document, so Has costs as much as Get. Keep sessions small: values of kilobytes, not
megabytes. [Options].DocumentSize limits them.

# Leases

A session ends at its document's deadline, or at that of the owner which keeps it alive: the process
that renews it. The entry outlasts it by the default time to live at most. Whoever finds a session
past both deadlines removes the entry before reporting that it has ended. So it has ended for all,
whatever their clocks say. A session that is not renewed any more ends a lease later. While its
process renews others, it can be a quarter of a lease more.

Deadlines are on the clock of the cluster, which every Backend finds out to a few milliseconds when
it starts and then once a minute. It asks on random keys and so on all members, and carries the time
on by the monotonic clock. The clocks of the processes do not matter. Those of the members must
agree within two seconds, by NTP for instance, because they drop entries by their own clocks too.
New refuses others with [ErrClocks]. A Backend that runs goes by the median, and removes nothing on
grounds of time until they agree again.

Deadlines are rounded up to milliseconds. Leases beyond ten years count as ten years.

# Notices of ends

Where somebody waits for the end of a session (Session.Done, Context or AfterEnd), the client listens to a
topic over the connections that it has. The topic's name is the namespace and ":/ends". Whoever destroys,
resumes or suspends a session publishes a hint there: 8 bytes of a SHA-256 of the namespace and the ID. One
message has the hints of a few milliseconds. A handle that is hinted at asks the cluster at once, and one
whose session expires asks when its deadline has passed.

A hint is never more than a reason to ask. Publishing comes after the write and aside: it does not delay it, and
cannot fail it. The client does not say whether it listens. So a process that heard nothing for 15 seconds, or
whose cluster has changed, publishes a message that hints at nobody and waits for it. Without that echo it
listens anew, and Options.Logger gets one line. Until then ends are noticed at the next renewal, half a lease
later at most. Once it hears again, every handle that is waited for asks once.

# Lost replies

Each document carries the last writers and what they wrote last. A write whose reply was lost is
repeated, byte for byte, until the answer shows whether it took effect. The same bytes never recur,
so it cannot take effect twice. A refusal that comes from the client's own second try is recognised.
An attempt is given up after half a second, the next after twice as long. Only when the cluster
stays silent, or the session is gone in the meantime, does the write fail with
[store.ErrUnknownOutcome]. What is written after that is another writer's, so that the two cannot be
mistaken for each other.

When several processes give one session a new ID at once (Sessions.Rotate), one succeeds. The others may say
that the outcome is unknown, for the same reason: the session is gone, perhaps by the first of two calls. They
leave a copy under their own new ID, for the grace or a lease, as Rotate says.

Create is the exception: its call is made once. When the reply was lost, the cluster is
asked whether the session is there, and if not, the outcome is unknown. The session may
have been created and destroyed meanwhile, and a second call would bring it back.
Leave the client's RedoOperation off: it may repeat the creation of a session unseen.

# The client

Some calls of the client look at their context only between sleeps of up to a second or
two. The backend returns when the context ends all the same; the call ends later, and
Close waits for it. A call whose context has no deadline ends after Options.Timeout.

After two broken connections in a row the client waits for two minutes before it looks
for the cluster again. [Open] replaces it earlier; whoever calls New has to live with
that. Leave its Serialization.LittleEndian off; New refuses it.

The client's retries race with each other, and a program built with -race may report that,
in the files of the client. GORACE=suppressions=FILE silences it in tests, with this line in
FILE:

	race:hazelcast-go-client/internal/proto.*ClientMessage*SetCorrelationID

A near cache is refused unless [Options].NearCache allows it.
*/
package hazelcaststore
