/*
Package otelredis shows with OpenTelemetry how operations of sessions share pipelines to Redis, Valkey and DragonflyDB.

	instrument := func(client redis.UniversalClient) error { return otelredis.Instrument(client, nil) }
	backend, err := backends.OpenWith(ctx, url, &backends.Options{Redis: instrument})
	sessions, err := store.New(otelstore.Wrap(backend, nil), nil)

or Instrument(client, nil) before redisstore.New(client, nil).

Operations that run at the same time share a pipeline, which outlives any of them and so runs under a context of its own. To hooks
that trace the client, its spans belong to nobody. [Instrument] adds one that asks package redisstore for the callers.

# The metric

	store.batch.size   histogram, {operation}   operations that share a pipeline, with the attribute db.system.name

An operation that is alone is in no batch, and counts in db.client.operation.duration only. Nor do renewals count, which go in pipelines of their own.

# The span

A pipeline with an operation within a trace that is recorded gets a span. It is a child of the first such operation's
span, is linked with those of the others, and these are linked with it. So no trace begins with a pipeline, and each shows what its operation has waited
for. The SDK keeps 128 links of a span, unless it is told otherwise. The span has the attributes db.system.name, db.operation.name (PIPELINE),
db.operation.batch.size, and error.type where the connection failed. Hooks that are added later, such as those that trace each command, make
its children.
*/
package otelredis
