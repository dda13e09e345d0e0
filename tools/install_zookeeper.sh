#!/usr/bin/env bash
# Unpack ZooKeeper's jars from Debian into a directory, without installing anything: a ClickHouse cluster needs it, since
# the library that our clickhouse-server is taken from was built without ClickHouse Keeper. apt checks the signatures.
#
#   install_zookeeper.sh TARGET_DIR      a second call returns at once
#
# Needs: apt-get with its lists, dpkg-deb, flock; no root. 2 MB.
set -euo pipefail

die() { echo "install_zookeeper: $*" >&2; exit 1; }
[ $# -eq 1 ] || die "usage: $0 TARGET_DIR"

packages=(libzookeeper-java libslf4j-java libdropwizard-metrics-java libsnappy-java)
jars=(zookeeper zookeeper-jute slf4j-api slf4j-simple metrics-core snappy-java)
mkdir -p "$1"
target=$(cd "$1" && pwd)

exec 9>"$target/.lock"
flock -w 300 9 || die "another run holds $target/.lock"
[ -e "$target/.complete" ] && exit 0

work=$(mktemp -d "$target/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get -q download "${packages[@]}") || die "apt-get download ${packages[*]} failed"
for deb in "$work"/*.deb; do dpkg-deb -x "$deb" "$work/root"; done
for jar in "${jars[@]}"; do cp -L "$work/root/usr/share/java/$jar.jar" "$target/"; done
touch "$target/.complete"
