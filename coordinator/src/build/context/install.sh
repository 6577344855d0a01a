#!/bin/sh
# Installs the wheels of /run/tfleet/requirements.txt: install GROUP PYTHON ENVIRONMENT
#
# Tries each package index in turn; what an index sends must have the lock's hashes, so any of them is as good.
set -eu
tools=/run/tfleet/tools
environment=$3
# On the layer's own file system, so that files are moved in place instead of copied.
export UV_CACHE_DIR=/opt/.tfleet-cache UV_LINK_MODE=hardlink UV_NO_CONFIG=1 UV_PYTHON_DOWNLOADS=never

if [ ! -e "$environment/pyvenv.cfg" ]; then
    "$tools/uv" venv --quiet --python "$2" "$environment"
    rm -f "$environment/.lock" "$environment/.gitignore" "$environment/CACHEDIR.TAG"
fi
for index in "$tools"/index.*; do
    if (
        . "$index"
        "$tools/uv" pip install --python "$environment/bin/python" --no-deps --require-hashes --only-binary :all: \
            --requirement /run/tfleet/requirements.txt || { echo "gave up on $shown" >&2; exit 1; }
    ); then
        rm -rf "$UV_CACHE_DIR" "$environment/.lock"
        exit 0
    fi
    rm -rf "$UV_CACHE_DIR"
done
echo "no package index gave the $1 wheels" >&2
exit 1
