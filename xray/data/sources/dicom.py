"""View, age and sex from a DICOM file's header (PS3.5 §7), without its pixels."""

import struct
from pathlib import Path
from typing import Final

from xray.errors import DataError
from xray.limits import open_file

_WANTED: Final = {
    (0x0010, 0x0040): "sex",
    (0x0010, 0x1010): "age",
    (0x0018, 0x5101): "view",
}
_LONG: Final = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_UNDEFINED: Final = 0xFFFFFFFF
_LAST: Final = (0x0018, 0x5101)
_SYNTAX: Final = (0x0002, 0x0010)


def read_person(path: Path) -> dict[str, str]:
    """`view`, `age` and `sex` as the header writes them; a key is missing where the header lacks it.

    Raises `DataError` where the file is not DICOM or is not little endian (big endian was retired).
    """
    try:
        with open_file(path) as file:
            data = file.read(1 << 16)
    except OSError as failure:
        raise DataError(f"{path.name}: can't be read: {failure.strerror}") from failure
    if data[128:132] != b"DICM":
        raise DataError(f"{path.name}: not a DICOM file")
    position, explicit, fields = 132, True, {}
    try:
        while position < len(data):
            tag, value, position = _element(
                data, position, explicit or data[position : position + 2] == b"\2\0"
            )
            if tag == _SYNTAX:
                syntax = value.rstrip(b"\0 ").decode("ascii", "replace")
                if syntax == "1.2.840.10008.1.2.2":
                    raise DataError(f"{path.name}: big-endian DICOM can't be read")
                explicit = syntax != "1.2.840.10008.1.2"
            if position > len(data) and tag < _LAST:
                raise DataError(f"{path.name}: the DICOM header ends too early")
            if tag in _WANTED:
                fields[_WANTED[tag]] = value.rstrip(b"\0 ").decode("latin-1").strip()
            if tag >= _LAST:
                break
    except (struct.error, RecursionError) as failure:  # or sequences within sequences for ever
        raise DataError(f"{path.name}: the DICOM header ends too early") from failure
    return fields


def _element(data: bytes, position: int, explicit: bool) -> tuple[tuple[int, int], bytes, int]:
    """The element at `position`: tag, value (empty for a sequence), and where the next one starts."""
    group, number = struct.unpack_from("<HH", data, position)
    if explicit and group != 0xFFFE:
        kind = data[position + 4 : position + 6]
        if kind in _LONG:
            (length,) = struct.unpack_from("<I", data, position + 8)
            start = position + 12
        else:
            (length,) = struct.unpack_from("<H", data, position + 6)
            start = position + 8
    else:
        (length,) = struct.unpack_from("<I", data, position + 4)
        start = position + 8
    if length == _UNDEFINED:
        return (group, number), b"", _skip(data, start, explicit)
    return (group, number), data[start : start + length], start + length


def _skip(data: bytes, position: int, explicit: bool) -> int:
    """Past a sequence or item of undefined length."""
    while True:
        tag, _, position = _element(data, position, explicit)
        if tag in ((0xFFFE, 0xE0DD), (0xFFFE, 0xE00D)):
            return position
