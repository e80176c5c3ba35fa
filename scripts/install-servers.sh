#!/bin/sh
# usage: install-servers.sh [--browser]
#
# Fetches the servers that the tests start: redis-server from the system's packages, and Redis 8, Valkey 8 and 9, and the
# Hazelcast member into a cache folder outside the repository (STORE_TEST_CACHE, else sessionkv-store/servers in the
# user's cache folder); and Node.js with npm, in which the tests' Socket.IO client runs. With --browser also Chromium. What is
# there already is left alone; what cannot be had is reported in one line, and fails the script only where CI is set.
#
# No service is enabled or left running: the tests start their servers themselves.
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)

hazelcast_version=5.5.0
hazelcast_sha256=cf560b40b988526e780e4fae12cb6fe01c5158bb9e00839882857f32b544a19e

browser=no
for arg; do
	case $arg in
	--browser) browser=yes ;;
	*) echo 'usage: install-servers.sh [--browser]' >&2; exit 2 ;;
	esac
done

if [ -n "${STORE_TEST_CACHE:-}" ]; then
	cache=$STORE_TEST_CACHE
elif [ "$(uname -s)" = Darwin ]; then
	cache=$HOME/Library/Caches/sessionkv-store/servers
else
	cache=${XDG_CACHE_HOME:-$HOME/.cache}/sessionkv-store/servers
fi
mkdir -p "$cache"
cache=$(cd "$cache" && pwd -P)

# One run at a time, where there is flock; elsewhere only the jar is fetched, and that is moved into place as a whole.
if command -v flock >/dev/null; then
	exec 8>"$cache/install.lock"
	flock 8
fi

failed=no
lacks() {
	echo "install-servers: $1" >&2
	failed=yes
}

has() { command -v "$1" >/dev/null; }

is_debian() { has apt-get && grep -Eq '^(ID|ID_LIKE)=.*(debian|ubuntu)' /etc/os-release 2>/dev/null; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# apt_install installs system packages without starting their services: a policy forbids it for as long as that takes.
updated=no
policy=/usr/sbin/policy-rc.d
apt_install() {
	if [ "$updated" = no ]; then
		as_root apt-get update -qq >/dev/null || return 1
		updated=yes
	fi
	ours=no
	if [ ! -e "$policy" ]; then
		ours=yes
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy" || return 1
	fi
	status=0
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 || status=$?
	if [ "$ours" = yes ]; then as_root rm -f "$policy"; fi
	return "$status"
}

get_redis() {
	has redis-server && return 0
	if ! is_debian; then
		lacks "install redis-server 6 or later by hand (macOS: brew install redis; Fedora: dnf install redis)"
	elif ! apt_install redis-server; then
		lacks "redis-server could not be installed: run 'apt-get install redis-server' as root"
	elif [ -d /run/systemd/system ]; then
		as_root systemctl disable --quiet --now redis-server || lacks 'the service redis-server could not be disabled'
	fi
}

# get_suite NAME SUITE PACKAGE... caches a server of a Debian suite that the tests want besides the system's own.
get_suite() {
	name=$1 suite=$2
	shift 2
	[ -d "$cache/$name/bin" ] && return 0
	if ! is_debian; then
		lacks "$name skipped: put its programs into $cache/$name/bin by hand to test with it"
	elif ! output=$("$here/get-server.sh" "$suite" "$cache/$name" "$@" 2>&1); then
		lacks "$name could not be fetched from Debian $suite: $(printf '%s' "$output" | tail -n 1)"
	fi
}

sha256_of() {
	if has sha256sum; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

# fetch_jar FOLDER fetches the member's jar into FOLDER with Maven, which has the user's mirrors.
fetch_jar() {
	has mvn || { is_debian && apt_install maven; } || return 1
	mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
		-Dartifact="com.hazelcast:hazelcast:$hazelcast_version" -DoutputDirectory="$1" -Dmdep.useBaseVersion=true >/dev/null 2>&1
}

get_hazelcast() {
	has java || lacks 'java not found: install Java 17 or later, which Hazelcast needs'
	jar=$cache/hazelcast-$hazelcast_version.jar
	[ -f "$jar" ] && return 0
	work=$(mktemp -d "$cache/.hazelcast.XXXXXX")
	if ! fetch_jar "$work"; then
		lacks "com.hazelcast:hazelcast:$hazelcast_version could not be fetched from Maven Central: install Maven (mvn) and see that it reaches a repository"
	elif [ "$(sha256_of "$work/hazelcast-$hazelcast_version.jar")" != "$hazelcast_sha256" ]; then
		lacks "com.hazelcast:hazelcast:$hazelcast_version has an unexpected checksum and was thrown away"
	else
		mv "$work/hazelcast-$hazelcast_version.jar" "$jar"
	fi
	rm -rf "$work"
}

get_browser() {
	for program in chromium chromium-browser google-chrome google-chrome-stable chrome; do
		has "$program" && return 0
	done
	if ! is_debian; then
		lacks 'install Chromium or Chrome by hand'
	elif ! apt_install chromium; then
		lacks "chromium could not be installed: run 'apt-get install chromium' as root"
	fi
}

# The client of the Socket.IO tests runs in Node.js and is fetched with npm.
get_node() {
	has node && has npm && return 0
	if ! is_debian; then
		lacks 'install Node.js with npm by hand'
	elif ! apt_install nodejs npm; then
		lacks "Node.js could not be installed: run 'apt-get install nodejs npm' as root"
	fi
}

get_redis
get_suite redis8 trixie redis-server redis-sentinel
get_suite valkey trixie valkey-server valkey-sentinel
get_suite valkey9 sid valkey-server valkey-sentinel
get_hazelcast
get_node
if [ "$browser" = yes ]; then get_browser; fi

if [ "$failed" = yes ] && [ -n "${CI:-}" ]; then exit 1; fi
