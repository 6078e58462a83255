"""Resize and preparation against scikit-image, called as torchxrayvision calls it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.transform import resize as skimage_resize

from xray.errors import ImageError
from xray.pixels.decode import Decoded
from xray.pixels.grey import Grey
from xray.pixels.preprocess import centre_crop, prepare
from xray.pixels.resize import band, resize
from xray.pixels.scale import network_table, to_network_range

SHAPES = [
    (1024, 900),
    (300, 211),
    (100, 90),
    (224, 224),
    (225, 223),
    (7, 5),
    (1, 1),
    (1, 9),
    (2, 500),
    (640, 33),
]


def oracle(pixels: Grey, maximum: int, size: int) -> NDArray[np.float32]:
    """XRayResizer("skimage") on an image normalised to [−1024, 1024]."""
    image = (2 * (pixels.astype(np.float32) / maximum) - 1) * 1024
    result: NDArray[np.float32] = skimage_resize(
        image[None], (1, size, size), mode="constant", preserve_range=True
    )
    return result[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [16, 64, 224])
def test_resize_equals_skimage(shape: tuple[int, int], size: int) -> None:
    rng = np.random.default_rng(size)
    atol = 1e-3 if max(shape) <= 16 * size else 3e-3  # float32 sums of hundreds of terms, here and there
    for low, high in ((0, 256), (200, 256), (0, 5), (255, 256)):
        pixels = rng.integers(low, high, shape, dtype=np.uint8)
        own = resize(pixels, size, fill=127.5) / 255 * 2048 - 1024
        np.testing.assert_allclose(own, oracle(pixels, 255, size), rtol=0, atol=atol)
    deep = rng.integers(0, 65536, shape, dtype=np.uint16)
    own = resize(deep, size, fill=32767.5) / 65535 * 2048 - 1024
    np.testing.assert_allclose(own, oracle(deep, 65535, size), rtol=0, atol=atol)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 130), st.integers(1, 130), st.integers(1, 70), st.floats(0, 255), st.integers(0, 2**32 - 1)
)
def test_resize_of_any_shape_and_fill_equals_skimage(
    height: int, width: int, size: int, fill: float, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    expected = skimage_resize(
        pixels.astype(float), (size, size), order=1, mode="constant", cval=fill, preserve_range=True
    )
    np.testing.assert_allclose(resize(pixels, size, fill=fill), expected, rtol=0, atol=1e-4)


def test_the_band_matrix_equals_that_of_skimage() -> None:
    for n_in, n_out in ((1024, 224), (50, 224), (13, 5), (1, 4)):
        first, weights, outside = band(n_in, n_out)
        matrix = np.zeros((n_out, n_in))
        for row in range(n_out):
            matrix[row, first[row] : first[row] + weights.shape[1]] = weights[row]
        expected = np.stack(
            [
                skimage_resize(unit[:, None], (n_out, 1), order=1, mode="constant", clip=False)[:, 0]
                for unit in np.eye(n_in)
            ],
            axis=1,
        )
        np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-7)
        np.testing.assert_allclose(outside, 1 - expected.sum(axis=1), rtol=0, atol=1e-6)


def test_resize_refuses_arrays_that_are_no_picture() -> None:
    for wrong in (np.zeros((2, 3, 1), np.uint8), np.zeros((0, 3), np.uint8), np.zeros((3, 3), np.float32)):
        with pytest.raises(ValueError):
            resize(wrong, 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="size"):
        resize(np.zeros((3, 3), np.uint8), 0)


@pytest.mark.parametrize(
    ("shape", "top", "left"),
    [
        ((8, 5), 2, 0),
        ((9, 6), 1, 0),
        ((7, 4), 1, 0),
        ((5, 8), 0, 2),
        ((6, 9), 0, 1),
        ((7, 7), 0, 0),
        ((1, 4), 0, 2),
    ],
)
def test_the_centre_crop_equals_torchxrayvisions(shape: tuple[int, int], top: int, left: int) -> None:
    pixels = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    side = min(shape)
    assert centre_crop(pixels).shape == (side, side)
    np.testing.assert_array_equal(centre_crop(pixels), pixels[top : top + side, left : left + side])


@pytest.mark.parametrize(("maximum", "kind"), [(255, np.uint8), (4095, np.uint16), (65535, np.uint16)])
@pytest.mark.parametrize("crop", ["centre", "none"])
def test_prepare_rounds_the_result_of_skimage(maximum: int, kind: type, crop: str) -> None:
    pixels = np.random.default_rng(0).integers(0, maximum + 1, (90, 130)).astype(kind)
    square = centre_crop(pixels) if crop == "centre" else pixels
    expected = oracle(square, maximum, 48)
    for dtype, rounding in ((np.uint8, 0.5 / 255 * 2048), (np.uint16, 0.5 / 65535 * 2048)):
        stored = prepare(Decoded(pixels, maximum), 48, crop, dtype)  # type: ignore[arg-type]
        assert stored.dtype == dtype
        assert stored.shape == (48, 48)
        np.testing.assert_allclose(to_network_range(stored), expected, rtol=0, atol=rounding + 1e-3)


def test_prepare_keeps_a_picture_of_the_right_size() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    stored = prepare(Decoded(pixels, 255), 32)
    np.testing.assert_array_equal(stored, pixels)
    assert not np.shares_memory(stored, pixels)


def test_prepare_refuses_a_wrong_range_and_unknown_words() -> None:
    with pytest.raises(ImageError, match="above its declared maximum 4095"):
        prepare(Decoded(np.full((4, 4), 4096, np.uint16), 4095), 2)
    fine = Decoded(np.zeros((4, 4), np.uint8), 255)
    with pytest.raises(ValueError, match="center"):
        prepare(fine, 2, "center")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="float32"):
        prepare(fine, 2, dtype=np.float32)


def test_the_network_range_is_minus_1024_to_1024() -> None:
    for kind in (np.uint8, np.uint16):
        top = np.iinfo(kind).max
        values = np.arange(top + 1, dtype=kind)
        scaled = to_network_range(values)
        assert (scaled[0], scaled[-1], scaled.dtype) == (-1024, 1024, np.float32)
        np.testing.assert_allclose(scaled, values / top * 2048 - 1024, rtol=0, atol=2e-4)
    assert to_network_range(np.zeros((2, 3, 4), np.uint8)).shape == (2, 3, 4)
    with pytest.raises(ValueError, match="int64"):
        network_table(np.dtype(np.int64))
