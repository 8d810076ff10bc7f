#!/bin/sh
# The peer: a release of Erlang/OTP with the same actors under the same load,
# upgraded and downgraded by release_handler. Builds into the folder that is its
# argument, and takes the settings of the stall bench from the environment.
set -eu

[ $# -eq 1 ] || { echo "usage: tests/bench/otp/run.sh FOLDER" >&2; exit 2; }
command -v erlc >/dev/null || {
    echo "the peer needs Erlang/OTP 25 or later: apt-get install erlang-nox erlang-dev" >&2
    exit 1
}
rm -rf "$1"
mkdir -p "$1/lib"
build=$(cd "$1" && pwd)
cd "$(dirname "$0")"

# app NAME VERSION MODULES FILE...: compiles an application into lib/.
app() {
    name=$1 version=$2 modules=$3 more=$4
    ebin=$build/lib/$name-$version/ebin
    shift 4
    mkdir -p "$ebin"
    erlc -Werror -o "$ebin" "$@"
    cat > "$ebin/$name.app" <<APP
{application, $name, [{description, "$name"}, {vsn, "$version"}, {modules, [$modules]}, {registered, []},
    {applications, [kernel, stdlib, sasl]}$more]}.
APP
}

for version in 0.1.0 0.2.0; do
    app giving "$version" giving_app,giving_sup,campaign ', {mod, {giving_app, []}}' \
        giving/giving_app.erl giving/giving_sup.erl "campaign/$version/campaign.erl"
done
app measure 1.0.0 measure,paced,windows '' measure/*.erl
change='[{"0.1.0", [{update, campaign, {advanced, []}}]}]'
echo "{\"0.2.0\", $change, $change}." > "$build/lib/giving-0.2.0/ebin/giving.appup"
escript release.escript "$build"

# As an embedded target system boots, without distribution: nothing listens.
root=$build/target
bindir=$(echo "$root"/erts-*/bin)
export ROOTDIR="$root" BINDIR="$bindir" EMU=beam PROGNAME=erl
cd "$root"
exec "$bindir/erlexec" -boot "$root/releases/0.1.0/start" -config "$root/releases/0.1.0/sys" \
    -mode embedded -noinput +P 2097152 -s measure main
