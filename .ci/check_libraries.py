"""Find the system libraries that the packages of a Python need and that this machine lacks.

    .venv/bin/python .ci/check_libraries.py              one line per missing library; exit code 1 if there is one
    .venv/bin/python .ci/check_libraries.py --packages   only the names of Debian's packages that hold them

Every compiled file of the installed wheels names the libraries that it needs. What no wheel brings along is loaded
here. Linux only: elsewhere nothing is checked.
"""

import ctypes
import mmap
import struct
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

DEBIAN_PACKAGES: Mapping[str, str] = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libICE.so.6": "libice6",
    "libOpenGL.so.0": "libopengl0",
    "libSM.so.6": "libsm6",
    "libX11.so.6": "libx11-6",
    "libXrender.so.1": "libxrender1",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libgomp.so.1": "libgomp1",
    "libidn2.so.0": "libidn2-0",
    "libudev.so.1": "libudev1",
    "libusb-1.0.so.0": "libusb-1.0-0",
    "libxcb.so.1": "libxcb1",
}
"""Library -> the package of Debian and Ubuntu that holds it."""
OPENED_BY_NAME: Mapping[str, tuple[str, ...]] = {
    "OpenGL": ("libEGL.so.1", "libGL.so.1"),
    "pyglet": ("libX11.so.6", "libXrender.so.1"),
}
"""Package -> what it opens by name when Genesis imports it; no compiled file names these."""
_OPTIONAL = ("libcu", "libnv", "libhip", "libroc", "libamd", "libhsa", "libmpi", "libibverbs", "libtensorflow")
"""What belongs to a GPU, a cluster or another framework: packages do without it."""
_DYNAMIC, _LOAD = 2, 1
_NEEDED, _STRINGS = 1, 5


def needed(file: Path) -> list[str]:
    """Return the libraries that a compiled file names; none for a file that is not 64-bit little-endian ELF."""
    with file.open("rb") as opened:
        if opened.read(6) != b"\x7fELF\x02\x01":
            return []
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return list(_needed(data))


def _needed(data: mmap.mmap) -> Iterator[str]:
    (table,), (size, count) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<HH", data, 54)
    # each segment: type, flags, offset in the file, address, physical address, size in the file, ...
    segments = [struct.unpack_from("<IIQQQQ", data, table + size * number) for number in range(count)]
    dynamic = next((segment for segment in segments if segment[0] == _DYNAMIC), None)
    if dynamic is None:
        return
    entries = list(struct.iter_unpack("<qQ", data[dynamic[2] : dynamic[2] + dynamic[5] // 16 * 16]))
    address = next(value for tag, value in entries if tag == _STRINGS)
    holder = next(s for s in segments if s[0] == _LOAD and s[3] <= address < s[3] + s[5])
    strings = holder[2] + address - holder[3]
    for tag, value in entries:
        if tag == _NEEDED:
            yield data[strings + value : data.find(b"\0", strings + value)].decode()


def loadable(library: str) -> bool:
    """Return whether this machine has a library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def missing(packages: Path, *, loads: Callable[[str], bool] = loadable) -> dict[str, str]:
    """Return library -> a file that needs it, for what neither the wheels in a folder nor this machine have."""
    files = [file for file in sorted(packages.rglob("*.so*")) if file.is_file()]
    brought = {file.name for file in files}
    users: dict[str, str] = {}
    for package, libraries in OPENED_BY_NAME.items():
        if (packages / package).is_dir():
            users |= dict.fromkeys(libraries, package)
    for file in files:
        for library in needed(file):
            users.setdefault(library, str(file.relative_to(packages)))
    wanted = {library: user for library, user in users.items() if library not in brought}
    return {
        library: user
        for library, user in sorted(wanted.items())
        if not library.startswith(_OPTIONAL) and not loads(library)
    }


def main(arguments: list[str]) -> int:
    """Print what is missing; return 1 if something is."""
    if not sys.platform.startswith("linux"):
        return 0
    found = missing(Path(sysconfig.get_path("platlib")))
    if "--packages" in arguments:
        known = {DEBIAN_PACKAGES[library] for library in found if library in DEBIAN_PACKAGES}
        print(" ".join(sorted(known)))
        return 0
    for library, user in found.items():
        package = DEBIAN_PACKAGES.get(library, "unknown")
        print(f"missing: {library} (needed by {user}; Debian's package: {package})")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
