#!/usr/bin/env bash
# The agent for hosts older than this machine: linked against glibc 2.17, in target/portable/tfleet-agent.
#
# Usage: build-portable.sh [release|dev]: what hosts get, or the same unoptimised, for tests (a quarter of the compile time).
#
# A static binary would be simpler, but cannot open the driver's libnvidia-ml at run time.
set -euo pipefail
cd "$(dirname "$0")/../.."

profile=${1:-release}
folder=$profile
quick=()
if [ "$profile" = dev ]; then
    folder=debug
    quick=(--config 'profile.dev.opt-level=0' --config 'profile.dev.package."*".opt-level=0')
fi
target=x86_64-unknown-linux-gnu
# A folder of its own: the linker wrapper's flags would otherwise rebuild everything at each switch.
PATH="$PWD/target/tools/zig/bin:$PATH" CARGO_TARGET_DIR="$PWD/target/portable/build" \
    cargo zigbuild --profile "$profile" "${quick[@]}" --locked --quiet --package tfleet-agent --target "$target.2.17"
install -m 0755 "target/portable/build/$target/$folder/tfleet-agent" target/portable/tfleet-agent
