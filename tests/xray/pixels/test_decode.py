"""Decoding against Pillow, on the files that a hospital's disk really holds, and on broken ones."""

import hashlib
import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFile

from xray import limits
from xray.errors import ImageError
from xray.pixels import choices
from xray.pixels.decode import content_hash, read_grey

SHARED = Path(__file__).resolve().parents[4] / "shared/data/images"
REAL = sorted(SHARED.glob("*/originals/*.*"))


def smooth(height: int, width: int, top: int) -> NDArray[np.uint16]:
    """A picture for which encoders choose every kind of PNG row filter."""
    rng = np.random.default_rng(height * 1000 + width)
    y, x = np.mgrid[:height, :width]
    wave = 0.5 + 0.3 * np.sin(y / 7) * np.cos(x / 11) + rng.normal(0, 0.02, (height, width))
    return np.uint16(np.clip(wave, 0, 1) * top)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_file(width: int, height: int, bits: int, colour: int, stream: bytes, interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", stream) + chunk(b"IEND", b"")


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (37, 53), (64, 64)])
def test_grey_png_is_read_as_it_was_written(tmp_path: Path, shape: tuple[int, int]) -> None:
    eight = smooth(*shape, top=255).astype(np.uint8)
    sixteen = smooth(*shape, top=65535)
    one = read_grey(saved(tmp_path / "8.png", Image.fromarray(eight)))
    two = read_grey(saved(tmp_path / "16.png", Image.fromarray(sixteen)))
    assert (one.pixels.dtype, one.maximum) == (np.uint8, 255)
    assert (two.pixels.dtype, two.maximum) == (np.uint16, 65535)
    np.testing.assert_array_equal(one.pixels, eight)
    np.testing.assert_array_equal(two.pixels, sixteen)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "CMYK"])
def test_other_modes_give_the_first_channel(tmp_path: Path, mode: str) -> None:
    red, green = smooth(40, 30, 255).astype(np.uint8), smooth(40, 30, 99).astype(np.uint8)
    colour = Image.fromarray(np.dstack([red, green, 255 - red]))
    if mode == "CMYK":
        path = saved(tmp_path / "a.jpg", colour.convert("CMYK"))
    else:
        image = Image.fromarray(red).convert(mode) if mode in ("LA", "1") else colour.convert(mode)
        path = saved(tmp_path / "a.png", image)
    with Image.open(path) as picture:
        expected = np.asarray(picture.convert("RGB"))[:, :, 0]
    decoded = read_grey(path)
    assert decoded.maximum == 255
    np.testing.assert_array_equal(decoded.pixels, expected)


def filtered_rows(rows: NDArray[np.uint8], step: int, kinds: list[int]) -> bytes:
    """Rows under the given PNG filters, each written out from the specification's formulas, byte by byte."""
    out = bytearray()
    for y, kind in enumerate(kinds):
        out.append(kind)
        for x in range(rows.shape[1]):
            a = int(rows[y, x - step]) if x >= step else 0
            b = int(rows[y - 1, x]) if y else 0
            c = int(rows[y - 1, x - step]) if y and x >= step else 0
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            predicted = (0, a, b, (a + b) // 2, nearest)[kind]
            out.append((int(rows[y, x]) - predicted) % 256)
    return bytes(out)


@pytest.mark.parametrize(
    ("bits", "colour", "channels"), [(8, 0, 1), (16, 0, 1), (8, 2, 3), (16, 6, 4), (16, 4, 2)]
)
def test_every_png_filter_after_every_other(tmp_path: Path, bits: int, colour: int, channels: int) -> None:
    kinds = [0, 1, 2, 3, 4, 4, 3, 2, 1, 0, 2, 0, 3, 1, 4, 1, 3, 0, 4, 2, 4, 0]
    for first in range(5):
        order = [first, *kinds]
        step = channels * bits // 8
        rows = np.random.default_rng(first).integers(0, 256, (len(order), 7 * step), dtype=np.uint8)
        path = tmp_path / "a.png"
        path.write_bytes(
            png_file(7, len(order), bits, colour, zlib.compress(filtered_rows(rows, step, order)))
        )
        expected = (rows if bits == 8 else rows.view(">u2"))[:, ::channels]
        np.testing.assert_array_equal(read_grey(path).pixels, expected)


def test_png_with_few_bits_interlacing_or_trailing_data_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_file(4, 1, 2, 0, zlib.compress(bytes([0, 0b00011011]))))
    np.testing.assert_array_equal(read_grey(path).pixels, [[0, 85, 170, 255]])
    path.write_bytes(png_file(1, 1, 8, 0, zlib.compress(bytes([0, 77])), interlace=1))
    np.testing.assert_array_equal(read_grey(path).pixels, [[77]])
    path.write_bytes(png_file(2, 1, 8, 0, zlib.compress(bytes([0, 7, 9]) + bytes(100))))
    np.testing.assert_array_equal(read_grey(path).pixels, [[7, 9]])


def test_jpeg_pixels_equal_pillows(tmp_path: Path) -> None:
    picture = Image.fromarray(smooth(70, 90, 255).astype(np.uint8))
    for name, image in (("grey.jpg", picture), ("colour.jpg", picture.convert("RGB"))):
        path = saved(tmp_path / name, image, quality=90, progressive=name == "colour.jpg")
        with Image.open(path) as pillow_image:
            expected = np.asarray(pillow_image.convert("RGB"))[:, :, 0]
        np.testing.assert_array_equal(read_grey(path).pixels, expected)


ORIENTATIONS = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).T,
    8: lambda upright: np.rot90(upright, 3),
}
"""What a camera stores of an upright picture, for each value of the tag (Exif 2.3, table 6)."""


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_orientation_is_applied_to_jpeg_and_png(tmp_path: Path, orientation: int) -> None:
    upright = smooth(48, 32, 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(ORIENTATIONS[orientation](upright)))
    expected_choices = (choices.ORIENTATION,) if orientation > 1 else ()
    png = read_grey(saved(tmp_path / "a.png", stored, exif=exif))
    np.testing.assert_array_equal(png.pixels, upright)
    jpeg = read_grey(saved(tmp_path / "a.jpg", stored, exif=exif, quality=95))
    assert np.abs(jpeg.pixels.astype(int) - upright).max() < 30
    assert png.choices == jpeg.choices == expected_choices


def test_damaged_exif_turns_nothing(tmp_path: Path) -> None:
    picture = smooth(24, 32, 255).astype(np.uint8)
    for exif in (
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12",
        b"x" * 60,
    ):
        path = saved(tmp_path / "a.png", Image.fromarray(picture), exif=exif)
        np.testing.assert_array_equal(read_grey(path).pixels, picture)


def test_a_loss_by_dropping_channels_is_reported(tmp_path: Path) -> None:
    grey = smooth(40, 30, 255).astype(np.uint8)
    same, other = np.dstack([grey] * 3), np.dstack([grey, grey, 255 - grey])
    clear = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    lost = {"differ": (choices.CHANNELS_DIFFER,), "through": (choices.TRANSPARENT,), "none": ()}
    for name, pixels in {"none": same, "differ": other, "through": np.dstack([same, grey])}.items():
        assert read_grey(saved(tmp_path / "a.png", Image.fromarray(pixels))).choices == lost[name]
    assert read_grey(saved(tmp_path / "a.png", Image.fromarray(clear))).choices == ()
    assert read_grey(saved(tmp_path / "a.jpg", Image.fromarray(same))).choices == ()
    assert read_grey(saved(tmp_path / "b.jpg", Image.fromarray(other))).choices == lost["differ"]


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("a.png", cut, "truncated"),
        ("a.png", lambda data: data[:-12], "no end chunk"),
        ("a.png", flip, "damaged"),
        (
            "a.png",
            lambda data: data[:-13] + bytes([data[-13] ^ 1]) + data[-12:],
            "checksum of PNG chunk b'IDAT'",
        ),
        ("a.png", lambda data: data[:20], "truncated"),
        ("a.jpg", cut, "JPEG"),
        ("a.jpg", lambda data: data[:30], "JPEG"),
        ("a.png", lambda data: b"", "empty"),
        ("a.png", lambda data: b"<html>404</html>", "not a PNG"),
        ("a.png", lambda data: b"GIF89a" + bytes(200), "not a PNG"),
        ("a.png", lambda data: png_file(0, 5, 8, 0, zlib.compress(b"")), "no pixels"),
        ("a.png", lambda data: png_file(50_000, 50_000, 8, 0, zlib.compress(b"")), "larger than"),
        ("a.png", lambda data: png_file(2**31 - 1, 2**31 - 1, 1, 0, zlib.compress(b"")), "larger than"),
        ("a.png", lambda data: png_file(4, 4, 8, 0, zlib.compress(bytes(19))), "ends after 19 of 20"),
        ("a.png", lambda data: png_file(4, 4, 8, 0, zlib.compress(bytes(20))[:-5]), "ends after|inflated"),
        ("a.png", lambda data: png_file(4, 4, 8, 0, b"not zlib"), "inflated"),
        ("a.png", lambda data: png_file(1, 1, 8, 0, zlib.compress(b"\x05\x00")), "filter 5"),
        ("a.png", lambda data: png_file(4, 4, 4, 0, zlib.compress(bytes(5))), "PNG"),
    ],
)
def test_broken_files_are_refused_by_name(
    tmp_path: Path, name: str, spoil: Callable[[bytes], bytes], words: str
) -> None:
    path = saved(tmp_path / name, Image.fromarray(smooth(64, 64, 255).astype(np.uint8)))
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ImageError, match=words) as caught:
        read_grey(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(ImageError, match=tmp_path.name):
            read_grey(path)


def test_a_png_truncated_anywhere_is_refused(tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.png", Image.fromarray(smooth(8, 8, 255).astype(np.uint8))).read_bytes()
    path = tmp_path / "cut.png"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ImageError):
            read_grey(path)


def test_large_jpeg_is_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(smooth(64, 64, 255).astype(np.uint8)))
    monkeypatch.setattr(limits, "PIXELS", 64 * 64 - 1)
    with pytest.raises(ImageError, match="larger than"):
        read_grey(path)


def test_pillows_setting_to_accept_truncated_images_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(smooth(64, 64, 255).astype(np.uint8)))
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ImageError, match="LOAD_TRUNCATED_IMAGES"):
        read_grey(path)


def test_the_content_hash_depends_on_pixels_and_not_on_files(tmp_path: Path) -> None:
    pixels = smooth(20, 30, 255).astype(np.uint8)
    fast = saved(tmp_path / "1.png", Image.fromarray(pixels), compress_level=1)
    small = saved(tmp_path / "9.png", Image.fromarray(pixels).convert("RGB"), compress_level=9)
    expected = hashlib.sha256(b"uint8 (20, 30)\n" + pixels.tobytes()).hexdigest()
    assert content_hash(read_grey(fast).pixels) == content_hash(read_grey(small).pixels) == expected
    assert content_hash(pixels[:, ::-1]) == content_hash(pixels[:, ::-1].copy())
    others = [pixels.reshape(30, 20), pixels.astype(np.uint16), np.flipud(pixels), pixels[:-1]]
    assert len({expected, *map(content_hash, others)}) == 5


def dicom_file(path: Path, values: NDArray[np.uint16], **fields: object) -> Path:
    pydicom = pytest.importorskip("pydicom")
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = pydicom.uid.ComputedRadiographyImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    header.Rows, header.Columns = values.shape
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
    header.PixelRepresentation, header.SamplesPerPixel = 0, 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.PixelData = values.tobytes()
    for name, value in fields.items():
        setattr(header, name, value)
    header.save_as(path, enforce_file_format=True)
    return path


def test_dicom_gives_stored_values_and_inverts_monochrome1(tmp_path: Path) -> None:
    values = smooth(20, 24, 4095)
    plain = read_grey(dicom_file(tmp_path / "a.dcm", values))
    inverse = read_grey(dicom_file(tmp_path / "b.dcm", values, PhotometricInterpretation="MONOCHROME1"))
    assert plain.maximum == inverse.maximum == 4095
    np.testing.assert_array_equal(plain.pixels, values)
    np.testing.assert_array_equal(inverse.pixels, 4095 - values)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"PhotometricInterpretation": "RGB"}, "photometric"),
        ({"NumberOfFrames": 2}, "2 frames"),
        ({"BitsStored": 0}, "0 bits"),
        ({"Rows": 400}, "DICOM"),
        ({"Rows": 0}, "no pixels"),
    ],
)
def test_odd_dicom_is_refused(tmp_path: Path, fields: dict[str, object], words: str) -> None:
    values = smooth(20, 24, 4095)
    values[0, 0] = 4095
    path = dicom_file(tmp_path / "a.dcm", values, **fields)
    with pytest.raises(ImageError, match=words) as caught:
        read_grey(path)
    assert str(path) in str(caught.value)


def test_truncated_dicom_is_refused(tmp_path: Path) -> None:
    path = dicom_file(tmp_path / "a.dcm", smooth(40, 40, 4095))
    path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(ImageError, match="DICOM"):
        read_grey(path)


def test_without_pydicom_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(bytes(128) + b"DICM" + bytes(100))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImageError, match="pip install pydicom"):
        read_grey(path)


@pytest.mark.skipif(not REAL, reason="no real pictures here")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name[-20:])
def test_real_pictures_equal_those_of_pillow_and_pydicom(path: Path) -> None:
    decoded = read_grey(path)
    if path.suffix == ".dcm":
        expected = pytest.importorskip("pydicom").dcmread(path).pixel_array
    else:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            expected = np.asarray(image.convert("RGB"))[:, :, 0]
    np.testing.assert_array_equal(decoded.pixels, expected)
