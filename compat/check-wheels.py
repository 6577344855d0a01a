#!/usr/bin/env python3
"""Compare the catalog's TensorFlow rows with the wheels themselves, a line for each.

For every row of data/tensorflow.toml it asks pip's configured index which patches and which Pythons have wheels, then
downloads one wheel of the last patch (0.1 to 0.6 GB, deleted at once) and reads its name (glibc), its metadata (the
extra and-cuda against the set in data/wheels.toml) and, with --code, the GPU code in its shared objects. Exit status 1
where anything differs.

    check-wheels.py [--code] [MINOR ...]        check-wheels.py 2.20 2.21
"""

import argparse
import collections
import json
import mmap
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import tomllib
import zipfile

DATA = pathlib.Path(__file__).parent / "data"
# Wheel tags and the glibc that each promises.
GLIBC = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}
X86_64 = ["manylinux1", "manylinux2010", "manylinux2014", "manylinux_2_17", "manylinux_2_24", "manylinux_2_27",
          "manylinux_2_28", "manylinux_2_31", "manylinux_2_34"]
PYTHONS = ["2.7", *(f"3.{minor}" for minor in range(4, 16))]
# The CUDA whose compiler first writes a version of the intermediate language (PTX ISA release notes).
CUDA_OF_PTX = {(6, 0): "9.0", (6, 1): "9.1", (6, 2): "9.2", (6, 3): "10.0", (6, 4): "10.1", (6, 5): "10.2",
               **{(7, small): f"11.{small}" for small in range(9)},
               (8, 0): "12.0", (8, 1): "12.1", (8, 2): "12.2", (8, 3): "12.3", (8, 4): "12.4", (8, 5): "12.5",
               (8, 6): "12.7", (8, 7): "12.8", (8, 8): "12.9", (9, 0): "13.0", (9, 1): "13.1", (9, 2): "13.2"}
FATBIN = struct.pack("<I", 0xBA55ED50)


def number(version: str) -> tuple[int, ...]:
    """A version as integers, so that 2.9 comes before 2.10."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def platforms(architecture: str) -> list[str]:
    return [option for tag in X86_64 for option in ("--platform", f"{tag}_{architecture}")]


class Index:
    """What pip's configured index has, asked once for each package, Python and architecture."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str, str], list[str]] = {}

    def versions(self, package: str, python: str, architecture: str) -> list[str]:
        """The final releases with a wheel, oldest first."""
        key = (package, python, architecture)
        if key not in self.answers:
            target = ["--python-version", python, "--only-binary=:all:", *platforms(architecture)]
            answer = pip("index", "versions", package, *target)
            missing = "No matching distribution found" in answer.stderr
            if answer.returncode != 0 and not missing:
                sys.exit(f"pip cannot ask its index about {package}:\n{answer.stderr}")
            found = re.search(r"Available versions: (.*)", answer.stdout)
            versions = found.group(1).split(", ") if found else []
            self.answers[key] = sorted(versions, key=number)
        return self.answers[key]

    def pythons(self, package: str, version: str, architecture: str) -> list[str]:
        return [python for python in PYTHONS if version in self.versions(package, python, architecture)]

    def patches(self, package: str, minor: str) -> list[str]:
        """The patches of a minor version with wheels for Python 3.9 or later, or the last one before that."""
        def of(pythons: list[str]) -> set[str]:
            return {version for python in pythons for version in self.versions(package, python, "x86_64")
                    if number(version)[:2] == number(minor)}
        new = of([python for python in PYTHONS if number(python) >= (3, 9)])
        return sorted(new, key=number) or sorted(of(PYTHONS), key=number)[-1:]

    def download(self, package: str, version: str, python: str, architecture: str, folder: pathlib.Path) -> pathlib.Path:
        target = ["--python-version", python, "--only-binary=:all:", *platforms(architecture)]
        answer = pip("download", "--no-deps", "--no-cache-dir", "--dest", str(folder), *target, f"{package}=={version}")
        wheels = list(folder.glob("*.whl"))
        if answer.returncode != 0 or len(wheels) != 1:
            sys.exit(f"pip cannot download {package} {version}:\n{answer.stderr}")
        return wheels[0]


def extra_of(wheel: pathlib.Path) -> dict[str, str]:
    """The extra and-cuda: what it asks of each package."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    asked = {}
    for line in lines:
        found = re.match(r"Requires-Dist: ([\w.-]+) *\(?([^;)]*)\)?.*and-cuda", line)
        if found:
            asked[found.group(1).replace("_", "-").lower()] = found.group(2).strip()
    return asked


def allows(asked: str, version: str) -> bool:
    """Whether a comma-separated range of plain versions allows one."""
    def padded(text: str) -> tuple[int, ...]:
        return (number(text) + (0,) * 6)[:6]
    for clause in filter(None, asked.replace(" ", "").split(",")):
        sign, bound = re.match(r"(==|<=|>=|<|>)(.*)", clause).groups()
        left, right = padded(version), padded(bound)
        if not {"==": left == right, "<=": left <= right, ">=": left >= right, "<": left < right, ">": left > right}[sign]:
            return False
    return True


def fatbins(path: pathlib.Path) -> collections.Counter:
    """The GPU code in a file: how often each set of (kind, capability, PTX version) occurs in one fat binary."""
    sets = collections.Counter()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(FATBIN)
        while at >= 0:
            version, header, size = struct.unpack_from("<HHQ", data, at + 4)
            end = at + header + size
            if version == 1 and header == 16 and end <= len(data):
                codes, entry = set(), at + header
                while entry < end:
                    kind, _, length, body = struct.unpack_from("<HHIQ", data, entry)
                    minor, major, arch = struct.unpack_from("<HHI", data, entry + 24)
                    codes.add(("ptx", arch, (major, minor)) if kind == 1 else ("sass", arch, None))
                    entry += length + body
                sets[frozenset(codes)] += 1
            at = data.find(FATBIN, at + 4)
    return sets


def code_of(wheel: pathlib.Path, folder: pathlib.Path) -> collections.Counter:
    sets = collections.Counter()
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            # The wheel of 1.7 carries TensorRT's libraries too, which were built for other GPUs.
            if ".so" in member.filename and "external/" not in member.filename and member.file_size:
                sets += fatbins(pathlib.Path(archive.extract(member, folder)))
    return sets


def spelled(arch: int) -> str:
    return f"{arch // 10}.{arch % 10}"


def summary(sets: collections.Counter, capabilities: list[int]) -> tuple[list[str], list[str], dict[str, str]]:
    """Machine code, intermediate code, and the CUDA that a driver must have to compile what lacks machine code."""
    def listed(kind: str) -> list[str]:
        return [spelled(arch) for arch in sorted({arch for codes in sets for which, arch, _ in codes if which == kind})]

    def runs(codes: frozenset, capability: int) -> bool:
        return any(kind == "sass" and arch // 10 == capability // 10 and arch <= capability for kind, arch, _ in codes)

    # A fat binary of intermediate code alone belongs to relocatable code (NCCL's), whose machine code is linked elsewhere.
    whole = [codes for codes in sets if any(kind == "sass" for kind, _, _ in codes)]
    compiles: dict[str, str] = {}
    for capability in capabilities:
        if not any(runs(codes, capability) for codes in whole):
            continue
        lacking = [isa for codes in whole if not runs(codes, capability)
                   for kind, arch, isa in codes if kind == "ptx" and arch <= capability]
        if lacking:
            newest = max(lacking)
            compiles[spelled(capability)] = CUDA_OF_PTX.get(newest, f"of PTX {newest[0]}.{newest[1]}")
    return listed("sass"), listed("ptx"), compiles


def differences(index: Index, row: dict, sets_of_wheels: dict, code: list[int], folder: pathlib.Path) -> list[str]:
    package, minor, last = row["package"], row["minor"], row["patches"][-1]
    found = []

    def compare(what: str, catalog: object, wheels: object) -> None:
        if catalog != wheels:
            found.append(f"{what}: catalog {catalog}, wheels {wheels}")

    compare("patches", row["patches"], index.patches(package, minor))
    pythons = index.pythons(package, last, "x86_64")
    compare("python", row["python"], pythons)
    for architecture, name in row.get("cpu_packages", {}).items():
        if not index.pythons(name, last, architecture):
            found.append(f"cpu package {name} {last}: no wheel for {architecture}")
    if index.pythons(package, last, "aarch64") and "aarch64" not in row.get("cpu_packages", {}):
        found.append("aarch64: there are wheels, the catalog names none")
    if not pythons:
        return [*found, "no wheel of the last patch"]
    wheel = index.download(package, last, pythons[-1], "x86_64", folder)
    tags = re.findall(r"manylinux_(\d+)_(\d+)|(manylinux\d+)", wheel.name)
    promised = [f"{major}.{small}" if major else GLIBC[old] for major, small, old in tags]
    compare("glibc", row["glibc"], min(promised, key=number))
    extra = extra_of(wheel)
    if extra:
        pins = dict(pin.split("==") for pin in sets_of_wheels[row["cuda_wheels"]]["requirements"])
        for name, version in pins.items():
            if name not in extra or not allows(extra[name], version):
                found.append(f"extra and-cuda: {name} is {extra.get(name, 'not in it')}, the set pins {version}")
        for name in extra.keys() - pins.keys():
            if name.startswith("nvidia-"):
                found.append(f"extra and-cuda: asks for {name}, which the set lacks")
        cudnn = next((asked for name, asked in extra.items() if "cudnn" in name), "")
        below = re.search(r"<(\d+)", cudnn)
        compare("extra_cudnn_below", row.get("extra_cudnn_below"), below and below.group(1))
    if code:
        sass, ptx, compiles = summary(code_of(wheel, folder), code)
        # Every driver that runs a major version of CUDA compiles what its first release wrote.
        first = number(row["cuda"])[0], 0
        compiles = {capability: cuda for capability, cuda in compiles.items() if "PTX" in cuda or number(cuda) > first}
        compare("sass", row["sass"], sass)
        compare("ptx", row["ptx"], ptx)
        known = row.get("driver_compiles", {"capabilities": [], "cuda": None})
        compare("driver_compiles", {capability: known["cuda"] for capability in known["capabilities"]}, compiles)
        arm = index.pythons(package, last, "aarch64")
        if arm:
            shutil.rmtree(folder)
            folder.mkdir()
            kinds = code_of(index.download(package, last, arm[-1], "aarch64", folder), folder)
            compare("aarch64 has GPU code", "aarch64" in row["gpu_architectures"], bool(kinds))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("minor", nargs="*", help="only these, such as 2.15")
    parser.add_argument("--code", action="store_true", help="read the GPU code too")
    options = parser.parse_args()
    rows = tomllib.loads((DATA / "tensorflow.toml").read_text())["tensorflow"]
    sets_of_wheels = {row["name"]: row for row in tomllib.loads((DATA / "wheels.toml").read_text())["cuda_wheels"]}
    known_gpus = tomllib.loads((DATA / "gpu.toml").read_text())["capability"]
    code = [int(row["capability"].replace(".", "")) for row in known_gpus] if options.code else []
    index, differ = Index(), False
    for row in rows:
        if options.minor and row["minor"] not in options.minor:
            continue
        with tempfile.TemporaryDirectory(prefix="check-wheels-") as top:
            folder = pathlib.Path(top) / "wheel"
            folder.mkdir()
            found = differences(index, row, sets_of_wheels, code, folder)
        differ |= bool(found)
        print(f"{row['minor']:5} {'differs: ' + '; '.join(found) if found else 'agrees'}", flush=True)
    known = {row["minor"] for row in rows}
    if not options.minor:
        newer = {".".join(version.split(".")[:2]) for python in PYTHONS
                 for version in index.versions("tensorflow", python, "x86_64")} - known
        for minor in sorted((minor for minor in newer if number(minor) >= (1, 0)), key=number):
            differ = True
            print(f"{minor:5} differs: the index has it, the catalog does not")
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
