"""Says what is in the image that this runs in: one fact a line, as a JSON object. To judge them is its caller's part.

The argument is a JSON object: `tensorflow`, whether there should be one; `libraries`, sonames in the order in which
TensorFlow opens them; `configuration`, patterns of files to read. It runs on every Python from 3.6 on.
"""
import ctypes
import glob
import json
import os
import re
import struct
import sys
import time

LARGEST_FILE_BYTES = 64 << 10

# Libraries and TensorFlow may write to the standard output too; a line of theirs is no fact.
output = os.fdopen(os.dup(1), "w")


def say(fact, **values):
    output.write("\n" + json.dumps(dict(values, fact=fact)) + "\n")
    output.flush()


def distributions():
    """Versions by normalised name. importlib.metadata is not in every Python; of two the first on the path counts."""
    versions = {}
    for folder in sys.path:
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.dist-info", "METADATA"))):
            fields = {}
            with open(path, encoding="utf-8", errors="replace") as metadata:
                for line in metadata:
                    if not line.strip():
                        break
                    name, _, value = line.partition(":")
                    fields.setdefault(name.lower(), value.strip())
            name = re.sub(r"[-_.]+", "-", fields.get("name", "")).lower()
            versions.setdefault(name, fields.get("version", ""))
    return versions


def run_paths(path):
    """The folders in which the library at `path` has others looked for (DT_RPATH, DT_RUNPATH), of a 64-bit ELF file."""
    with open(path, "rb") as library:
        def read(at, layout):
            library.seek(at)
            return struct.unpack(layout, library.read(struct.calcsize(layout)))

        if read(0, "<4sBB") != (b"\x7fELF", 2, 1):
            return []
        program_headers, = read(32, "<Q")
        size, count = read(54, "<HH")
        segments = [read(program_headers + size * number, "<IIQQQQ") for number in range(count)]
        entries = {}
        for kind, _, offset, _, _, length in segments:
            if kind == 2:  # PT_DYNAMIC
                for number in range(length // 16):
                    tag, value = read(offset + 16 * number, "<QQ")
                    entries.setdefault(tag, value)
        folders = []
        for tag in (15, 29):  # DT_RPATH, DT_RUNPATH
            if tag not in entries or 5 not in entries:
                continue
            address = entries[5] + entries[tag]  # in DT_STRTAB
            for kind, _, offset, start, _, length in segments:
                if kind == 1 and start <= address < start + length:  # PT_LOAD
                    library.seek(offset + address - start)
                    text = library.read(1 << 16).split(b"\0")[0].decode()
                    origin = os.path.dirname(os.path.realpath(path))
                    folders += [part.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for part in text.split(":")]
        return folders


def look_up_folders():
    """Where TensorFlow's own libraries have others looked for."""
    folders = [folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder]
    for root in sys.path:
        for pattern in ("tensorflow*/libtensorflow_*.so*", "tensorflow*/python/_pywrap_tensorflow_internal.so"):
            for path in sorted(glob.glob(os.path.join(glob.escape(root), pattern))):
                folders += run_paths(path)
    return list(dict.fromkeys(os.path.normpath(folder) for folder in folders if folder))


def path_of(name, folders):
    return next((path for path in (os.path.join(folder, name) for folder in folders) if os.path.exists(path)), name)


def open_library(name, folders):
    """Opens it as TensorFlow does: at once with all its symbols, and by the folders that TensorFlow has."""
    path = path_of(name, folders)
    try:
        ctypes.CDLL(path, mode=os.RTLD_NOW)
    except OSError as error:
        say("library", name=name, path=path, error=str(error))
    else:
        say("library", name=name, path=path, error=None)


def look_for_compiler():
    """What XLA takes for GPUs from the folder that it is told."""
    for folder in re.findall(r"--xla_gpu_cuda_data_dir=(\S+)", os.environ.get("XLA_FLAGS", "")):
        for name in ("bin/ptxas", "nvvm/libdevice/libdevice.10.bc"):
            path = os.path.join(folder, name)
            error = None if os.path.isfile(path) else "XLA finds no such file"
            say("library", name=os.path.basename(path), path=path, error=error)


def compile_a_kernel(nvrtc):
    """Nothing where it is no NVRTC, as in an image for tests."""
    if not hasattr(nvrtc, "nvrtcCreateProgram"):
        return
    program = ctypes.c_void_p()
    source = b'extern "C" __global__ void kernel(float *at) { at[0] = sqrtf(at[0]); }'
    status = nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, None, 0, None, None)
    status = status or nvrtc.nvrtcCompileProgram(program, 0, None)
    if status:
        raise OSError("NVRTC compiles nothing (status {})".format(status))


def use_cudnn(cudnn, names, folders):
    """Opens what TensorFlow opens before cuDNN, and has cuDNN open its parts and NVRTC as it does where it is used."""
    library = None
    for name in names[: names.index(cudnn) + 1]:
        try:
            library = ctypes.CDLL(path_of(name, folders))
        except OSError:  # which is told where each of them is opened
            library = None
    for part in ("OpsInfer", "OpsTrain", "CnnInfer", "CnnTrain", "AdvInfer", "AdvTrain", "Graph", "Ops", "Cnn", "Adv"):
        check = getattr(library, "cudnn{}VersionCheck".format(part), None)
        status = check() if check else 0
        if status:
            raise OSError("its part {} is of another version (status {})".format(part, status))
    beside = os.path.dirname(path_of(cudnn, folders))
    if os.path.isdir(os.path.join(beside, "../../cuda_nvrtc")):
        compile_a_kernel(ctypes.CDLL(os.path.join(beside, "libnvrtc.so")))


def try_cudnn(names, folders):
    """In a process of its own: where cuDNN does not find what it wants, it ends the process that asks."""
    cudnn = next((name for name in names if name.startswith("libcudnn.so.")), None)
    if cudnn is None:
        return
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(told, 2)
        try:
            use_cudnn(cudnn, names, folders)
        except BaseException as error:
            os.write(2, str(error).encode())
            os._exit(1)
        os._exit(0)
    os.close(told)
    with os.fdopen(heard, errors="replace") as words:
        last = words.read().strip().split("\n")[-1]
    _, status = os.waitpid(child, 0)
    if status:
        say("library", name=cudnn, path=path_of(cudnn, folders), error=last or "it ended the process ({})".format(status))


def main():
    wanted = json.loads(sys.argv[1])
    say("python", version=".".join(map(str, sys.version_info[:3])))
    say("distributions", versions=distributions())
    for pattern in wanted["configuration"]:
        for path in sorted(glob.glob(pattern)):
            if os.path.isfile(path) and os.path.getsize(path) <= LARGEST_FILE_BYTES:
                with open(path, encoding="utf-8", errors="replace", newline="") as text:
                    say("file", path=path, text=text.read())
    # Before TensorFlow has threads.
    folders = look_up_folders()
    look_for_compiler()
    say("begin", what="having cuDNN open its parts")
    try_cudnn(wanted["libraries"], folders)
    if wanted["tensorflow"]:
        say("begin", what="importing TensorFlow")
        began = time.time()
        try:
            import tensorflow
            is_cuda_build = bool(tensorflow.test.is_built_with_cuda())
            information = getattr(tensorflow.sysconfig, "get_build_info", dict)()
        except BaseException as error:  # whatever an import may raise, SystemExit too
            say("tensorflow_failed", error="{}: {}".format(type(error).__name__, error))
        else:
            say(
                "tensorflow",
                version=str(tensorflow.__version__),
                is_cuda_build=is_cuda_build,
                cuda_version=information.get("cuda_version"),
                seconds=time.time() - began,
            )
    for name in wanted["libraries"]:
        say("begin", what="loading " + name)
        open_library(name, folders)
    say("end")


main()
