/*
Package otelstore measures sessions with OpenTelemetry.

	backend = otelstore.Wrap(backend, nil)
	sessions, err := store.New(backend, nil)
	stop, err := otelstore.Observe(sessions, nil)

[Wrap] returns a backend that records what each operation takes and how it ends, with all abilities of the one
beneath. [Observe] reports the figures of [store.Sessions.Stats].

# Metrics

	db.client.operation.duration   histogram, s     each operation of the backend
	store.sessions.owned           up-down counter  sessions that this process owns
	store.sessions.overdue         up-down counter  of those, the ones whose latest renewal failed
	store.sessions.left            up-down counter  sessions that were let go of without the backend's word for it
	store.sessions.begun           counter          by store.begin: create, resume
	store.sessions.ended           counter          by store.end: suspended, destroyed, taken_over, expired, lost
	store.handles.attached         counter          handles that Attach returned
	store.renewals.failed          counter          renewals of a session that failed, for another reason than its end
	store.updates.conflicted       counter          Updates, and calls like them, that began anew because another writer had come first
	store.values.undecodable       counter          values that were read and did not decode or open

Taken over are sessions that another handle resumed, which a client does that comes back to another node. Lost are those that were destroyed through another
handle, or left by Close, and those of which the backend does not say why they ended.

The first metric follows the semantic conventions for database clients, with their buckets, and has the attributes

	db.system.name      Options.System
	db.namespace        the namespace of the backend
	db.operation.name   get, set, has, delete, destroy, get_many, commit, keys, destroy_if, create, attach, resume, renew,
	                    suspend, put_entries, remove_entries, entries, renew_if, suspend_if, time_left, scan
	error.type          where it failed: unknown_outcome, timeout, canceled, connection, closed, foreign_store, _OTHER
	store.refusal       where the backend answered no, which is nothing wrong: not_found, no_session, exists, conflict,
	                    destroyed, expired, resumed, too_many_keys, too_large, invalid, unsupported

A call of Renew is one operation, however many sessions it is about. No attribute has an ID, a key or a value in it, nor
the text of an error.

# Spans

An operation within a trace that is recorded gets a span with the same attributes. Outside of one it gets none, so that renewals and other work in the
background begin no traces.

Package otelredis, beside this one, shows the pipelines to Redis that operations share: their sizes, and spans that are linked with those of the operations.

# What it costs

Where nothing records, an operation costs some nanoseconds more: a look at the instrument and one at the context.
Where metrics are recorded, it takes some hundred more, which is nothing beside a server and several times
a read from memory. See the benchmarks.

The file dashboard.json is a dashboard for Grafana over these metrics in Prometheus. The folder demo shows it at work: docker compose up, there, starts
a program with sessions, Redis, Prometheus, and Grafana at http://127.0.0.1:3000.
*/
package otelstore
