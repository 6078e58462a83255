"""How a viewer turns a picture: the orientation of its EXIF data (Exif 2.3, tag 0x0112), and what it makes of pixels."""

import struct
from typing import Final

from xray.pixels.grey import Grey

_TAG: Final = 0x0112
_SHORT: Final = 3
_PREFIX: Final = b"Exif\0\0"
_ORDERS: Final = {b"II*\0": "<", b"MM\0*": ">"}


def orientation(exif: bytes | None) -> int:
    """1 to 8, as the first directory of EXIF data says; 1 where there are none, or they are damaged: viewers go without."""
    data = (exif or b"").removeprefix(_PREFIX)
    order = _ORDERS.get(data[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}L", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for at in range(start + 2, min(start + 2 + 12 * count, len(data)), 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHLH", data, at)
            if tag == _TAG:
                return value if kind == _SHORT and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def upright(pixels: Grey, orientation: int) -> Grey:
    """Stored pixels (height, width) as they are to be seen."""
    if orientation >= 5:
        pixels = pixels.T
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels.copy()
