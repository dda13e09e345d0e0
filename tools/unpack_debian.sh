#!/usr/bin/env bash
# Download packages of a Debian suite, with all that they depend on, and unpack them into a directory. Nothing is
# installed: apt gets lists, state and configuration of its own, knows no package as installed, and checks the archive's
# signatures against Debian's own keyring.
#
#   unpack_debian.sh SUITE ROOT PACKAGE...      prints the paths of the dynamic loader and of the libraries in ROOT
#
# Environment: DEBIAN_MIRROR (default: the one that this machine's own apt uses),
#              UNPACK_SKIP (an extended regular expression: packages that are not unpacked).
# Needs: apt-get, dpkg-deb, the Debian archive keyring, disk for the packages; no root.
set -euo pipefail

die() { echo "unpack_debian: $*" >&2; exit 1; }
[ $# -ge 3 ] || die "usage: $0 SUITE ROOT PACKAGE..."
suite=$1 root=$2
shift 2

for tool in apt-get dpkg dpkg-deb; do command -v "$tool" >/dev/null || die "$tool is missing"; done
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' | awk '$2 == "Debian" && $3 == "Debian" {print $1; exit}')}
[ -n "$mirror" ] || die "this machine's apt names no Debian mirror: run apt-get update first, or set DEBIAN_MIRROR"
arch=$(dpkg --print-architecture)

# The keys of older releases, too: bullseye's are on their way out of the first one.
keyrings=
for key in /usr/share/keyrings/debian-archive-{keyring.gpg,keyring.pgp,removed-keys.gpg,removed-keys.pgp}; do
    [ ! -r "$key" ] || keyrings=${keyrings:+$keyrings,}$key
done
[ -n "$keyrings" ] || die "no Debian archive keyring (package debian-archive-keyring)"

mkdir -p "$(dirname "$root")"
work=$(mktemp -d "$root.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,cache/archives/partial,dpkg,etc,log}
: >"$work/dpkg/status"         # nothing counts as installed: apt then fetches the whole closure
suites=$suite
[ "$suite" != experimental ] || suites="experimental sid"       # the first is no whole suite
for name in $suites; do printf 'deb [signed-by=%s] %s %s main\n' "$keyrings" "$mirror" "$name"; done >"$work/etc/sources.list"

# Every apt directory is ours; the host's configuration, lists and locks are not touched.
cat >"$work/apt.conf" <<CONF
Dir::State "$work";
Dir::State::lists "$work/lists";
Dir::State::status "$work/dpkg/status";
Dir::State::extended_states "$work/extended_states";
Dir::Cache "$work/cache";
Dir::Log "$work/log";
Dir::Etc::sourcelist "$work/etc/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
Dir::Etc::trusted "-";
Dir::Etc::trustedparts "-";
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Get::Assume-Yes "true";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::PDiffs "false";
Debug::NoLocking "true";
CONF
export APT_CONFIG=$work/apt.conf DEBIAN_FRONTEND=noninteractive

apt-get -qq update >&2 || die "cannot read the package lists of $suites at $mirror"
apt-get -qq --download-only install "$@" >"$work/log/download" 2>&1 \
    || { tail -n 20 "$work/log/download" >&2; die "download failed"; }
shopt -s nullglob
debs=("$work"/cache/archives/*.deb)
[ "${#debs[@]}" -gt 0 ] || die "nothing was downloaded"

rm -rf "$root" "$root.new"
mkdir -p "$root.new"
# The merged layout first, so that packages with /lib and those with /usr/lib land in one place.
for directory in bin sbin lib lib64; do mkdir -p "$root.new/usr/$directory"; ln -s "usr/$directory" "$root.new/$directory"; done
for deb in "${debs[@]}"; do
    [ -z "${UNPACK_SKIP:-}" ] || ! [[ ${deb##*/} =~ $UNPACK_SKIP ]] || continue
    dpkg-deb --fsys-tarfile "$deb" \
        | tar -x -C "$root.new" --keep-directory-symlink --no-same-owner --exclude='./dev' \
              --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale'
done
mv "$root.new" "$root"

loaders=("$root"/usr/lib64/ld-linux-*.so.* "$root"/usr/lib/ld-linux-*.so.* "$root"/usr/lib/*-linux-gnu*/ld-linux-*.so.*)
[ "${#loaders[@]}" -gt 0 ] || die "no dynamic loader in the unpacked tree"
loader=${loaders[0]}
# An absolute link, as an old libc has it, would lead to the host's loader.
case $(readlink "$loader" || true) in /*) ln -sfn "$root$(readlink "$loader")" "$loader" ;; esac
libraries=("$root"/usr/lib/*-linux-gnu*)
printf '%s\n' "$loader" "${libraries[0]}"
