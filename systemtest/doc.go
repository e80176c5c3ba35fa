// Package systemtest holds no code, only system tests: several processes,
// broken connections, killed and frozen servers, checked histories. They are a
// module of their own, so that what they need stays out of users' builds.
//
// The tests start their servers themselves, on free loopback ports, and say
// which seed they run with; SEED=n repeats it.
package systemtest
