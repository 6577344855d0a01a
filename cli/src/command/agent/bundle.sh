#!/bin/sh
# tfleet agent for the host "@HOST@". Run as root on that host, once: sh FILE
# It holds a one-use token: keep it as private as a key until it was used.
set -eu

payload_line=@PAYLOAD_LINE@
payload_sha256=@PAYLOAD_SHA256@

say() { printf '%s\n' "tfleet agent: $*"; }
fail() { printf '%s\n' "tfleet agent: error: $*" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] || fail "not root; run: sudo sh $0"
[ "$(uname -m)" = "@ARCHITECTURE@" ] || fail "this agent is for @ARCHITECTURE@, and this host is $(uname -m)"
command -v systemctl >/dev/null || fail "no systemd here; install the agent by hand: binary, agent.toml, policy.toml and token are in this file"

umask 077
binary=/usr/local/bin/tfleet-agent
mkdir -p /usr/local/bin /etc/tfleet
tail -n "+$payload_line" "$0" >"$binary.new"
printf '%s  %s\n' "$payload_sha256" "$binary.new" | sha256sum -c - >/dev/null 2>&1 ||
    { rm -f "$binary.new"; fail "the bundle is damaged; copy it again"; }
chmod 755 "$binary.new"
mv -f "$binary.new" "$binary"
say "installed $binary"

cat >/etc/tfleet/agent.toml <<'END_OF_AGENT_TOML'
@AGENT_TOML@END_OF_AGENT_TOML
# What the owner of the host decided before stays.
if [ ! -e /etc/tfleet/policy.toml ]; then
    cat >/etc/tfleet/policy.toml <<'END_OF_POLICY'
@POLICY@END_OF_POLICY
    say "wrote the default /etc/tfleet/policy.toml: nothing of the host, no exec; edit it to allow more"
fi
chmod 644 /etc/tfleet/agent.toml /etc/tfleet/policy.toml
printf '%s\n' '@TOKEN@' >/etc/tfleet/token

cat >/etc/systemd/system/tfleet-agent.service <<'END_OF_UNIT'
@UNIT@END_OF_UNIT
chmod 644 /etc/systemd/system/tfleet-agent.service
systemctl daemon-reload
systemctl enable tfleet-agent.service >/dev/null 2>&1 || fail "cannot enable tfleet-agent.service"
systemctl restart tfleet-agent.service
say "started; look: systemctl status tfleet-agent, and on the coordinator: tfleet hosts show @HOST@"
exit 0
