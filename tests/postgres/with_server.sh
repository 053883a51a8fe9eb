#!/usr/bin/env bash
# Runs a command beside a PostgreSQL server of its own, which ends with it. The server
# listens on a free port of 127.0.0.1, speaks TLS with a certificate made for it, and
# lets nobody in without a password. Needs Debian's packages postgresql and openssl.
set -euo pipefail

bin="$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1)"
dir="$(mktemp -d)"
# The server refuses to be run by root.
as() { if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi; }
stop() {
  as "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$dir"
}
trap stop EXIT

password="pass w/rd:$RANDOM$RANDOM"
printf '%s' "$password" >"$dir/password"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 \
  -addext subjectAltName=IP:127.0.0.1 -keyout "$dir/key.pem" -out "$dir/ca.pem" 2>/dev/null
chmod 600 "$dir/key.pem"
chmod 755 "$dir"
[ "$(id -u)" != 0 ] || chown -R postgres "$dir"

as "$bin/initdb" -D "$dir/data" -A scram-sha-256 -U hublake --pwfile="$dir/password" -E UTF8 >/dev/null
port="$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')"
as "$bin/pg_ctl" -D "$dir/data" -w -t 60 -l "$dir/log" -o "-p $port -c listen_addresses=127.0.0.1 \
  -c unix_socket_directories='$dir' -c ssl=on -c ssl_cert_file='$dir/ca.pem' -c ssl_key_file='$dir/key.pem'" \
  start >/dev/null || { cat "$dir/log" >&2; exit 1; }

encoded="$(python3 -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1], safe=""))' "$password")"
export HUBLAKE_TEST_POSTGRES="postgres://hublake:$encoded@127.0.0.1:$port/postgres"
export HUBLAKE_TEST_POSTGRES_PASSWORD="$password"
export HUBLAKE_TEST_POSTGRES_CA="$dir/ca.pem"
"$@"
