# Sourced by the scripts beside it.

die() {
    echo "syncd: $*" >&2
    exit 1
}

# Sets $python to an interpreter that is new enough; to one of version $1 exactly where that is given. PYTHON names one.
find_python() {
    found=none
    for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        command -v "$python" >/dev/null 2>&1 || continue
        found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || continue
        case $found in
            [0-2].* | 3.[0-9] | 3.10) continue ;;
        esac
        [ -z "${1:-}" ] || [ "$found" = "$1" ] || continue
        return 0
    done
    die "Python ${1:-3.11 or newer} is needed, found here: $found; install it, or name it with PYTHON=/path/to/python3"
}
