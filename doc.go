// Package store keeps typed values in a session.
package store
