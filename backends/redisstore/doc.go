/*
Package redisstore keeps sessions on Redis (6.2 or later), Valkey or DragonflyDB:
one server, a primary found through Sentinel, or a Cluster.

	client := redis.NewClient(&redis.Options{Addr: "localhost:6379"})
	defer client.Close()
	backend, err := redisstore.New(client, &redisstore.Options{Namespace: "chat"})
	if err != nil {
		return err
	}
	defer backend.Close()
	sessions, err := store.New(backend, nil)

# Layout

A session is one hash. Its name is the namespace, a colon and the session's ID, in which every byte
is written as %XX, except A-Z a-z 0-9 _ . and -. Each key is a field, and its value is what the
codec made of it, nothing around it. So redis-cli and programs in other languages can read a
session:

	> HGETALL chat:u%3A1
	1) "\x00t"
	2) "xV3R1oEJ0yb8dXpKk0-Zvw"
	3) "userId"
	4) "\xa4u-42"

Fields that begin with NUL, which no key does, hold no value. "\x00t" holds the token of the
session's present life, 128 random bits made when it was created or resumed; the hash always has it.
"\x00c" holds a random mark of the last conditional write; see below. On servers with HSETEX there
is also a fence: the empty fields "\x00r" and "\x00L" followed by the token. While the first exists,
the second is that of the present life and the only one of its kind. The fence takes about 35 bytes.

The hash has an expiry at every moment: the lease, or the grace period after
Suspend. What is longer than eight years counts as eight years, on every server alike;
store.New allows a week and a year.

# Writing from elsewhere

Another program must not send a plain HSET. When the session has ended, that makes a hash that belongs to no
life and has no expiry. Attach and Resume rightly find no session in it, and Create fails with
[ErrNotASession] until it is deleted. Instead:

 1. Read the token: HGET chat:u%3A1 "\x00t". Without one there is no session.
 2. Send this script with the hash as its key, and the token, the key and the value as arguments.
    It answers 1, or 0 when that life has ended.

The script:

	if redis.call('HGET', KEYS[1], '\0t') ~= ARGV[1] then return 0 end
	redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
	return 1

The value is in the form of the key's codec. Limits of the session do not apply, and the fields that
begin with NUL stay as they are.

# Indexes

With Options.Indexes of package store, the sessions with one value of an indexed key are in a sorted set. Its name is the namespace, ":i:" and a
hash of the value, a keyed one where values are sealed. No session has a name with two colons. A member is 8 random bytes and the session's ID. Its
score is the time at which it goes, in milliseconds of the server's clock. What is past goes with the next member that comes. The set has an expiry
at every moment, no earlier than its last member's. In a Cluster it may lie in another slot than the session: no command touches both.

Putting an entry is a script, merged with others where Sets are. What a failover loses of a set, the next renewal of
its sessions puts back, within a lease. A server that is out of memory still takes entries.

# Atomicity

Get and GetMany are one HMGET of the values together with the token, which is
compared here. A Set of a key that has a value is, on Redis from 8.0, Valkey from 9.0 and
DragonflyDB,

	HSETEX chat:u%3A1 FXX FIELDS 3 "\x00r" "" "\x00LxV3R1oEJ0yb8dXpKk0-Zvw" "" userId "\xa4u-42"

which writes if all three fields exist, and otherwise nothing. After such a refusal, and for each
other write, the backend sends one Lua script by its hash (EVALSHA). The script compares the token,
keeps the limit of keys, and writes, in one step. Its only key is the session's hash. A server that
does not have a script yet, or any longer, is sent it again, unnoticed.

Whether a server takes HSETEX is asked with the first write, aside. One that refuses it gets
scripts. It is asked again when it may have become another: after a lost connection, a forgotten
script or a refusal that says READONLY. It is also asked once a minute. Backends with WaitReplicas
send scripts only.

Where a Set is a script, Sets of several sessions that happen to share a pipeline are sent as one script,
at most 64 of them. That halves what a Set costs the server. Each has its own check and its own outcome,
and all their hashes are declared keys. A Cluster, whose scripts have keys of one slot only, and
Dragonfly, which spreads keys over its threads, are sent one script for each Set. So is, for a while, a
server that refuses the merged one, or answers it wrongly, as proxies before several servers may.

Renewals go in pipelines of 1024 sessions, merged in the same way: 64 to a script. In a Cluster the sessions of a slot
share one: at 100,000 sessions there are six in a slot.

# Lost replies

When a connection breaks after a write was sent, it is unknown whether the server executed it. This
package never sends it again where that could do harm, as go-redis would. A write that was not sent,
or that the server refused for the moment, is repeated a few times for as long as the context
allows. Servers refuse so when they are loading, failing over or moving a slot. Reads, Destroy,
Suspend, Renew and Resume may be repeated always. Resume replaces the token that it has read before,
so one that arrives late ends no other life. A lost Create or Commit is looked for on the server by
its token or mark, and counts as done if it is found. All else fails with [store.ErrUnknownOutcome]
and, by errors.As, the client's error. A context that ends while a write is in progress leaves it
just as unknown.

A write of unknown outcome may still be on its way, and take effect after later ones. To be certain,
write again and read back, or resume the session. That ends the life that the late write belongs to,
and it is refused.

Whatever is reported was read. Every script has its exact answers, and a call succeeds, or is
refused, only by one of these, read for this attempt. A connection that the server refuses (a wrong
password, no such database), a proxy that answers something else, and a hook that swallows the
command are errors. They never are an end of a life.

A renewal that was on its way when Suspend was called can arrive after it, and lengthen the grace to
one lease from its arrival. It never shortens it. The same holds for a Suspend whose reply was lost
and that was sent again. Its first attempt can arrive late, and the grace begins anew then. Neither
touches a session that was resumed in the meantime.

# What a failover can lose

Redis replicates asynchronously: a primary that dies takes with it the writes that its replicas did
not get, usually those of the last milliseconds. After a failover a value may be older than it was,
and a session that was created may be missing. One that was destroyed may be there again until its
lease runs out. Handles that were told that their life has ended stay ended. Options.WaitReplicas
makes each write wait until replicas have it (WAIT), for one more round trip between the servers.
That makes such a loss improbable, not impossible: Redis may promote a replica that did not confirm.
The server's own min-replicas-to-write limits how long a primary that has lost its replicas goes on.

A server that was a primary and is a replica now still answers reads. So a Backend asks a single
server for its role before its first operation, and again after a refusal that says READONLY. On a
replica it fails with [ErrReplica]. One gap remains. Until its first write is refused, a process
whose connections lead to the old primary reads what was true before the failover. The clients of
backends.Open leave all older connections at that refusal, and bound their age. A client of the
caller's own does most of that with OnConnect: [RefuseReplica] and a ConnMaxLifetime. In a Cluster,
nodes redirect. An OnConnect of the caller's own must return the error of each command that got no
reply. Otherwise a reply that arrives later is taken for that of the next command, here as in any
other use of the client.

[Backend.Check] makes sure, once at the start, that a server does what sessions
need. The table of servers is docs/servers.md.

# Access rights

This is the least that an ACL user needs, for the namespace chat:

	user app on >password resetkeys ~chat:* resetchannels -@all +eval +evalsha +hmget +hget +hset +hdel +hexists +hlen +hkeys +pexpire +unlink

A client's handshake also tries HELLO and CLIENT SETINFO, and goes on without them
where they are refused. A client of
a Cluster also needs +command and +cluster|slots. On Redis 6 renewals need +pttl.
On Redis 8 and Valkey 9 add +hsetex: without it each Set is a script.
WaitReplicas needs +wait. Indexes need more:

	+zadd +zrem +zremrangebyscore +zscan +pttl +time

Listing all sessions (Scan), which only tools do, needs

	+scan +info

and in a Cluster +cluster|nodes (on Redis 6, +cluster).

Client-side caching needs

	+client|tracking

and on Redis 6 +hello. Prompt notices of ends need

	&chat:* +subscribe +publish +ping +pttl

and in a Cluster +ssubscribe and +spublish in place of +subscribe and +publish, or all four where not
every node has sharded channels.

# Notices of ends

Where somebody waits for the end of a session (Session.Done, Context or AfterEnd), the backend
subscribes to the channel chat:/ends. Whoever destroys, resumes or suspends a session publishes a
hint there: 8 bytes of a SHA-256 of the hash's name. One message has the hints of a few
milliseconds. A handle that is hinted at asks the server at once, so it ends a few milliseconds
after a Destroy or Resume elsewhere. Handles whose session expires ask when its deadline has passed.

A hint is never more than a reason to ask. Publishing comes after the write and aside: it does not
delay it, and cannot fail it. Without the rights for notices, on a server without channels, or while
the subscription is broken, ends are noticed at the next renewal, half a lease later at most.
Options.Logger gets one line. A subscription that broke is made again, after a pause that grows from
50 ms to 15 s. Then every handle that is waited for asks once. A refusal is tried again after a
minute.

The subscription is one connection for each process, beside the pool, from the first who waits until Close. In a
Cluster with sharded channels (Redis 7, Valkey) it leads to the node that has the channel's slot, and the messages
stay there. Elsewhere every node gets them. Whoever may publish on the channel can make handles ask without need,
which is bounded, and learns nothing.

# Versions side by side

Processes of this version and of the one before the fence may share sessions on one server, in any order of
upgrade and downgrade. A process of the earlier version that resumes a session deletes "\x00r", so that no
write of the life before passes. The next Resume or Set of this version makes the fence anew. The earlier
version counts the fence as two keys when a session is near its limit of keys. Versions from before the
outcomes of Resume were read (it was one round trip then) do not delete "\x00r"; stop their processes
first.

# Sizing

A session costs the server about 200 bytes and its values, and 35 more with a fence. The lease bounds how
long the sessions of a process that died stay. Each session is renewed twice in a lease, which costs the
server about 4 µs and the process 2. At 100,000 sessions and the default lease of 60 s that is 1.6 to 2.1
% of a core. At a lease of 10 s it is six times as much, in a Cluster one and a half times.

With batching, as many pipelines as the client's PipelinePoolSize (10) are in progress to a server at the
same time, or three quarters of its PoolSize if that is less. So the default pool of 10 connections per
processor is plenty. Without batching, each operation in progress holds a connection: size the pool to the
number of them that run at the same time.

# Contexts

An operation returns by the deadline of its context. That costs a lone caller a switch to another
goroutine, unless the client itself keeps to deadlines: set ContextTimeoutEnabled in its options. A
context that can only be cancelled costs nothing. But a caller that was alone when it began notices
the cancellation when the reply arrives, or the client's ReadTimeout has passed. Without batching,
every context that can end costs that switch, and is noticed at once.

# Client-side caching

With Options.Cache, Get and GetMany are answered from the memory of this process where they can be. It takes a
single server (not a Cluster) with RESP3:

	backend, err := redisstore.New(client, &redisstore.Options{Cache: &redisstore.CacheOptions{}})

One connection beside the pool, made at the first read, has CLIENT TRACKING in the mode BCAST for the prefix of the
namespace. The server sends there, in the order in which it happened, the name of each session that was written,
renewed or deleted, and of each that has expired. What holds:

  - What this process wrote is what it reads afterwards, through this backend, on every handle of
    the session. When this process has destroyed a session, or one of its handles was told that a
    life has ended, no value of that is read afterwards. A write of unknown outcome that takes
    effect later is like one of another process.
  - What another process wrote, or destroyed, may be unseen until the server's notice arrives: a few
    milliseconds. The same holds for a session whose lease ran out, which a server notices only when it
    gets around to it. If notices are lost on the way, or go to another server than reads do, what was
    read serves for MaxStaleness at most. That counts from when its read began.
  - When that connection breaks, or the server does not answer on it or refuses a write with READONLY,
    all is dropped. Reads ask the server until there is another.
  - Writes, Has, Keys, Commit and Attach always ask the server. So does what typed Take, Update and
    transactions read, unless a wrapper hides the method GetCurrent from them. They neither miss a
    value that is there nor go by an old one.
  - GetMany returns what one reading of the server brought, never values of several.
  - The notices of reads that are in progress count. A reply that left the server before a write is
    not kept when the notice of that write came first.

What the cache does not have is read as without it, in pipelines that are shared. Callers who ask for the same at the same time
share one command, unless it takes longer than 100 ms. Who leaves early takes nothing from the others, and the last one ends it.
After a write, the next read of the session also fetches up to 16 other fields that were in use, of at most 4 KB. What is kept of
a session is from one reading, so larger values are kept until another field is read from the server. Whoever has read a value
finds no older one of another key.

A hit takes no lock and allocates nothing. The memory is bounded by MaxBytes; sessions that were not read for twice MaxStaleness make room before
that. Every write and every renewal in the namespace costs each process with a cache 0.4 µs. It costs the server 0.5 to 0.8 µs for the first of them
and some 40 bytes for each. Where that is too much, give what is written often, and what is read often, a namespace each.

A server that refuses CLIENT TRACKING with BCAST is asked again once a minute. The Logger gets one line, and until then there is no
cache. A cache that a client of go-redis has itself is bypassed, because it gives none of the above.
*/
package redisstore
