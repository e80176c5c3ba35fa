#!/bin/sh
# One full run of the benchmark tool into a dated folder; see README.md beside it.
set -eu
cd "$(dirname "$0")/../.."
out=bench/results/$(date -u +%Y-%m-%d)
mkdir -p "$out"
tmp=$(mktemp -d)
redis_pid= hazelcast_pid=
cleanup() {
	for pid in $redis_pid $hazelcast_pid; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

if [ -z "${REDIS_URL:-}" ] && command -v redis-server >/dev/null; then
	port=17000
	while redis-cli -p "$port" ping >/dev/null 2>&1; do port=$((port + 1)); done
	redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$tmp" >/dev/null &
	redis_pid=$!
	until redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done
	REDIS_URL=redis://127.0.0.1:$port
fi
jar=$(ls "${STORE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sessionkv-store/servers}"/hazelcast-*.jar 2>/dev/null | tail -n 1)
if [ -z "${HAZELCAST_URL:-}" ] && [ -n "$jar" ] && command -v java >/dev/null; then
	port=17100
	HZ_CLUSTERNAME=bench HZ_MAP_DEFAULT_TIMETOLIVESECONDS=3600 HZ_NETWORK_PORT_PORT=$port HZ_NETWORK_PUBLICADDRESS=127.0.0.1 \
		HZ_NETWORK_JOIN_AUTODETECTION_ENABLED=false HZ_NETWORK_JOIN_MULTICAST_ENABLED=false \
		java -Xmx1g --add-modules java.se --add-exports java.base/jdk.internal.ref=ALL-UNNAMED \
		--add-opens java.base/java.lang=ALL-UNNAMED --add-opens java.base/sun.nio.ch=ALL-UNNAMED \
		--add-opens java.management/sun.management=ALL-UNNAMED --add-opens jdk.management/com.sun.management.internal=ALL-UNNAMED \
		-Dhazelcast.phone.home.enabled=false -Dhazelcast.socket.bind.any=false -Dhazelcast.local.localAddress=127.0.0.1 \
		-cp "$jar" com.hazelcast.core.server.HazelcastMemberStarter >"$tmp/hazelcast.log" 2>&1 &
	hazelcast_pid=$!
	until grep -q 'is STARTED' "$tmp/hazelcast.log"; do
		kill -0 "$hazelcast_pid" 2>/dev/null || { cat "$tmp/hazelcast.log" >&2; exit 1; }
		sleep 0.2
	done
	port=$(sed -n 's/.*\[127\.0\.0\.1\]:\([0-9]*\) is STARTED.*/\1/p' "$tmp/hazelcast.log" | head -n 1)
	HAZELCAST_URL=hazelcast://127.0.0.1:$port/bench
fi
redis=${REDIS_URL:+-store $REDIS_URL}
hazelcast=${HAZELCAST_URL:+-store $HAZELCAST_URL}

go build -o "$tmp/bench" ./bench
commands=$tmp/commands
: >"$commands"
# run NAME ARGUMENTS… writes NAME.txt.
run() {
	name=$1
	shift
	echo "== $name"
	"$tmp/bench" "$@" 2>"$tmp/progress" >"$out/$name.txt" || { cat "$tmp/progress" >&2; exit 1; }
	# The URLs may hold passwords.
	echo "go run ./bench $*" | sed 's#://[^/ ]*@#://#g' >>"$commands"
}

# shellcheck disable=SC2086 # the words of $redis and $hazelcast are arguments
{
	run memory -store memory: -against all -workload a,b,c,d,f,life -workers 1,4 -sessions 10000 -value claims -duration 250ms -html "$out/memory.html"
	if [ -n "$redis" ]; then
		run redis $redis -against goredis,rueidis,rueidis-cache,gokv-redis,scs-redis -workload b,life -workers 1,16,256 -duration 500ms -html "$out/redis.html"
		run rate $redis -against goredis,rueidis -workload b -workers 256 -rate 5000 -duration 3s
	fi
	[ -z "$hazelcast" ] || run hazelcast $hazelcast -against hazelcast -workload b,life -workers 1,16
}
cd bench
out=../$out
echo "== goals"
goals="go test -v -timeout 3h ./goals -args -measure ${REDIS_URL:+-redis $REDIS_URL} ${HAZELCAST_URL:+-hazelcast $HAZELCAST_URL}"
echo "$goals (in bench)" | sed 's#://[^/ ]*@#://#g' >>"$commands"
$goals >"$tmp/goals" || true # a goal that is missed is a result
sed -n '/^goal  /,/^$/p' "$tmp/goals" >"$out/goals.txt"
# benchmarks FILE ARGUMENTS… adds to the file.
benchmarks() {
	file=$1
	shift
	echo "== $file"
	echo "go test -run ^\$ -benchmem $* (in bench)" >>"$commands"
	STORE_TEST_REDIS_URL="${REDIS_URL:-}" go test -run '^$' -benchmem -timeout 1h "$@" >>"$out/$file.txt"
}
benchmarks benchstat -bench . -benchtime 50ms -count 3 ./codecs ./internal/system
benchmarks growth -bench Memory -benchtime 100ms ./growth -args -large
benchmarks growth -bench Server -benchtime 1x ./growth -args -large

{
	date -u
	uname -srm
	grep -m1 'model name' /proc/cpuinfo 2>/dev/null || true
	echo "cores: $(getconf _NPROCESSORS_ONLN)"
	go version
	[ -z "$redis_pid" ] || redis-server --version
	[ -z "$hazelcast_pid" ] || basename "$jar" .jar
	go list -m -f '{{.Path}} {{.Version}}' all | grep -E 'go-redis/v9|rueidis|hazelcast-go|otter|gokv|/scs|gocache|msgpack/v5|sonic|goccy/go-json|segmentio/encoding|cbor|hdrhistogram'
	echo
	cat "$commands"
} >"$out/machine.txt"
echo "results are in $out"
