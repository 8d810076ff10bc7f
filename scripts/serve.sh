#!/usr/bin/env bash
# Keeps a host with the example platform running for a person to play with: what
# `make serve` runs once all is built. Takes the folder with the built programs. PORT
# and ADMIN_PORT are the host's own settings. Ctrl-C ends it; nothing is left behind.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -eq 1 ] || { echo 'usage: scripts/serve.sh TARGET' >&2; exit 2; }
unset HOST_HOME HOST_DATA
. scripts/scratch.sh
scripts/home.sh "$scratch/home" "$1" > /dev/null
host=$scratch/home/bin/host
waits_for "$host" start > /dev/null
port=$("$host" status --json | sed -n 's/.*"port": *\([0-9]*\).*/\1/p')

cat <<TRY

A host runs release 0.1.0, and 0.2.0 and 0.3.0 lie beside it. In another terminal:

  host=$host
  \$host status
  \$host rpc donations:ramadan-2026 open '{"title":"Ramadan","currency":"USD","goal":"1000"}'
  \$host rpc donations:ramadan-2026 donate '{"donation_id":"d1","amount":"100.00","currency":"USD"}'
  curl http://localhost:$port/api/v1/donations/ramadan-2026/summary

A client of the npm package phoenix, which prints what it is told:

  cd $PWD/tests/js && npm ci && node listen.mjs $port donations:ramadan-2026

Change the release under it, and go back:

  \$host upgrade 0.2.0 --probation 10s    # 20 s, where few call
  \$host rollback

Ctrl-C ends the host and removes its home.
TRY

# In order, so that clients are told.
trap '"$host" stop > /dev/null 2>&1 || true; clean_up' EXIT
waits_for sleep infinity
