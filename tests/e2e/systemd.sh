#!/usr/bin/env bash
# A service manager of its own, in namespaces of its own, runs the host's units in a home:
# systemd.sh HOME UNIT FORKING-UNIT. Says one line for each thing that it saw. Needs root, or user
# namespaces.
set -euo pipefail
home=$1 unit=$2 forking=$3

# Begun anew within: as the first process of its own, so that all of it ends with this.
if [ "${WITHIN:-}" != yes ]; then
    map=()
    [ "$(id -u)" -eq 0 ] || map=(--user --map-root-user)
    WITHIN=yes exec unshare "${map[@]}" --pid --fork --kill-child --mount --mount-proc "$0" "$@"
fi

# A place for its sockets and units, and control groups.
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/user/0/systemd/user
export XDG_RUNTIME_DIR=/run/user/0 SYSTEMD_LOG_TARGET=console
unset DBUS_SESSION_BUS_ADDRESS NOTIFY_SOCKET
umount -R /sys/fs/cgroup 2> /dev/null || true
mount -t cgroup2 none /sys/fs/cgroup
group=/sys/fs/cgroup/host-test-$$
mkdir -p "$group"
echo $$ > "$group/cgroup.procs"

units=$XDG_RUNTIME_DIR/systemd/user
add() {
    cp "$2" "$units/$1.service"
    mkdir -p "$units/$1.service.d"
    # Another user is the system's manager to give, and so are mounts that a sandbox around this
    # may not allow: `systemd-analyze` judges those lines. The watchdog is the host's own.
    cat > "$units/$1.service.d/test.conf" << END
[Service]
User=
Group=
Environment=HOST_ALLOW_ROOT=yes HOST_ALLOW_DEBUG=yes
StandardOutput=append:$home/service.log
StandardError=append:$home/service.log
ProtectHome=no
ProtectSystem=no
ProtectKernelTunables=no
ProtectKernelLogs=no
END
}
add host "$unit"
printf 'WatchdogSec=4\n' >> "$units/host.service.d/test.conf"
add kept "$forking"

/lib/systemd/systemd --user > "$home/manager.log" 2>&1 &
manager=$!
trap 'kill "$manager"; rmdir "$group" 2> /dev/null || true' EXIT
ctl() { systemctl --user --no-pager "$@"; }
show() { ctl show --property "$1" --value "$2"; }
# until_is WANTED COMMAND...: waits until it says that.
until_is() {
    local wanted=$1 found=
    shift
    for _ in $(seq 600); do
        found=$("$@" 2> /dev/null) || true
        [ "$found" = "$wanted" ] && return
        sleep 0.1
    done
    echo "waited 60 s for '$wanted' of '$*', and it is '$found'"
    exit 1
}
until_is running ctl is-system-running

ctl start host
echo "started: $(show ActiveState host): $(show StatusText host)"
ctl reload host
echo "reloaded: $(show ActiveState host)"
# The child of a rehearsal stands what the unit takes away.
"$home/bin/host" rehearse 0.2.0 > "$home/rehearsal.log"
grep -q 'passed: nothing speaks against it' "$home/rehearsal.log"
"$home/bin/host" upgrade 0.2.0 --probation 0s > /dev/null
until_is 'release 0.2.0 is permanent' show StatusText host
echo "rehearsed and upgraded: $(show ActiveState host): $(show StatusText host)"

# One that does not run any more is ended by the watchdog, and started again.
first=$(show MainPID host)
[ "$first" -gt 1 ]
kill -STOP "$first"
until_is 1 show NRestarts host
until_is active show ActiveState host
[ "$(show MainPID host)" != "$first" ]
echo "ended by the watchdog, and started again: $(show ActiveState host)"

# So is one that is killed.
kill -KILL "$(show MainPID host)"
until_is 2 show NRestarts host
until_is active show ActiveState host
echo "killed, and started again: $(show ActiveState host)"
ctl restart host
echo "restarted: $(show ActiveState host)"
ctl stop host
echo "stopped: $(show ActiveState host), $(show Result host)"

ctl start kept
[ "$(show MainPID kept)" = "$(cat "$home/run/keeper.pid")" ]
echo "forking: $(show ActiveState kept), its main process is the keeper"
ctl reload kept
ctl stop kept
echo "stopped: $(show ActiveState kept), $(show Result kept)"
