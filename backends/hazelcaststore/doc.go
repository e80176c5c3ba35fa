// Package hazelcaststore keeps sessions on a Hazelcast cluster.
package hazelcaststore
