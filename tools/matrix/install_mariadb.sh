#!/usr/bin/env bash
# Unpack a private MariaDB, server and client programs, from the Debian suite that has this version; nothing is installed.
#
#   install_mariadb.sh VERSION DIR      10.5, 10.11 or 11.8; a second call returns at once; DIR/bin has the programs
#
# As root, servers run as `nobody`, who must be able to reach DIR.
. "$(dirname "$0")/private.sh"

declare -A suites=([10.5]=bullseye [10.11]=bookworm [11.8]=trixie)
[ $# -eq 2 ] && [ -n "${suites[$1]:-}" ] || die "usage: $0 VERSION DIR, with a version of: ${!suites[*]}"
suffix=
[ "$1" != 10.5 ] || suffix=-10.5 # as bullseye's packages are called

begin "$1" "$2"
unpack "${suites[$1]}" mariadb-{server-core,client-core,server,client}$suffix
usr=$root/usr
share=$usr/share/mariadb
[ -e "$share/charsets" ] || share=$usr/share/mysql

settings="export MARIADB_PLUGIN_DIR='$libraries/libmariadb3/plugin'"
for program in mariadb mariadb-dump mariadb-binlog my_print_defaults resolveip; do
    wrap "$usr/bin/$program"
done
wrap "$usr/sbin/mariadbd" "--basedir=$usr" "--lc-messages-dir=$share" "--character-sets-dir=$share/charsets" \
    "--plugin-dir=$usr/lib/mysql/plugin"

# A script, which finds the others below its --basedir.
printf '#!/bin/sh\nexec sh "%s" "$@" "--basedir=%s"\n' "$usr/bin/mariadb-install-db" "$usr" >"$target/bin/mariadb-install-db"
chmod 755 "$target/bin/mariadb-install-db"
complete mariadbd mariadb mariadb-dump
