// Package crash lets package storetest stop a store.Sessions as the end of its
// process would, without a method for it that users see.
package crash

// Sessions stops a *store.Sessions. Package store sets it.
var Sessions func(sessions any)
