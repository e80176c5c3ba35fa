package redisstore

import (
	"context"
	"iter"

	"github.com/redis/go-redis/v9"

	"github.com/sessionkv/store/backends/redisstore/internal/batch"
)

// Callers yields the contexts of the operations that cmd executes, for hooks of the client that trace or count. Operations
// that run at the same time share a pipeline, which has a context of its own, since it outlives any of them. Pass as cmd
// one of the commands that ProcessPipelineHook gets. Such a command executes one operation, or up to 64 Sets.
//
// Of a command that no batch has made, such as those of renewals and of other users of the client, it yields
// nothing. That one runs under the context that the hook gets. So does an operation that is alone, which ProcessHook
// gets. The contexts are valid until the hook's next function has returned, and may have ended before.
func Callers(cmd redis.Cmder) iter.Seq[context.Context] { return batch.Callers(cmd) }
