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


def open_library(name, folders):
    """Opens it as TensorFlow does: at once with all its symbols, and by the folders that TensorFlow has."""
    found = [os.path.join(folder, name) for folder in folders]
    path = next((path for path in found if os.path.exists(path)), name)
    try:
        ctypes.CDLL(path, mode=os.RTLD_NOW)
    except OSError as error:
        say("library", name=name, path=path, error=str(error))
    else:
        say("library", name=name, path=path, error=None)


def main():
    wanted = json.loads(sys.argv[1])
    say("python", version=".".join(map(str, sys.version_info[:3])))
    say("distributions", versions=distributions())
    for pattern in wanted["configuration"]:
        for path in sorted(glob.glob(pattern)):
            if os.path.isfile(path) and os.path.getsize(path) <= LARGEST_FILE_BYTES:
                with open(path, encoding="utf-8", errors="replace", newline="") as text:
                    say("file", path=path, text=text.read())
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
    folders = look_up_folders()
    for name in wanted["libraries"]:
        say("begin", what="loading " + name)
        open_library(name, folders)
    say("end")


main()
