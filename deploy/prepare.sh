#!/usr/bin/env bash
# Installs what is missing on this machine, and only that: distribution packages, crates, Python packages.
# Usage: prepare.sh [build] [engines] [peers] [nextest] [deny] [zigbuild]
set -euo pipefail

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

packages() {
    local missing=()
    for package in "$@"; do
        dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" != 0 ]; then
        say "missing packages: ${missing[*]}. Run as root, or install them: apt-get install ${missing[*]}"
        exit 1
    fi
    say "installing ${missing[*]}"
    apt-get update -qq
    # An engine that comes with the package is not ours to start.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

crate() {
    local name=$1 version=$2
    if ! cargo install --list | grep -qx "$name v$version:"; then
        say "installing $name $version (compiles; some minutes, once)"
        # It runs for seconds here: optimising it would take longer than it saves.
        CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
            cargo install --locked --quiet "$name" --version "$version"
    fi
}

for what in "$@"; do
    case $what in
    build) packages build-essential ca-certificates pkg-config ;;
    engines)
        # Engine, bootstrapper, network tools; with pip the coordinator fetches the tool that resolves and installs wheels.
        packages docker.io mmdebstrap iptables iproute2 util-linux procps busybox-static python3 python3-pip ca-certificates
        # From Debian 13 on the command line is a package of its own.
        command -v docker >/dev/null || packages docker-cli
        ;;
    # What tfleet's delivery is measured against.
    peers) packages docker-registry openssl skopeo ;;
    nextest)
        # binutils: a test reads the symbol versions that the agent needs.
        packages binutils
        command -v cargo-nextest >/dev/null || crate cargo-nextest 0.9.143
        ;;
    deny) crate cargo-deny 0.20.2 ;;
    zigbuild)
        packages python3-venv
        if [ ! -x target/tools/zig/bin/cargo-zigbuild ]; then
            say "installing cargo-zigbuild and ziglang from the Python index (the linker that lowers the agent's glibc)"
            python3 -m venv target/tools/zig
            target/tools/zig/bin/pip install --quiet --disable-pip-version-check cargo-zigbuild==0.24.1 ziglang==0.15.2
        fi
        ;;
    *)
        say "prepare.sh: '$what' is not a thing to prepare"
        exit 2
        ;;
    esac
done
