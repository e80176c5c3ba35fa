/*
Package storetest helps to test programs that use package store, and backends.

For programs, [NewSession] gives a test a session in memory. [Faulty] makes operations of a backend
fail, and [Kill] stops a [store.Sessions] as a crash would.

For the authors of backends it holds the contract of [store.Store] and
[store.Backend] as a table of named rules, which one call runs.

	func TestContract(t *testing.T) {
		storetest.Run(t, storetest.Harness{
			Open: func(t testing.TB) store.Backend {
				client := dial(t) // closed by t.Cleanup
				return mybackend.New(client, nil)
			},
			Lease: 200 * time.Millisecond,
		})
	}

A rule is a short script of calls. A rule that is broken stops there. It says which sentence of the
contract it checks, which call showed it, what came back and what should have come:

	rule: an empty value is not an absent one
	call: node A, session 1: Has("k")
	got:  false
	want: true

# Nodes

Most of what a session store gets wrong shows only when several nodes share a session. Examples are
a write that brings a destroyed session back to life, a lost update, and a late Destroy that hits
the next life. The suite therefore calls [Harness.Open] twice and plays two nodes, A and B, against
each other. The two backends must reach the same storage under the same namespace, and should share
nothing else: give each a client of its own.

The session IDs are random, so that the suite can run on a server that others
use, and many times on the same one. The suite destroys the sessions that it
began; what a failure leaves behind ends with its lease.

# Time

Rules about leases wait for sessions to end. They run side by side and poll, so that on a real
server they take a few times [Harness.Lease] together. A session must live for its lease and may
live longer by [Harness.Granularity], not more. A busy machine does not make these rules fail. A
session ended too early only when the answer came before its lease was over, measured from before
the call that leased it. It lived too long only when a call that found it alive began later than
allowed, measured from after that call. A rule whose calls came too late begins again.

A backend that keeps its sessions in the memory of the process sets [Harness.Synctest]. Then every
rule runs in a bubble of [testing/synctest] with a backend of its own, and hours pass at once.
Timers and goroutines of the backend have to stop when it is closed.

# Abilities

[store.ManyGetter], [store.Committer], [store.KeyLister], [store.ConditionalDestroyer], [store.Watcher],
[store.Indexer] and [store.Scanner] are optional. The rules about an ability are skipped when the backend lacks it.
It does when [store.GetMany], [store.Commit], [store.Keys], [store.DestroyIf], [store.Watch], [store.AsIndexer] or
[store.AsScanner] fails with [errors.ErrUnsupported], and in no other case. One more rule sees to it that an
ability which is refused is refused always and changes nothing.

# Typed sessions

Above the raw contract the suite runs a few rules on the typed layer over the backend, to see that
the two work together. They are about updates by two nodes, transactions, limits, suspend and
resume, and [store.Session.Done].

# From an empty package to a backend

Implement [store.Backend.Create] and the five methods of [store.Store] first and
run one group of rules at a time:

	go test -run 'TestContract/values'

The groups are values, names, lives, views, races, leases, limits, commits, departures, scans, failures, sessions, renewals, notices
and indexes. When values and names pass, go on with lives. There a backend has to make its check of the life and the operation
itself one atomic step. The group views is about what handles see of each other's writes. The group races is about calls that are in
progress when a life ends or goes over into another.

# What the suite cannot see

It cannot see whether Has transfers the value, or how many round trips a call takes. Nor can it see
whether a key without an expiry exists for a moment. It does not lose replies and kills no servers,
so it never meets [store.ErrUnknownOutcome]. A backend over a network needs tests of its own for
those.

[Benchmark] measures any backend with the same bodies.
*/
package storetest
