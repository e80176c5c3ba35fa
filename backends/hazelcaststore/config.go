package hazelcaststore

import (
	"fmt"
	"reflect"
	"time"

	"github.com/hazelcast/hazelcast-go-client"
	members "github.com/hazelcast/hazelcast-go-client/cluster"
)

const (
	// minDefaultTTL is the shortest default time to live that is of use.
	minDefaultTTL = 10 * time.Second

	ttlXML  = "<time-to-live-seconds>3600</time-to-live-seconds>"
	ttlYAML = "time-to-live-seconds: 3600"
)

func (b *Backend) misconfigured(why, xml, yaml string) error {
	name := b.mapName()
	return fmt.Errorf(`%w: %s; on every member, configure the map in hazelcast.xml:
  <map name="%s">
    %s
  </map>
or in hazelcast.yaml:
  map:
    "%s":
      %s`, ErrMapConfig, why, name, xml, name, yaml)
}

// follow refuses a client that is configured so that others do not see its sessions. It has the
// members looked at again when one joins.
func (b *Backend) follow(client *hazelcast.Client) error {
	if littleEndian(client) {
		return errLittleEndian
	}
	_, err := client.AddMembershipListener(func(e members.MembershipStateChanged) {
		if e.State == members.MembershipStateAdded {
			b.clock.due.Store(true)
		}
		b.notices.changed()
	})
	return b.describe(b.mapName(), err)
}

// littleEndian reports whether the client writes integers with the low byte first. A
// client keeps its configuration to itself, and nothing that it returns shows it.
func littleEndian(client *hazelcast.Client) bool {
	config := reflect.ValueOf(client).Elem().FieldByName("cfg")
	if config.Kind() != reflect.Pointer || config.IsNil() {
		return false
	}
	serialization := config.Elem().FieldByName("Serialization")
	if serialization.Kind() != reflect.Struct {
		return false
	}
	field := serialization.FieldByName("LittleEndian")
	return field.Kind() == reflect.Bool && field.Bool()
}
