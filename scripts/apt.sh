# What a script that installs what it lacks has in common; to be sourced.

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo > /dev/null; then sudo -n "$@"
    else return 1
    fi
}

# apt_install PACKAGE...
apt_install() {
    command -v apt-get > /dev/null && as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$@"
}
