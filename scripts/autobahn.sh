#!/usr/bin/env bash
# Runs Autobahn's case files against the echo server in host-gateway's examples, which is
# the codec and the connection's loop of the channels. All cases but those of compression
# (12.*, 13.*), which is off. Needs Python with venv.
#
#   scripts/autobahn.sh TARGET [CASE...]     as 'scripts/autobahn.sh target/debug 6.*'
#
# The reports are in TARGET/autobahn.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { echo 'usage: scripts/autobahn.sh TARGET [CASE...]' >&2; exit 2; }
target=$1
shift

wanted=tests/autobahn.txt
venv=$target/autobahn/venv
if ! cmp -s "$wanted" "$venv/$(basename "$wanted")"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"
    cp "$wanted" "$venv"
fi

# It ends with its input, so with this script.
coproc echo_server { exec "$target/examples/echo" 127.0.0.1:0; }
read -r -t 30 address <&"${echo_server[0]}" || { echo 'the echo server has not begun' >&2; exit 1; }

cases=(-x '12.*' -x '13.*')
[ $# -eq 0 ] || cases=("${@/#/-i}")
timeout 600 "$venv/bin/kosoku" -m fuzzingclient "${address#ws://}" "${cases[@]}" \
    -o "$target/autobahn/reports"
