#!/usr/bin/env bash
# From nothing to TensorFlow running on every host of a lab fleet. Safe to run again: what is done is not done twice.
set -euo pipefail
source "$(dirname "$0")/settings.sh"

if [ -n "${SMALL:-}" ]; then
    hosts=(a100 cpu) config=$root/deploy/quickstart/lab-small.toml need_gb=24
else
    hosts=(t4 a100 cpu) config=$root/deploy/quickstart/lab.toml need_gb=45
fi
release=train constraint='>=2.14,<2.16'
show='import tensorflow as tf; print(tf.__version__, tf.sysconfig.get_build_info())'

[ "$(id -u)" = 0 ] || fail "this starts Docker Engines in network namespaces: run it as root."
command -v apt-get >/dev/null || fail "this installs Debian packages, and there is no apt-get here."
command -v cargo >/dev/null || fail "cargo is missing: install Rust first."

# A lab that is up keeps its hosts and its addresses: another set of them would meet it half.
size=${SMALL:+small}
was=$(cat "$state/size" 2>/dev/null || true)
if [ -e "$state/lab.json" ] && [ -n "$was" ] && [ "$was" != "${size:-full}" ]; then
    fail "the lab below $state is the $was one; run 'make quickstart-down' first."
fi

say "Disk"
mkdir -p "$state"
if [ ! -e "$coordinator/done" ]; then
    free_gb=$(($(df --output=avail -B1 "$state" | tail -1) / 1000000000))
    # What an earlier try left is part of the need.
    used_gb=$(($(du -s -B1 "$state" 2>/dev/null | cut -f1) / 1000000000))
    more_gb=$((need_gb > used_gb ? need_gb - used_gb : 0))
    echo "Builds, stored images and ${#hosts[@]} engines need about $need_gb GB below $state at their peak;" \
        "$used_gb GB are there already, and $free_gb GB are free."
    [ "$free_gb" -ge "$more_gb" ] ||
        fail "too little disk. Free some, set TFLEET_LAB_DIR to a folder on a larger one, or try 'make quickstart SMALL=1'."
else
    echo "The lab keeps $(du -sh "$state" 2>/dev/null | cut -f1) below $state."
fi

say "What is missing on this machine"
"$root/deploy/prepare.sh" build engines
echo "Nothing more."

say "Programs (target/release; compiling takes some minutes the first time)"
cd "$root"
cargo build --release --locked -p tfleet -p tfleet-agent -p tfleet-coordinator -p tfleet-tests -p tfleet-fake-nvml -p tfleet-fake-runtime

say "Lab: ${#hosts[@]} hosts with their own network, Docker Engine and agent. Their GPUs are imitated; everything else is real."
echo "${size:-full}" >"$state/size"
lab up --config "$config"

say "Coordinator"
if ! coordinator_pid >/dev/null; then
    mkdir -p "$coordinator/data"
    sed -e "s|@ADDRESS@|$address|g" -e "s|@STATE@|$state|g" "$root/deploy/quickstart/coordinator.toml.in" >"$coordinator/coordinator.toml"
    setsid "$bin/tfleet-coordinator" serve --config "$coordinator/coordinator.toml" >>"$coordinator/log" 2>&1 </dev/null &
    echo $! >"$coordinator/pid"
    for _ in $(seq 100); do
        tfleet fleet >/dev/null 2>&1 && break
        sleep 0.2
    done
fi
tfleet fleet || fail "the coordinator does not answer; its log is $coordinator/log"

say "Enrolment: a one-use token for each host, a certificate in return"
enrolled=$(tfleet hosts --all --output json)
for host in "${hosts[@]}"; do
    if ! grep -q "\"name\": *\"$host\"" <<<"$enrolled"; then
        tfleet token create "$host" --output text >"$state/hosts/$host/agent/token"
    fi
done
lab agent start "${hosts[@]}" --binary "$bin/tfleet-agent"
tfleet hosts wait "${hosts[@]}" --timeout 2m || {
    for host in "${hosts[@]}"; do
        log=$state/hosts/$host/agent/supervisor.log
        printf '\nThe end of %s:\n' "$log" >&2
        tail -n 5 "$log" >&2 || true
    done
    fail "not every host came; the log of a host's agent is $state/hosts/HOST/agent/supervisor.log"
}

say "Inventory"
tfleet hosts --all

say "Release '$release': tensorflow $constraint, the newest that each host's driver can run"
tfleet release create "$release" --tensorflow "$constraint" --all

say "Build: one image for each variant (the full log: tfleet build log $release VARIANT)"
tfleet build "$release"

say "Roll out: each host fetches the chunks that it lacks, verifies them, and loads them while they arrive"
tfleet rollout start "$release" --all

say "Run: one container on each host"
tfleet run "$release" --name tf --all --detach --replace -p 8888:8888

say "TensorFlow, asked inside each container"
# Without TensorFlow's own log, of which an import without a GPU writes twenty lines.
tfleet exec tf --all --env TF_CPP_MIN_LOG_LEVEL=3 -- python -c "$show"

say "The fleet"
tfleet hosts --all
echo
tfleet ps --all
touch "$coordinator/done"

cat <<END

The GPUs of these hosts are imitated (by a library and an OCI runtime), so nothing can be computed on them.

Look further:
  export TFLEET_CREDENTIALS=$TFLEET_CREDENTIALS PATH=$bin:\$PATH
  tfleet hosts show ${hosts[0]}
  tfleet plan $release --tensorflow '>=2.16' --all  # what another release would mean
  tfleet logs tf --all
  tfleet exec -it tf --host ${hosts[0]} -- bash
  tfleet-lab docker ${hosts[0]} -- ps                  the host's own engine
  tfleet-lab gpu ${hosts[0]} --set gpu.0.temperature_c=88

Stop everything and free the disk:
  make quickstart-down
END
