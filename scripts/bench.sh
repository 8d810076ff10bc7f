#!/usr/bin/env bash
# Measures, and prints one report, which is also kept in target/bench/report.txt:
#
#   stall   what clients see of an upgrade and a rollback with 100,000 live actors
#   otp     the same with Erlang/OTP and release_handler, where it is installed:
#           apt-get install erlang-nox erlang-dev
#   sizes   both for few actors and many, small ones and large, as one table; the large
#           ones beside a bare loop that writes as much
#   micro   what single steps cost inside the host
#   journal durable commands a second, beside a bare loop on the same disk; and the same
#           on a PostgreSQL server, where it is installed: apt-get install postgresql
#   rehearsal actors that are rehearsed in a second, the host and its child on one core;
#           and what clients wait beside it
#   sleepers time of a start in an empty home, beside a bare server of axum; memory and
#           time of a start with a million actors asleep
#   gateway memory of an idle connection; calls a second over WebSockets beside a bare
#           echo of axum, durable ones beside a bare loop on the same disk; messages a second
#           to many subscribers
#   package bytes of a package of the example platform, unpacked, and as a container's image
#   cycles  memory over BENCH_CYCLES (1000) upgrades up and down under load
#
# BENCH_PARTS="stall otp" runs some of them. The settings of the stall bench are in
# tests/src/bin/stall/settings.rs, and of the sizes in sizes.rs beside it:
# BENCH_ACTORS=1000 BENCH_SIZES="1k 10k" BENCH_RUNS=1 is a quick look.
# Others on the same machine spoil the figures; the report says how busy it was.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/apt.sh

out=$PWD/target/bench
parts=${BENCH_PARTS:-stall otp sizes micro journal rehearsal sleepers gateway package cycles}
# One seed for all parts, so that a run can be repeated.
BENCH_SEED=${BENCH_SEED:-$(date +%s)}
export BENCH_SEED

has() { case " $parts " in *" $1 "*) ;; *) return 1 ;; esac; }
title() { printf '\n== %s\n' "$*"; }
load() { echo "load average: $(cut -d' ' -f1-3 /proc/loadavg)"; }

# run NAME COMMAND...: shows its output, keeps it in NAME.txt, and goes on if it
# fails, so that the other figures are there all the same.
failed=
run() {
    name=$1
    shift
    load
    "$@" 2>&1 | tee "$out/$name.txt" || failed="$failed $name"
    load
}

machine() {
    title machine
    echo "$(nproc) cores ($(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1))," \
        "$(awk '/MemTotal/ {printf "%.0f MiB", $2 / 1024}' /proc/meminfo) of memory," \
        "Linux $(uname -r), $(df --output=fstype "$out" | tail -n 1)"
    rustc --version
    echo "commit $(git describe --always --dirty 2>/dev/null || echo unknown), seed $BENCH_SEED"
    load
}

stall() {
    title "stall: the host"
    # In the target folder, for /tmp may be memory, where durable costs nothing.
    TMPDIR=$out E2E_HOME=$out/home run stall target/release/stall
}

otp() {
    title "otp: the peer"
    if command -v erlc >/dev/null; then
        run otp tests/bench/otp/run.sh "$out/otp"
    else
        echo "not installed: apt-get install erlang-nox erlang-dev" | tee "$out/otp.txt"
        failed="$failed otp"
    fi
}

sizes() {
    title "sizes: the host beside the peer"
    TMPDIR=$out E2E_HOME=$out/home run sizes target/release/stall sizes
}

micro() {
    title "micro: inside the host"
    run micro cargo bench --quiet -p host-actors --bench micro
}

journal() {
    title "journal: durable commands, and what of a bare loop they are"
    TMPDIR=$out run journal cargo bench --quiet -p host-journal --bench journal
}

rehearsal() {
    title "rehearsal: actors a second, on one core"
    TMPDIR=$out E2E_HOME=$out/home run rehearsal taskset -c 0 target/release/rehearsal
    TMPDIR=$out E2E_HOME=$out/home run rehearsal-load target/release/rehearsal load
}

sleepers() {
    title "sleepers: memory and starts"
    TMPDIR=$out E2E_HOME=$out/home run sleepers target/release/sleepers
}

gateway() {
    title "gateway: connections"
    TMPDIR=$out E2E_HOME=$out/home run gateway target/release/gateway
}

# weigh NAME MIB FILE...: what they take, and whether that is at most so many MiB.
weigh() {
    local name=$1 most=$2 bytes met='NOT MET'
    shift 2
    bytes=$(du -cb "$@" | tail -n 1 | cut -f1)
    [ "$bytes" -gt $((most << 20)) ] || met=met
    echo "bar $name: at most $most MiB, $((bytes >> 10)) KiB found: $met"
}

packed() {
    rm -rf "$out/package"
    mkdir -p "$out/package/home"
    target/release/host release build --manifest host/releases/0.1.0.toml --oci \
        --out "$out/package" &&
        target/release/host install "$out"/package/*.tar.zst --home "$out/package/home" || return
    weigh package 30 "$out"/package/*.tar.zst
    weigh installed 60 "$out/package/home"
    weigh image 40 "$out"/package/*.oci.tar
}

package() {
    title "package: what is shipped"
    run package packed
}

cycles() {
    title "cycles: memory over upgrades up and down"
    TMPDIR=$out E2E_HOME=$out/home ROUNDS=0 CYCLES=${BENCH_CYCLES:-1000} \
        run cycles target/release/soak
}

table() {
    title "medians, in ms; a call's time counts from when it was due"
    printf '%-16s %10s %8s %9s %9s %9s %9s %9s\n' \
        '' length calls p50 p99 p99.9 max stall
    for part in stall otp; do
        has $part || continue
        sed -n 's/^median //p; s/^\(bar .*\)/  \1/p; s/^not installed.*/otp  &/p' "$out/$part.txt"
    done
    cat <<'NOTE'
length: from the request until the release is permanent; for a steady row, the window
of the same length after it. stall: the longest time in which no call completed.
The host's calls come over a WebSocket and are durable when they complete. The peer's
are made inside its node, and nothing is written to a disk.
NOTE
    for part in sizes rehearsal rehearsal-load sleepers gateway package; do
        if has "${part%-load}"; then sed -n 's/^bar /  &/p' "$out/$part.txt"; fi
    done
    [ -z "$failed" ] || echo "failed:$failed"
}

measure() {
    machine
    for part in stall otp sizes micro journal rehearsal sleepers gateway package cycles; do
        if has $part; then $part; fi
    done
    table
    [ -z "$failed" ]
}

mkdir -p "$out"
# Without the peer its bars are not met.
if { has otp || has sizes; } && ! command -v erlc >/dev/null; then
    apt_install erlang-nox erlang-dev >&2 || true
fi
if has stall || has sizes || has rehearsal || has sleepers || has gateway || has package || has cycles; then
    rm -rf "$out/home"
    make --silent home DIR="$out/home" PROFILE=release >&2
    cargo build --release -p e2e --bin stall --bin rehearsal --bin sleepers --bin soak --bin gateway \
        --example bare_echo >&2
fi
if has cycles; then
    cargo build --release -p e2e-disk -p faulty-v0-1-0 -p faulty-v0-2-0 -p raw-v0-1-0 >&2
fi
if has micro; then
    # The plugin that it loads: building the bench does not bring its library up to date.
    cargo build --release -p minimal-v0-1-0 >&2
    cargo bench --quiet --no-run -p host-actors --bench micro >&2
fi
if has journal; then cargo bench --quiet --no-run -p host-journal --bench journal >&2; fi

measure | tee "$out/report.txt"
