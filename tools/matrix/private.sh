# shellcheck shell=bash
# What installers share, who source this: an install that is whole or starts again, and programs of another Debian suite,
# which run by the libc and the libraries that came with them. Needs flock and what unpack_debian.sh needs.
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

die() { echo "$(basename "$0"): $*" >&2; exit 1; }

# begin VERSION DIR FILE...: sets `target` and `root`. Ends the script if DIR holds what these scripts and FILEs make of
# VERSION; else all that an unfinished or older install has left there goes.
begin() {
    local version=$1
    mkdir -p "$2"
    target=$(cd "$2" && pwd -P) # not by a link of the checkout: wrappers hold this path
    root=$target/root
    shift 2
    exec 9>"$target/.lock"
    flock -w 900 9 || die "another run holds $target/.lock"
    made_from="$version $(cat "$0" "$tools"/{unpack_debian.sh,matrix/private.sh} "$@" | sha256sum)"
    [ "$(cat "$target/.complete" 2>/dev/null)" != "$made_from" ] || exit 0
    find "$target" -mindepth 1 ! -name .lock -delete
    mkdir "$target/bin" "$target/real"
}

# complete PROGRAM...: they run, so the install is whole.
complete() {
    local program
    for program; do "$target/bin/$program" --version || die "the unpacked $program does not run"; done
    echo "$made_from" >"$target/.complete"
}

# unpack SUITE PACKAGE...: into `root`; sets `loader` and `libraries`.
unpack() {
    local said
    said=$("$tools/unpack_debian.sh" "$1" "$root" "${@:2}") || die "not unpacked: ${*:2}"
    { read -r loader && read -r libraries; } <<<"$said"
}

# wrap PROGRAM [ARGUMENT...]: a wrapper takes the program's place, and DIR/bin has it. It adds the arguments behind those
# of its caller, and begins with $settings.
wrap() {
    local name place
    name=$(basename "$1")
    place=$(readlink -e "$1") || die "no $1 in the unpacked tree"
    mv "$place" "$target/real/$name"
    {
        printf '#!/bin/sh\n%s\nexec "%s" --library-path "%s" "%s" "$@"' \
            "${settings:-}" "$loader" "$libraries" "$target/real/$name"
        [ $# -eq 1 ] || printf ' "%s"' "${@:2}"
        echo
    } >"$place"
    chmod 755 "$place"
    ln -s "$place" "$target/bin/$name"
}
