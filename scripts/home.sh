#!/bin/sh
# Lays out a home in DIR from what is built in TARGET: the lowest release
# permanent, every later one unpacked beside it. As a package has them, but with
# NO_STRIP=1 with what debuggers and profilers read.
set -eu

[ $# -eq 2 ] || { echo "usage: scripts/home.sh DIR TARGET" >&2; exit 2; }
dir=$1
host=$2/host

# A version is bound to one build for the life of a home, and a home may hold data.
if [ -e "$dir" ] && [ -n "$(ls -A "$dir")" ]; then
    echo "make a home in $dir: it is not empty; remove it first, or choose another" >&2
    exit 1
fi

mkdir -p "$dir/bin" "$dir/etc" "$dir/releases" "$dir/data"

for file in host/releases/[0-9]*.toml; do
    version=$(basename "$file" .toml)
    "$host" release assemble --manifest "$file" --target-dir "$2" --out "$dir/releases/$version" \
        ${NO_STRIP:+--no-strip}
done

permanent=$(ls "$dir/releases" | sort -V | head -n 1)
echo "$permanent" > "$dir/data/permanent"
cp "$dir/releases/$permanent/bin/host" "$dir/bin/host"

(
    umask 077
    cat > "$dir/etc/env" <<ENV
# The grammar is that of systemd's EnvironmentFile; the environment wins.
HOST_ENV=dev
HOST=localhost
SECRET_KEY_BASE=$(head -c 48 /dev/urandom | base64 -w 0)
ENV
)
cat > "$dir/etc/host.toml" <<'TOML'
# Settings of this home, by their names in the environment in lower case:
# port = 4000
# admin_port = 4001
TOML

echo "a home with release $permanent is in $dir: start it with $dir/bin/host start"
