# What up.sh and down.sh agree on. Sourced, not run.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
state=${TFLEET_LAB_DIR:-/var/lib/tfleet-lab}
bin=$root/target/release
coordinator=$state/coordinator
address=10.88.0.1

say() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }
fail() {
    printf '\nquickstart: %s\n' "$*" >&2
    exit 1
}

lab() { "$bin/tfleet-lab" --state-dir "$state" "$@"; }
tfleet() { "$bin/tfleet" "$@"; }

# The process id of the running coordinator, if there is one.
coordinator_pid() {
    local pid
    pid=$(cat "$coordinator/pid" 2>/dev/null) || return 1
    [ "$(readlink "/proc/$pid/exe" 2>/dev/null | sed 's/ (deleted)$//')" = "$bin/tfleet-coordinator" ] && echo "$pid"
}

export TFLEET_CREDENTIALS=$coordinator/data/admin.toml
