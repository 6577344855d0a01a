#!/bin/bash
# Starts what an image's flavours serve: tfleet-start SERVICE…   The container ends when one of them does.
set -u

serve() {
    case $1 in
    jupyter)
        exec jupyter lab --ip=0.0.0.0 --port=8888 --no-browser --allow-root
        ;;
    ssh)
        # A key that came with the image would be that of every container of it.
        ssh-keygen -A || exit 1
        mkdir -p /run/sshd
        # A session begins without the container's environment, and so without its Python and its GPUs' libraries.
        (
            unset HOME HOSTNAME OLDPWD PWD SHLVL TERM _
            export -p
        ) >/etc/profile.d/tfleet.sh
        local variables=() name
        for name in PATH LD_LIBRARY_PATH NVIDIA_VISIBLE_DEVICES; do
            [ -z "${!name-}" ] || variables+=("$name=${!name}")
        done
        exec /usr/sbin/sshd -D -e -o PasswordAuthentication=no -o KbdInteractiveAuthentication=no \
            -o ChallengeResponseAuthentication=no -o PermitRootLogin=prohibit-password -o "SetEnv=${variables[*]}"
        ;;
    *)
        echo "tfleet-start knows no service $1" >&2
        exit 2
        ;;
    esac
}

for service in "$@"; do
    serve "$service" &
done
trap 'kill $(jobs -p) 2>/dev/null' EXIT
trap 'exit 143' TERM INT
wait -n
