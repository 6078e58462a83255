"""DICOM as archives send it: every packing, polarity as a viewer shows it, and odd headers read rightly or refused."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_windowing
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import ExplicitVRBigEndian

from tests.xray.pixels.test_decode import dicom_file, smooth
from xray.errors import DataError, ImageError
from xray.pixels import choices
from xray.pixels.decode import content_hash, identity, read_grey
from xray.pixels.reading import Reading, reading_of

VALUES = smooth(41, 37, 4095)
SYNTAX = "1.2.840.10008.1.2.4."


def packed_file(path: Path, syntax: str, frame: bytes, **fields: object) -> Path:
    dicom_file(path, VALUES, **fields)
    header = pydicom.dcmread(path)
    header.file_meta.TransferSyntaxUID = syntax
    header.PixelData = encapsulate([frame])
    header["PixelData"].VR = "OB"
    header["PixelData"].is_undefined_length = True
    header.save_as(path, enforce_file_format=True)
    return path


def lossless_jpeg(values: NDArray[np.uint16], bits: int, predictor: int) -> bytes:
    """JPEG of process 14 (ITU-T T.81, annex H): differences from one of seven predictors, in codes of five bits each."""
    wide = values.astype(int)
    a, b, c = np.zeros_like(wide), np.zeros_like(wide), np.zeros_like(wide)
    a[:, 1:], b[1:], c[1:, 1:] = wide[:, :-1], wide[:-1], wide[:-1, :-1]
    guess = (a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1)[predictor - 1]
    guess[0], guess[:, 0] = a[0], b[:, 0]
    guess[0, 0] = 1 << (bits - 1)
    out = []
    for rest in map(int, (wide - guess).ravel()):
        rest = (rest + 32768) % 65536 - 32768
        size = abs(rest).bit_length()
        extra = rest if rest > 0 else rest + (1 << size) - 1
        out.append(f"{size:05b}" + (f"{extra:0{size}b}" if size and size < 16 else ""))
    stream = "".join(out)
    stream += "1" * (-len(stream) % 8)
    body = int(stream, 2).to_bytes(len(stream) // 8, "big").replace(b"\xff", b"\xff\0")
    size_segment = struct.pack(">HBHHB", 11, bits, *values.shape, 1) + b"\1\x11\0"
    table = struct.pack(">HB", 36, 0) + bytes([0, 0, 0, 0, 17] + [0] * 11) + bytes(range(17))
    scan = b"\0\x08\1\1\0" + bytes([predictor, 0, 0])
    return b"\xff\xd8\xff\xc3" + size_segment + b"\xff\xc4" + table + b"\xff\xda" + scan + body + b"\xff\xd9"


@pytest.mark.parametrize("predictor", range(1, 8))
def test_lossless_jpeg_of_every_predictor_gives_the_stored_values(tmp_path: Path, predictor: int) -> None:
    for syntax in ("57", "70") if predictor == 1 else ("57",):
        frame = lossless_jpeg(VALUES, 12, predictor)
        decoded = read_grey(packed_file(tmp_path / "a.dcm", SYNTAX + syntax, frame))
        np.testing.assert_array_equal(decoded.pixels, VALUES)
        assert (decoded.maximum, decoded.pixels.dtype, decoded.choices) == (4095, np.uint16, ())


def test_lossless_jpeg_of_16_and_8_bits_gives_the_stored_values(tmp_path: Path) -> None:
    wide = np.uint16(VALUES.astype(int) * 16 + 5)
    deep = {"BitsStored": 16, "HighBit": 15}
    path = packed_file(tmp_path / "a.dcm", SYNTAX + "70", lossless_jpeg(wide, 16, 1), **deep)
    np.testing.assert_array_equal(read_grey(path).pixels, wide)
    narrow = VALUES >> 4
    flat = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    path = packed_file(tmp_path / "b.dcm", SYNTAX + "70", lossless_jpeg(narrow, 8, 6), **flat)
    np.testing.assert_array_equal(read_grey(path).pixels, narrow.astype(np.uint8))


def run_lengths(values: NDArray[np.uint16]) -> bytes:
    return RLELosslessEncoder.encode(
        values.tobytes(),
        rows=values.shape[0],
        columns=values.shape[1],
        samples_per_pixel=1,
        bits_allocated=16,
        bits_stored=12,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
        number_of_frames=1,
        encoding_plugin="pydicom",
    )


def test_jpeg_ls_jpeg_2000_and_rle_give_the_stored_values(tmp_path: Path) -> None:
    frames = {
        SYNTAX + "80": imagecodecs.jpegls_encode(VALUES),
        SYNTAX + "90": imagecodecs.jpeg2k_encode(VALUES, level=0, bitspersample=12, codecformat="j2k"),
        SYNTAX + "91": imagecodecs.jpeg2k_encode(VALUES, level=0, bitspersample=12, codecformat="jp2"),
        "1.2.840.10008.1.2.5": run_lengths(VALUES),
    }
    for syntax, frame in frames.items():
        decoded = read_grey(packed_file(tmp_path / "a.dcm", syntax, frame))
        np.testing.assert_array_equal(decoded.pixels, VALUES, syntax)
        assert decoded.maximum == 4095


def test_lossy_compression_is_nearly_exact_and_reported(tmp_path: Path) -> None:
    frames = {
        SYNTAX + "51": imagecodecs.jpeg8_encode(VALUES, level=100, bitspersample=12),
        SYNTAX + "81": imagecodecs.jpegls_encode(VALUES, level=3),
    }
    for syntax, frame in frames.items():
        decoded = read_grey(packed_file(tmp_path / "a.dcm", syntax, frame))
        assert np.abs(decoded.pixels.astype(int) - VALUES).max() <= 8
        assert decoded.choices == (choices.LOSSY,)


@pytest.mark.parametrize(
    ("syntax", "spoil", "words"),
    [
        ("70", lambda frame: frame[: len(frame) // 3], "JPEG|damaged"),
        (
            "70",
            lambda frame: frame.replace(b"\x0c\0\x29\0\x25\1", b"\x0c\0\x29\0\x26\1"),
            "is 38 × 41, the header",
        ),
        ("70", lambda frame: frame.replace(b"\x0c\0\x29\0\x25\1", b"\x0c\0\x29\0\x25\3"), "has 3 channel"),
        ("70", lambda frame: b"RIFF" + frame, "neither JPEG nor JPEG 2000"),
        ("80", lambda frame: frame, "damaged"),
        ("100", lambda frame: frame, "method that can't be decoded here"),
    ],
)
def test_damaged_or_unsupported_compression_is_refused_with_the_reason(
    tmp_path, syntax, spoil, words
) -> None:
    path = packed_file(tmp_path / "a.dcm", SYNTAX + syntax, spoil(lossless_jpeg(VALUES, 12, 1)))
    with pytest.raises(ImageError, match=words):
        read_grey(path)


@pytest.mark.parametrize(
    ("fields", "inverted", "choice"),
    [
        ({}, False, None),
        ({"RescaleSlope": "2", "RescaleIntercept": "-5"}, False, None),
        ({"PresentationLUTShape": "IDENTITY"}, False, None),
        ({"PhotometricInterpretation": "MONOCHROME1"}, True, choices.MONOCHROME1),
        (
            {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
            True,
            choices.MONOCHROME1,
        ),
        ({"RescaleSlope": "-1", "RescaleIntercept": "4095"}, True, choices.NEGATIVE_SLOPE),
        ({"RescaleSlope": "-0.5", "RescaleIntercept": "0"}, True, choices.NEGATIVE_SLOPE),
        ({"PresentationLUTShape": "INVERSE"}, True, choices.PRESENTATION_INVERSE),
        (
            {"PhotometricInterpretation": "MONOCHROME1", "RescaleSlope": "-1", "RescaleIntercept": "0"},
            False,
            choices.NEGATIVE_SLOPE,
        ),
        (
            {"PresentationLUTShape": "INVERSE", "RescaleSlope": "-1", "RescaleIntercept": "0"},
            False,
            choices.NEGATIVE_SLOPE,
        ),
    ],
)
def test_polarity_is_that_of_a_viewer(tmp_path, fields, inverted, choice) -> None:
    decoded = read_grey(dicom_file(tmp_path / "a.dcm", VALUES, **fields))
    np.testing.assert_array_equal(decoded.pixels, 4095 - VALUES if inverted else VALUES)
    assert decoded.maximum == 4095
    assert choice is None or choice in decoded.choices
    assert choice is not None or decoded.choices == ()


def table(first: int, entries: NDArray[np.integer], bits: int) -> pydicom.Sequence:
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries.tolist())
    return pydicom.Sequence([item])


def test_a_modality_lut_is_applied_and_a_falling_voi_lut_inverts(tmp_path: Path) -> None:
    falling = np.linspace(1023, 10, 3000).astype(np.uint16)
    path = dicom_file(tmp_path / "a.dcm", VALUES, ModalityLUTSequence=table(500, falling, 16))
    header = pydicom.dcmread(path)
    decoded = read_grey(path)
    np.testing.assert_array_equal(decoded.pixels, apply_modality_lut(header.pixel_array, header))
    assert (decoded.maximum, decoded.choices) == (65535, (choices.MODALITY_LUT,))
    path = dicom_file(tmp_path / "b.dcm", VALUES, VOILUTSequence=table(0, falling, 10))
    np.testing.assert_array_equal(read_grey(path).pixels, 4095 - VALUES)
    path = dicom_file(tmp_path / "c.dcm", VALUES, VOILUTSequence=table(0, falling[::-1], 10))
    np.testing.assert_array_equal(read_grey(path).pixels, VALUES)


@pytest.mark.parametrize("bits", [12, 15])
def test_bits_outside_the_stored_ones_are_masked_or_shifted_away(tmp_path: Path, bits: int) -> None:
    low = VALUES & 2047
    marks = np.uint16(1 << bits) * (np.arange(41)[:, None] < 8).astype(np.uint16)
    fields = {"BitsStored": bits, "HighBit": bits - 1}
    decoded = read_grey(dicom_file(tmp_path / "a.dcm", low | marks, **fields))
    np.testing.assert_array_equal(decoded.pixels, low)
    assert (decoded.maximum, decoded.choices) == (2**bits - 1, (choices.HIGH_BITS,))
    shift = 16 - bits
    decoded = read_grey(dicom_file(tmp_path / "b.dcm", low << shift | (low & 1), BitsStored=bits, HighBit=15))
    np.testing.assert_array_equal(decoded.pixels, low)
    assert decoded.choices == (choices.SHIFTED,)


@pytest.mark.parametrize(
    ("fields", "padding", "limit"),
    [
        ({}, 65535, None),  # beyond the bits stored
        ({}, 4095, None),
        ({}, 0, None),
        ({"PhotometricInterpretation": "MONOCHROME1"}, 0, None),
        ({"PhotometricInterpretation": "MONOCHROME1"}, 65535, None),
        ({"PresentationLUTShape": "INVERSE"}, 4000, 4095),
        ({"RescaleSlope": "-1", "RescaleIntercept": "4095"}, 4095, 4000),
        ({"PixelRepresentation": 1}, -2048, None),
        ({"PixelRepresentation": 1, "PhotometricInterpretation": "MONOCHROME1"}, -2000, -2048),
        ({"PixelRepresentation": 1}, -32768, None),
    ],
)
def test_padding_is_background_whatever_the_polarity(tmp_path, fields, padding, limit) -> None:
    """Of the picture nothing changes; what stands for no pixel is black, where a viewer shows it white too."""
    signed = fields.get("PixelRepresentation", 0)
    inside = (VALUES.astype(int) % 3000) + 500 - 2048 * signed
    plain = read_grey(
        dicom_file(tmp_path / "a.dcm", inside.astype("i2" if signed else "u2"), **fields)
    ).pixels
    holes = np.zeros(VALUES.shape, dtype=bool)
    holes[:, :7], holes[5, 20] = True, True
    cells = np.where(holes, padding, inside)
    if limit is not None:
        cells[5, 20] = limit
        fields = fields | {"PixelPaddingRangeLimit": limit}
    path = dicom_file(
        tmp_path / "b.dcm", cells.astype("i2" if signed else "u2"), PixelPaddingValue=padding, **fields
    )
    decoded = read_grey(path)
    np.testing.assert_array_equal(decoded.pixels, np.where(holes, 0, plain))
    assert decoded.maximum == 4095
    assert choices.PADDING in decoded.choices
    assert choices.HIGH_BITS not in decoded.choices


def test_padding_is_background_after_windowing_and_lossy_compression(tmp_path: Path) -> None:
    fields = {"WindowCenter": "2000", "WindowWidth": "1000", "PhotometricInterpretation": "MONOCHROME1"}
    cells = np.where(np.arange(41)[:, None] < 6, np.uint16(65535), VALUES & 2047)
    decoded = read_grey(
        dicom_file(tmp_path / "a.dcm", cells, PixelPaddingValue=65535, **fields), Reading(window=True)
    )
    plain = read_grey(dicom_file(tmp_path / "b.dcm", VALUES & 2047, **fields), Reading(window=True))
    np.testing.assert_array_equal(decoded.pixels[:6], 0)
    np.testing.assert_array_equal(decoded.pixels[6:], plain.pixels[6:])


@pytest.mark.parametrize(("fields", "padding"), [({}, 4000), ({"PixelRepresentation": 1}, -2000)])
def test_padding_is_recognised_below_overlay_bits(tmp_path: Path, fields, padding) -> None:
    values = (VALUES.astype(int) % 3000) + 500 - 2048 * len(fields)
    holes = np.arange(41)[:, None] + np.zeros(VALUES.shape, int) < 5
    cells = np.where(holes, padding, values).astype("i2").view("u2") & 4095
    cells[:, :9] |= 0x1000
    decoded = read_grey(dicom_file(tmp_path / "a.dcm", cells, PixelPaddingValue=padding, **fields))
    np.testing.assert_array_equal(decoded.pixels, np.where(holes, 0, values + 2048 * len(fields)))


def test_a_picture_without_pixels_of_the_padding_value_is_unchanged(tmp_path: Path) -> None:
    values = VALUES % 4000
    decoded = read_grey(dicom_file(tmp_path / "a.dcm", values, PixelPaddingValue=4095))
    np.testing.assert_array_equal(decoded.pixels, values)
    assert decoded.choices == ()


@pytest.mark.parametrize("bits", [12, 16])
def test_signed_values_are_shifted_by_half_the_range(tmp_path: Path, bits: int) -> None:
    half = 1 << (bits - 1)
    signed = (VALUES.astype(int) - 2048).astype(np.int16)
    fields = {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": 1}
    decoded = read_grey(dicom_file(tmp_path / "a.dcm", signed, **fields))
    np.testing.assert_array_equal(decoded.pixels, signed.astype(int) + half)
    assert (decoded.maximum, decoded.choices) == (2 * half - 1, (choices.SIGNED,))
    frame = imagecodecs.jpegls_encode(signed.view(np.uint16) & np.uint16(2 * half - 1))
    again = read_grey(packed_file(tmp_path / "b.dcm", SYNTAX + "80", frame, **fields))
    np.testing.assert_array_equal(again.pixels, decoded.pixels)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("interpretation", ["RGB", "YBR_FULL"])
def test_colour_with_equal_channels_is_grey_and_other_colour_is_refused(
    tmp_path, planar, interpretation
) -> None:
    grey = (VALUES >> 4).astype(np.uint8)
    rest = grey if interpretation == "RGB" else np.full_like(grey, 128)
    for other, words in ((rest, None), (rest ^ np.uint8(1), "in colour")):
        stack = np.stack([grey, rest, other], 0 if planar else 2)
        fields = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "SamplesPerPixel": 3}
        fields |= {"PhotometricInterpretation": interpretation, "PlanarConfiguration": planar}
        path = dicom_file(
            tmp_path / "a.dcm", VALUES, PixelData=stack.tobytes() + b"\0" * (stack.size % 2), **fields
        )
        if words is None:
            decoded = read_grey(path)
            np.testing.assert_array_equal(decoded.pixels, grey)
            assert decoded.choices == (choices.EQUAL_CHANNELS,)
        else:
            with pytest.raises(ImageError, match=words):
                read_grey(path)


def test_colour_jpeg_of_a_grey_picture_gives_the_grey_values(tmp_path: Path) -> None:
    grey = np.repeat((VALUES >> 4).astype(np.uint8)[:, :, None], 3, axis=2)
    fields = {
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "SamplesPerPixel": 3,
        "PlanarConfiguration": 0,
    }
    for interpretation in ("YBR_FULL_422", "RGB"):
        kind = "RGB" if interpretation == "RGB" else "YCBCR"
        frame = imagecodecs.jpeg8_encode(grey, level=98, colorspace="RGB", outcolorspace=kind)
        path = packed_file(
            tmp_path / "a.dcm", SYNTAX + "50", frame, PhotometricInterpretation=interpretation, **fields
        )
        assert np.abs(read_grey(path).pixels.astype(int) - grey[:, :, 0]).max() <= 4


def test_a_dicom_file_without_preamble_or_file_header_is_read(tmp_path: Path) -> None:
    data = dicom_file(tmp_path / "a.dcm", VALUES, SOPClassUID="1.2.840.10008.5.1.4.1.1.1").read_bytes()
    at = 132 + 12 + int.from_bytes(data[140:144], "little")
    for name, rest in (("b.dcm", data[132:]), ("c.dcm", data[128:]), ("d.dcm", data[at:])):
        (tmp_path / name).write_bytes(rest)
        decoded = read_grey(tmp_path / name)
        np.testing.assert_array_equal(decoded.pixels, VALUES, name)
        assert decoded.choices == (choices.NO_PREAMBLE,)


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    header = pydicom.dcmread(dicom_file(tmp_path / "a.dcm", VALUES))
    header.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    header.PixelData = VALUES.astype(">u2").tobytes()
    pydicom.dcmwrite(
        tmp_path / "b.dcm", header, implicit_vr=False, little_endian=False, enforce_file_format=True
    )
    np.testing.assert_array_equal(read_grey(tmp_path / "b.dcm").pixels, VALUES)


def without(*names: str):
    def take(header: pydicom.Dataset) -> None:
        for name in names:
            del header[name]

    return take


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without("PixelData", "Rows", "PhotometricInterpretation"), "holds no picture"),
        (without("Rows", "BitsStored"), "lacks Rows, BitsStored"),
        (lambda header: setattr(header, "HighBit", 5), "high bit 5"),
        (lambda header: setattr(header, "BitsAllocated", 12), "allocates 12 bits"),
        (lambda header: setattr(header, "RescaleSlope", "0"), "makes all pixels equal"),
        (lambda header: setattr(header, "PhotometricInterpretation", "PALETTE COLOR"), "PALETTE COLOR"),
        (lambda header: setattr(header, "PixelData", header.PixelData[:-100]), "truncated"),
    ],
)
def test_an_ambiguous_picture_is_refused_with_the_reason(tmp_path, spoil, words) -> None:
    path = dicom_file(tmp_path / "a.dcm", VALUES)
    header = pydicom.dcmread(path)
    spoil(header)
    header.save_as(path)
    with pytest.raises(ImageError, match=words):
        read_grey(path)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(
    "fields", [{}, {"RescaleSlope": "-2", "RescaleIntercept": "900"}, {"PixelRepresentation": 1}]
)
def test_the_window_function_follows_the_standard(tmp_path, function, fields) -> None:
    signed = "PixelRepresentation" in fields
    values = (VALUES.astype(int) - 2048).astype(np.int16) if signed else VALUES
    window = {"WindowCenter": ["-100", "5"], "WindowWidth": ["1501", "6"], "VOILUTFunction": function}
    path = dicom_file(tmp_path / "a.dcm", values, **fields, **window)
    header = pydicom.dcmread(path)
    modality = apply_modality_lut(header.pixel_array, header)
    windowed = apply_windowing(modality, header)
    share = (windowed - _lowest(header)) / (_highest(header) - _lowest(header))
    decoded = read_grey(path, Reading(window=True))
    assert decoded.maximum == 65535
    assert decoded.choices[-1] == choices.WINDOW
    np.testing.assert_allclose(decoded.pixels / 65535, share, atol=2e-5)
    header.PhotometricInterpretation = "MONOCHROME1"
    header.save_as(path)
    inverse = read_grey(path, Reading(window=True)).pixels
    assert np.abs(inverse.astype(int) + decoded.pixels - 65535).max() <= 1


def _range(header: pydicom.Dataset) -> tuple[float, float]:
    """The range of values that pydicom's window gives, as its documentation says: that of the stored ones, rescaled."""
    bits = header.BitsStored
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if header.PixelRepresentation else (0, 2**bits - 1)
    slope, intercept = header.get("RescaleSlope", 1), header.get("RescaleIntercept", 0)
    return float(low * slope + intercept), float(high * slope + intercept)


def _lowest(header: pydicom.Dataset) -> float:
    return _range(header)[0]


def _highest(header: pydicom.Dataset) -> float:
    return _range(header)[1]


def test_the_same_pixels_with_a_declared_maximum_are_another_image(tmp_path: Path) -> None:
    path = dicom_file(tmp_path / "a.dcm", VALUES, BitsStored=16, HighBit=15)
    plain, declared = read_grey(path), read_grey(path, Reading(maximum=4095))
    np.testing.assert_array_equal(plain.pixels, declared.pixels)
    assert (plain.maximum, declared.maximum) == (65535, 4095)
    assert content_hash(plain.pixels) == identity(plain) != identity(declared)
    assert identity(read_grey(path, Reading(maximum=65535))) == identity(plain)
    with pytest.raises(ImageError, match="above the maximum given, 255"):
        read_grey(path, Reading(maximum=255))
    narrow = dicom_file(tmp_path / "b.dcm", VALUES)
    with pytest.raises(ImageError, match="values up to 4095 only; the maximum given is 65535"):
        read_grey(narrow, Reading(maximum=65535))
    with pytest.raises(ImageError, match="no DICOM window"):
        read_grey(narrow, Reading(window=True))


def test_reading_options_are_written_and_read_back() -> None:
    for reading in (Reading(), Reading(maximum=4095), Reading(window=True)):
        assert reading_of(reading.text) == reading
    with pytest.raises(DataError, match="this version doesn't know"):
        reading_of("sideways")
    with pytest.raises(DataError, match="expected 1 to 65535"):
        Reading(maximum=0)
