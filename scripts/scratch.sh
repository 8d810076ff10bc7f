# Sourced by what runs hosts in a folder of its own: makes the folder $scratch, and
# removes it with every program that lies in it, however the script ends. A host
# belongs to no terminal, so Ctrl-C does not reach it.

scratch=$(realpath "$(mktemp -d)")
child=

# end_all: kills what runs from $scratch, keepers too, until nothing is left to boot
# another.
end_all() {
    local exe found=1
    while [ "$found" -eq 1 ]; do
        found=0
        for exe in /proc/[0-9]*/exe; do
            case $(readlink "$exe" 2> /dev/null) in "$scratch"/*)
                exe=${exe%/exe}
                kill -9 "${exe#/proc/}" 2> /dev/null && found=1 ;;
            esac
        done
    done
}

clean_up() {
    trap '' HUP INT TERM
    [ -z "$child" ] || kill "$child" 2> /dev/null || true
    end_all
    rm -rf "$scratch"
}

# waits_for COMMAND...: runs it so that a signal is heard at once.
waits_for() {
    "$@" &
    child=$!
    wait "$child"
    child=
}

trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
