#!/usr/bin/env bash
# Ends the quickstart's lab and frees its disk. KEEP=1 keeps images and state for a quick next start.
set -euo pipefail
source "$(dirname "$0")/settings.sh"

if pid=$(coordinator_pid); then
    kill "$pid"
    for _ in $(seq 100); do
        [ -e "/proc/$pid" ] || break
        sleep 0.1
    done
fi
if [ -n "${KEEP:-}" ]; then
    lab down
    echo "Stopped. Images and state are kept in $state."
else
    lab down --purge
    rm -rf "$coordinator" "$state/size"
    rmdir "$state" 2>/dev/null || true
    echo "Stopped, and $state removed."
fi
