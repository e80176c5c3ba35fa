package testserver

import (
	"encoding/xml"
	"strings"
	"text/template"
)

// memberConfig is the configuration of one member. It keeps to the loopback interface, finds only the members it is told of, and
// tells nobody about itself. It does not wait for further members to turn up before it starts. It soon joins again after a pause
// for which the others dropped it.
var memberConfig = template.Must(template.New("hazelcast.xml").Funcs(template.FuncMap{"xml": escapeXML}).Parse(`<?xml version="1.0" encoding="UTF-8"?>
<hazelcast xmlns="http://www.hazelcast.com/schema/config">
  <cluster-name>{{xml .Cluster}}</cluster-name>
  <properties>
    <property name="hazelcast.phone.home.enabled">false</property>
    <property name="hazelcast.socket.bind.any">false</property>
    <property name="hazelcast.wait.seconds.before.join">0</property>
    <property name="hazelcast.health.monitoring.level">OFF</property>
    <property name="hazelcast.heartbeat.interval.seconds">1</property>
    <property name="hazelcast.merge.first.run.delay.seconds">2</property>
    <property name="hazelcast.merge.next.run.delay.seconds">2</property>
    <property name="hazelcast.max.no.heartbeat.seconds">{{.Heartbeat}}</property>
  </properties>
  <network>
    <public-address>127.0.0.1:{{.Port}}</public-address>
    <port auto-increment="false">{{.Port}}</port>
    <join>
      <auto-detection enabled="false"/>
      <multicast enabled="false"/>
      <tcp-ip enabled="true" connection-timeout-seconds="2">
        {{- range .Members}}
        <member>{{xml .}}</member>
        {{- end}}
      </tcp-ip>
    </join>
    <interfaces enabled="true"><interface>127.0.0.1</interface></interfaces>
    <rest-api enabled="true"><endpoint-group name="HEALTH_CHECK" enabled="true"/></rest-api>
  </network>
  <map name="default"><backup-count>1</backup-count></map>
  {{- range .Maps}}
  <map name="{{xml .Pattern}}">
    <backup-count>{{.Backups}}</backup-count>
    <time-to-live-seconds>{{.TTL}}</time-to-live-seconds>
    <max-idle-seconds>{{.MaxIdle}}</max-idle-seconds>
  </map>
  {{- end}}
</hazelcast>
`))

func escapeXML(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder never fails
	return b.String()
}
