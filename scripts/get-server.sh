#!/bin/sh
# usage: get-server.sh SUITE DEST PACKAGE...
#
# Unpacks PACKAGEs of another Debian suite, with everything they depend on down to libc, into DEST and writes a wrapper
# DEST/bin/PROGRAM for each server program. Of the host's package state only the keyring and, on Debian, the mirror's
# address are read: nothing of the other suite is ever installed. DEST appears complete or not at all.
set -eu
umask 022
[ $# -ge 3 ] || { echo 'usage: get-server.sh SUITE DEST PACKAGE...' >&2; exit 2; }
suite=$1 dest=$2
shift 2

mkdir -p "$(dirname "$dest")"
parent=$(cd "$(dirname "$dest")" && pwd -P)
dest=$parent/$(basename "$dest")
exec 9>"$dest.lock"
flock 9
[ ! -d "$dest/bin" ] || exit 0

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || { echo "get-server.sh: install debian-archive-keyring, which holds Debian's signing keys" >&2; exit 1; }

# A Debian's own mirror serves every suite. Elsewhere the address of one has to be given.
mirror=${STORE_TEST_DEBIAN_MIRROR:-}
if [ -z "$mirror" ] && grep -q '^ID=debian$' /etc/os-release; then
	mirror=$(sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
	[ -n "$mirror" ] || mirror=$(sed -n 's/^deb[[:space:]]\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*\)[[:space:]].*/\2/p' /etc/apt/sources.list 2>/dev/null | head -n 1)
fi
[ -n "$mirror" ] || { echo "get-server.sh: set STORE_TEST_DEBIAN_MIRROR to the URL of a Debian mirror: the host's apt names none" >&2; exit 1; }

work=$(mktemp -d "$parent/.$(basename "$dest").XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
apt=$work/.apt
mkdir -p "$apt/etc/sources.list.d" "$apt/etc/apt.conf.d" "$apt/etc/preferences.d" "$apt/lists/partial" "$apt/cache/archives/partial"
: >"$apt/status"
printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$mirror" "$suite" "$keyring" >"$apt/etc/sources.list.d/suite.sources"
cat >"$apt/apt.conf" <<CONF
Dir::Etc "$apt/etc";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "$apt/etc/sources.list.d";
Dir::State "$apt";
Dir::State::Lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
APT::Sandbox::User "$(id -un)";
APT::Architecture "$(dpkg --print-architecture)";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::Check-Valid-Until "false";
Debug::NoLocking "true";
CONF
export APT_CONFIG="$apt/apt.conf"
apt-get update -qq >&2
apt-get install -y -qq --no-install-recommends --download-only "$@" >/dev/null
for deb in "$apt"/cache/archives/*.deb; do
	dpkg -x "$deb" "$work"
done
rm -rf "$apt"

# The libraries' folders lie under /lib in suites from before the merge of /lib into /usr/lib. Wrappers name the place
# at which everything will be once it is moved there.
triplet=$(uname -m)-linux-gnu
loader=$(cd "$work" && ls usr/lib/"$triplet"/ld-linux-*.so.* lib/"$triplet"/ld-linux-*.so.* 2>/dev/null | head -n 1)
[ -n "$loader" ] || { echo "get-server.sh: no dynamic loader for $triplet in $suite" >&2; exit 1; }
mkdir -p "$work/bin"
for kind in redis valkey; do
	for program in server cli sentinel benchmark; do
		name=$kind-$program
		[ -e "$work/usr/bin/$name" ] || continue
		printf '#!/bin/sh\nexec "%s" --library-path "%s:%s" "%s" "$@"\n' \
			"$dest/$loader" "$dest/usr/lib/$triplet" "$dest/lib/$triplet" "$dest/usr/bin/$name" >"$work/bin/$name"
		chmod 755 "$work/bin/$name"
	done
done
chmod 755 "$work"
rm -rf "$dest"
mv "$work" "$dest"
trap - EXIT
