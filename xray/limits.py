"""How large what comes from outside may become when it is opened: one place for every bound, and the reason for each.

A packed file is small on disk and as large as its maker likes in memory. So what unpacks is counted while it does, and stops
at a bound; the refusal names the file's size, what it would become, and the bound.
"""

import errno
import os
import stat
import tomllib
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from xray.errors import XrayError

MIB: Final = 2**20

PICTURE_FILE: Final = 256 * MIB
"""Bytes of a picture's file. An uncompressed 16-bit radiograph of 8192 × 8192 has 128 MiB, and a header."""
PIXELS: Final = 2**26
"""Pixels of a picture: 8192 × 8192. Detectors have up to 4300 × 4300."""
PIXEL_BYTES: Final = 128 * MIB
"""Bytes of a decoded picture, all channels: 8192 × 8192 in 16 bits grey, or 6600 × 6600 in 8 bits colour."""
DICOM: Final = PIXEL_BYTES + 16 * MIB
"""Bytes of a deflated DICOM file once inflated: its pixels, and a header."""
SCANS: Final = 100
"""Passes over a progressive JPEG, each of which may take as long as a whole picture. Encoders make about ten."""
TILES: Final = 4096
"""Tiles of a JPEG 2000 picture, each of which takes memory of its own: 8192 × 8192 in tiles of 128 × 128."""

TABLE: Final = 4096 * MIB
"""Bytes of a label or score file once unpacked. Published label files have up to 60 MB; scores of 10 M images 2 GB."""
LINE: Final = 4 * MIB
"""Bytes of one line of a CSV. PadChest's longest has 4 kB; 100,000 columns of numbers have 1 MB."""
BARE_LINES: Final = 1_000_000
"""Lines of a table without any comma: a file of line ends alone takes fifty times its size to read."""
COLUMNS: Final = 10_000
"""Columns of a table. PadChest has 36; tables of image features have some thousands."""
CELLS: Final = 2**30
"""Rows times columns of a table, whose packed columns can stand for any number: 8 GiB of numbers."""
READING: Final = 192 * MIB
"""Memory that a library may take beyond what a Parquet file says of itself: its pages, if their headers lie."""
REPORT: Final = 4 * MIB
"""Bytes of one report in XML; OpenI's have 10 kB."""
DEPTH: Final = 100
"""Elements within elements of a report; OpenI's have five."""
MEMBERS: Final = 100_000
"""Files in an archive. OpenI has 3,955 reports."""
TEXT: Final = 4 * MIB
"""Bytes of a study, protocol or card file."""
MODEL: Final = 16 * 1024 * MIB
"""Bytes of a model's file."""
HEADER: Final = 16 * MIB
"""Bytes of a safetensors file's header; that of a DenseNet-121 has 80 kB. The library itself takes up to 100 MB."""

RATIO: Final = 250
"""Bytes unpacked for each packed one, beyond `UNSUSPECTED`. Label files reach 40, radiographs 5; deflate can reach 1032."""
UNSUSPECTED: Final = 16 * MIB
"""Up to so many bytes the ratio is not asked: a small blank picture is packed well too."""
MODEL_SECONDS: Final = 300.0
"""How long a model in ONNX may take for one batch (of 128 pictures at most). XRAY_MODEL_SECONDS says otherwise."""
STEP: Final = MIB


def allowed(packed: int, limit: int) -> int:
    """How many bytes `packed` ones may become, of at most `limit`."""
    return min(limit, max(UNSUSPECTED, RATIO * packed))


def check_ratio(packed: int, unpacked: int, subject: str, error: type[XrayError]) -> None:
    """Raise `error` where so few packed bytes should become so many."""
    if unpacked > allowed(packed, unpacked):
        raise error(
            f"{subject}: {amount(packed)} would become {amount(unpacked)}, more than {RATIO} times as much; "
            "a file that is packed so well is refused"
        )


def check_bytes(count: int, limit: int, subject: str, error: type[XrayError]) -> None:
    """Raise `error` for more bytes than `limit`."""
    if count > limit:
        raise error(f"{subject}: {amount(count)}; at most {amount(limit)} are taken")


class Unpacking:
    """What comes out of an unpacking file, counted: reading past a bound raises `error`.

    packed: how many bytes have been taken from the disk so far. The ratio is that of what was read, so that a file stops
    soon after it begins to swell, however large it is. at_once: what may be asked for in one call. Reads, seeks forward and
    tells, as `tarfile` wants it.
    """

    def __init__(
        self,
        file: Any,
        packed: Callable[[], int],
        limit: int,
        subject: str,
        error: type[XrayError],
        at_once: int | None = None,
    ) -> None:
        self._file, self._packed, self._limit = file, packed, limit
        self._subject, self._error = subject, error
        self._at_once = limit if at_once is None else at_once

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all where it is negative."""
        if size > self._at_once:
            raise self._error(
                f"{self._subject}: an entry of {amount(size)}; at most {amount(self._at_once)} are taken"
            )
        remaining = self._limit + 1 if size < 0 else size
        parts = []
        while remaining > 0 and (part := self._file.read(min(remaining, STEP))):
            parts.append(part)
            remaining -= len(part)
            self._check(self._file.tell())
        return b"".join(parts)

    def seek(self, position: int) -> int:
        """Go to a place; what is passed over is unpacked and counted too."""
        if position > self._limit:
            raise self._error(
                f"{self._subject}: unpacks to {amount(position)} and more; at most {amount(self._limit)} are taken"
            )
        while (left := position - self._file.tell()) > 0 and self._file.read(min(left, STEP)):
            self._check(self._file.tell())
        return self._file.seek(position)

    def tell(self) -> int:
        """The place in the unpacked file."""
        return self._file.tell()

    def _check(self, unpacked: int) -> None:
        bound = allowed(self._packed(), self._limit)
        if unpacked > bound:
            raise self._error(
                f"{self._subject}: {amount(self._packed())} unpack to more than {amount(bound)} (bounds: "
                f"{amount(self._limit)}, and {RATIO} times the packed size); such a file is refused"
            )


def check_inflated(data: memoryview, limit: int, subject: str, error: type[XrayError]) -> None:
    """Inflate a raw deflate stream without keeping it. Raises `error` where it becomes more than may be."""
    inflater, size, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, bytes(data)
    while rest and not inflater.eof:
        size += len(inflater.decompress(rest, STEP))
        rest = inflater.unconsumed_tail
        bound = allowed(len(data) - len(rest), limit)
        if size > bound:
            raise error(
                f"{subject}: {amount(len(data))} inflate to more than {amount(bound)} (bounds: {amount(limit)}, and "
                f"{RATIO} times the deflated size); such a file is refused"
            )


def check_table(data: bytes, name: str, error: type[XrayError], separator: bytes = b",") -> None:
    """Raise `error` where a line is longer than `LINE` (it may be twice as long), or there is little but line ends."""
    ends = b"\n" if b"\n" in data else b"\r"
    for start in range(0, len(data) - LINE, LINE):
        if data.find(ends, start, start + LINE) < 0:
            row = data.count(ends, 0, start) + 1
            raise error(f"{name}, row {row}: a line of more than {amount(LINE)}; is it a table?")
    separators, lines = data.count(separator), data.count(ends)
    if lines - separators > BARE_LINES:
        raise error(
            f"{name}: {lines:,} lines and {separators:,} separators ({separator.decode()!r}); a table has fields"
        )
    check_cells(lines + separators, name, error)


def check_columns(count: int, name: str, error: type[XrayError]) -> None:
    """Raise `error` for a table of more than `COLUMNS` columns."""
    if count > COLUMNS:
        raise error(f"{name}: {count:,} columns; at most {COLUMNS:,} are taken")


def check_cells(count: int, name: str, error: type[XrayError]) -> None:
    """Raise `error` for a table of more than `CELLS` cells."""
    if count > CELLS:
        raise error(f"{name}: {count:,} cells; at most {CELLS:,} are taken: cut it in parts")


def read_toml(path: Path, error: type[XrayError]) -> dict[str, Any]:
    """A small TOML file. Raises `error` where it is not one, is no plain file, or is larger than `TEXT`."""
    try:
        with open_file(path) as file:
            data = file.read(TEXT + 1)
        check_bytes(len(data), TEXT, f"{path}", error)
        return tomllib.loads(data.decode("utf-8-sig"))
    except OSError as failure:
        raise error(f"{path}: can't be read: {failure.strerror or failure}") from None
    except (ValueError, RecursionError) as failure:  # not UTF-8, not TOML, tables within tables for ever
        raise error(f"{path}: not TOML: {str(failure)[:200]}") from None


def check_header(path: Path, error: type[XrayError]) -> None:
    """Raise `error` where a safetensors file has a header larger than `HEADER`; the library sees to other faults."""
    with open_file(path) as file:
        length = int.from_bytes(file.read(8), "little")
        size = os.fstat(file.fileno()).st_size
    if length <= size:
        check_bytes(length, HEADER, f"{path}: the header", error)


def model_seconds() -> float:
    """`MODEL_SECONDS`, or what the environment says instead. Raises `XrayError` where that is no number above 0."""
    setting = os.environ.get("XRAY_MODEL_SECONDS") or MODEL_SECONDS
    try:
        seconds = float(setting)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise XrayError(f"XRAY_MODEL_SECONDS: expected seconds above 0, found {setting!r}")
    return seconds


def open_file(path: Path) -> IO[bytes]:
    """A plain file, open for reading. Raises OSError, at once, for a pipe, a device, a socket or a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        raise OSError(errno.EINVAL, "not a plain file (a pipe or a device?)", str(path))
    return os.fdopen(descriptor, "rb")


@contextmanager
def memory(size: int) -> Iterator[None]:
    """Within this block the process may take `size` bytes of memory more than it has; what asks for more fails.

    For libraries that believe what a file says of itself. Threads of the process share the bound. Where the system can't
    bound it (macOS), nothing is bound.
    """
    import resource

    status = Path("/proc/self/status")
    if not status.exists():
        yield
        return
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmData:")]
    before = resource.getrlimit(resource.RLIMIT_DATA)
    total = int(line.split()[1]) * 1024 + size
    soft = total if before[0] == resource.RLIM_INFINITY else min(total, before[0])
    resource.setrlimit(resource.RLIMIT_DATA, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def amount(count: int) -> str:
    """A number of bytes for people."""
    for unit, size in (("GiB", 1024 * MIB), ("MiB", MIB), ("kB", 1000)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
