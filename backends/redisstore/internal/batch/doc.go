// Package batch merges the Redis commands of concurrent goroutines into
// pipelines over the caller's own go-redis client.
//
// A goroutine that is alone runs its command itself, as if there were no
// batcher. While others are in progress, commands queue for a short time and
// leave together. README.md in this directory tells why it is built this way
// and what it is measured to bring.
package batch
