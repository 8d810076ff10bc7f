#!/usr/bin/env bash
# Everything that must hold, from formatting to kill -9: what `make test` runs.
#
# Needs Rust and a C compiler. Node, npm, PostgreSQL, systemd, bubblewrap, zstd, Chromium and
# Python's venv are installed through apt where they are missing and the user may. Ends with a
# summary; the exit code is 0 only if all of it passed.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/apt.sh

export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
# Tests print what they need; a backtrace of each expected panic helps no one.
export RUST_BACKTRACE=${RUST_BACKTRACE:-0}
# Of all that is left to chance: the same again repeats it.
export E2E_SEED=${E2E_SEED:-$(date +%s)}
echo "E2E_SEED=$E2E_SEED"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
steps=() results=() seconds=() failed=0

# step NAME COMMAND...: runs it, and remembers how it went and how long it took.
step() {
    local name=$1 began=$SECONDS result=ok
    shift
    printf '\n=== %s\n' "$name"
    "$@" || { result=FAILED failed=1; }
    steps+=("$name") results+=("$result") seconds+=($((SECONDS - began)))
    [ "$result" = ok ]
}

node_and_npm() {
    if ! command -v node > /dev/null || ! command -v npm > /dev/null; then
        apt_install nodejs npm || {
            echo 'install Node.js and npm: the real client of browsers runs in them' >&2
            return 1
        }
    fi
    (cd tests/js && npm ci --no-fund --no-audit)
}

# The tests start servers of their own; they find the programs where Debian puts them.
postgresql() {
    if ! command -v initdb > /dev/null && ! ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1; then
        apt_install postgresql || {
            echo 'install PostgreSQL 15 or newer: the journal is tested on a real server' >&2
            return 1
        }
    fi
}

# Units that the host writes are judged by systemd itself.
systemd() {
    if ! command -v systemd-analyze > /dev/null; then
        apt_install systemd || {
            echo 'install systemd 252 or newer: the unit is checked by systemd-analyze' >&2
            return 1
        }
    fi
}

# The image of a release is run in namespaces, as a container engine would.
bubblewrap() {
    if ! command -v bwrap > /dev/null; then
        apt_install bubblewrap || {
            echo 'install bubblewrap: the image of a release is run by it' >&2
            return 1
        }
    fi
}

# Packages are unpacked by what every distribution has.
zstd() {
    # A program, and not this function.
    if ! type -P zstd > /dev/null; then
        apt_install zstd || {
            echo 'install zstd: the guide unpacks a package with tar --zstd' >&2
            return 1
        }
    fi
}

python() {
    if ! python3 -c 'import venv, ensurepip' 2> /dev/null; then
        apt_install python3-venv || {
            echo 'install Python 3 with venv: Autobahn and the checks of deploy are tools in it' >&2
            return 1
        }
    fi
}

# The browser in whose page the client stays.
chromium() {
    # As above.
    if ! type -P chromium > /dev/null; then
        apt_install chromium || {
            echo 'install Chromium: a page of it stays connected through upgrades' >&2
            return 1
        }
    fi
}

# The codec and the loop of a connection, asked what every WebSocket server is asked.
autobahn() {
    cargo build --workspace --example echo --locked &&
        scripts/autobahn.sh "${CARGO_TARGET_DIR:-target}/debug"
}

# The tests of all crates. Their output is kept to be counted.
tests() {
    # Behind nohup the signal is ignored, then also by what a test hangs the terminal up of.
    E2E_HOME=$scratch/home env --default-signal=HUP \
        cargo test --workspace --no-fail-fast 2>&1 | tee "$scratch/tests.log"
}

prepared_home() {
    scripts/home.sh "$scratch/home" "${CARGO_TARGET_DIR:-target}/debug"
}

# The fuzzer's targets are no part of the workspace. Here they are compiled, with what
# clippy has looked at already; `make fuzz` runs them.
fuzz_targets() {
    CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target} \
        cargo check --manifest-path fuzz/Cargo.toml --no-default-features --locked
}

summary() {
    local passed lost ignored i
    count() { grep -Eo "[0-9]+ $1" "$scratch/tests.log" 2> /dev/null | awk '{n += $1} END {print n + 0}'; }
    passed=$(count passed) lost=$(count 'failed;') ignored=$(count ignored)
    printf '\n=== summary\n'
    for i in "${!steps[@]}"; do
        printf '%-44s %-7s %4d s\n' "${steps[i]}" "${results[i]}" "${seconds[i]}"
    done
    printf '%d tests passed, %d failed, %d ignored, in %d s, with E2E_SEED=%s\n' \
        "$passed" "$lost" "$ignored" "$SECONDS" "$E2E_SEED"
    # A test program that a signal ended counts nothing; it is named all the same.
    grep -aE '^test .* FAILED$|\(signal: ' "$scratch/tests.log" 2> /dev/null | sort -u
    [ "$failed" -eq 0 ] && echo 'all of it holds' || echo 'not all of it holds'
}

# What is built takes the most of it. A disk that fills on the way fails somewhere else, and
# says something else.
room() {
    local target=${CARGO_TARGET_DIR:-target} wanted=16 has free
    mkdir -p "$target"
    has=$(du -sk "$target" | cut -f1)
    free=$(df -Pk "$target" | awk 'NR == 2 {print $4}')
    if [ $(((has + free) >> 20)) -lt "$wanted" ]; then
        echo "$((free >> 20)) GiB are free where $target is, and all of this takes $wanted GiB with what is"             "there: make room, or name another disk with CARGO_TARGET_DIR" >&2
        return 1
    fi
}

step 'room on the disk' room || { summary; exit 1; }
step 'format' cargo fmt --all --check
step 'the JavaScript client' node_and_npm
step 'PostgreSQL' postgresql
step 'systemd' systemd
step 'bubblewrap' bubblewrap
step 'zstd' zstd
step 'Python' python
step 'Chromium' chromium
step 'deploy' scripts/deploy.sh
# Those of other systems, too: a test asks cargo about a workspace without the network.
step 'crates' cargo fetch --locked
if step 'build' cargo build --workspace --locked && step 'a home to copy' prepared_home; then
    step 'tests' tests
    step 'Autobahn' autobahn
fi
step 'clippy, warnings denied' cargo clippy --workspace --all-targets --locked -- -D warnings
step 'targets of the fuzzer' fuzz_targets
summary
exit "$failed"
