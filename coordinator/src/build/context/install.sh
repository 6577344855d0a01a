#!/bin/sh
# Installs the wheels of /run/tfleet/requirements.txt out of /run/tfleet/wheels: install GROUP PYTHON ENVIRONMENT
set -eu
tools=/run/tfleet/tools
environment=$3
# On the layer's own file system, so that files are moved in place instead of copied.
export UV_CACHE_DIR=/opt/.tfleet-cache UV_LINK_MODE=hardlink UV_NO_CONFIG=1 UV_PYTHON_DOWNLOADS=never

if [ ! -e "$environment/pyvenv.cfg" ]; then
    "$tools/uv" venv --quiet --python "$2" "$environment"
    rm -f "$environment/.lock" "$environment/.gitignore" "$environment/CACHEDIR.TAG"
fi
"$tools/uv" pip install --python "$environment/bin/python" --no-deps --require-hashes --only-binary :all: \
    --no-index --find-links /run/tfleet/wheels --requirement /run/tfleet/requirements.txt || {
    echo "the $1 wheels could not be installed" >&2
    exit 1
}
# uv writes down when a file that it installed was made, which is another time in every build. Of what it downloads itself it
# does not.
for noted in "$environment"/lib/python*/site-packages/*.dist-info/uv_cache.json; do
    [ -e "$noted" ] || continue
    sed -i '/\/uv_cache\.json,/d' "${noted%uv_cache.json}RECORD"
    rm "$noted"
done
# cuDNN compiles kernels with NVRTC, which it looks for in its own folder, and no wheel puts it there. 8.7 asks for the name without
# a version and ends the process where there is none.
for cudnn in "$environment"/lib/python*/site-packages/nvidia/cudnn/lib; do
    for library in "$cudnn"/../../cuda_nvrtc/lib/libnvrtc*.so.*; do
        [ -e "$library" ] || continue
        name=${library##*/}
        ln -sfn "../../cuda_nvrtc/lib/$name" "$cudnn/$name"
        case $name in libnvrtc.so.*) ln -sfn "$name" "$cudnn/libnvrtc.so" ;; esac
    done
done
rm -rf "$UV_CACHE_DIR" "$environment/.lock"
