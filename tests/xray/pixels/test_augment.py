"""Augmentation against torchvision on Pillow pictures: no pixel may differ."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.functional import affine

from xray.pixels.augment import Augmentation, Parameters
from xray.pixels.grey import Grey
from xray.pixels.scale import to_network_range
from xray.pixels.warp import gather


def oracle(batch: Grey, parameters: Parameters) -> NDArray[np.float32]:
    """torchvision's affine on each picture in mode F, already scaled, as the paper's code does it."""
    size = batch.shape[-1]
    out = []
    for i, image in enumerate(to_network_range(batch)):
        shift = [round(float(share) * size) for share in parameters.shift[i]]
        angle, zoom = float(parameters.angle[i]), float(parameters.zoom[i])
        out.append(np.asarray(affine(Image.fromarray(image), angle, shift, zoom, [0.0, 0.0], fill=0)))
    return np.stack(out)[:, None]


def pictures(n: int, size: int, kind: type = np.uint8) -> Grey:
    batch: Grey = (
        np.random.default_rng(size).integers(0, np.iinfo(kind).max + 1, (n, size, size)).astype(kind)
    )
    return batch


@pytest.mark.parametrize("size", [1, 2, 7, 64, 224, 225])
@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(),
        Augmentation(scale=0.15),
        Augmentation(rotation=0),
        Augmentation(0, 0, 0),
        Augmentation(0, 0.15, 0),
        Augmentation(180, 1.0, 0.5),
    ],
    ids=str,
)
def test_no_pixel_differs_from_torchvision(augmentation: Augmentation, size: int) -> None:
    batch = pictures(16, size)
    parameters = augmentation.draw(np.random.default_rng(size), 16)
    result = augmentation.apply(batch, parameters)
    assert (result.shape, result.dtype) == ((16, 1, size, size), np.float32)
    assert np.count_nonzero(result != oracle(batch, parameters)) == 0


def test_right_angles_and_tiny_angles_equal_torchvision() -> None:
    angle = np.array([0.0, 90, -90, 180, -180, 45, 1e-9, -1e-4, 30, 360])
    n = len(angle)
    rng = np.random.default_rng(3)
    parameters = Parameters(
        angle, rng.uniform(-1, 1, (n, 2)), rng.uniform(0.5, 1.5, n), np.ones(n), np.zeros(n)
    )
    for size in (8, 33, 64):
        batch = pictures(n, size)
        assert np.count_nonzero(Augmentation().apply(batch, parameters) != oracle(batch, parameters)) == 0


@pytest.mark.slow
def test_no_pixel_differs_in_many_draws() -> None:
    batch = pictures(500, 224)
    for seed, augmentation in enumerate(
        (Augmentation(), Augmentation(scale=0.15), Augmentation(180, 1, 0.5))
    ):
        parameters = augmentation.draw(np.random.default_rng(seed), 500)
        assert np.count_nonzero(augmentation.apply(batch, parameters) != oracle(batch, parameters)) == 0


def test_sixteen_bit_pictures_are_warped_like_eight_bit_ones() -> None:
    batch = pictures(6, 40, np.uint16)
    parameters = Augmentation().draw(np.random.default_rng(0), 6)
    assert np.count_nonzero(Augmentation().apply(batch, parameters) != oracle(batch, parameters)) == 0


def test_intensity_changes_pixels_but_not_the_filling() -> None:
    batch = pictures(20, 48)
    augmentation = Augmentation(intensity=0.3)
    parameters = augmentation.draw(np.random.default_rng(0), 20)
    plain = Parameters(parameters.angle, parameters.shift, parameters.zoom, np.ones(20), np.zeros(20))
    before, after = oracle(batch, plain), augmentation.apply(batch, parameters)
    gain, offset = parameters.gain[:, None, None, None], parameters.offset[:, None, None, None]
    expected = np.where(before == 0, 0, np.clip(before * gain + offset * 1024, -1024, 1024))
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-3)
    assert np.abs(after - before).max() > 100


def test_draws_stay_in_their_ranges_and_fill_them() -> None:
    parameters = Augmentation(45, 0.15, 0.10, 0.2).draw(np.random.default_rng(0), 20_000)
    for values, low, high in (
        (parameters.angle, -45, 45),
        (parameters.shift, -0.15, 0.15),
        (parameters.zoom, 0.9, 1.1),
        (parameters.gain, 0.8, 1.2),
        (parameters.offset, -0.2, 0.2),
    ):
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.01 * (high - low))
    again = Augmentation(45, 0.15, 0.10, 0.2).draw(np.random.default_rng(0), 20_000)
    np.testing.assert_array_equal(parameters.angle, again.angle)
    assert len(Augmentation().draw(np.random.default_rng(0), 0)) == 0


def test_an_empty_batch_stays_empty() -> None:
    parameters = Augmentation().draw(np.random.default_rng(0), 0)
    assert Augmentation().apply(np.zeros((0, 8, 8), np.uint8), parameters).shape == (0, 1, 8, 8)


def test_gather_copies_rows_in_any_order() -> None:
    batch = pictures(5, 12)
    rows = np.array([4, 0, 0, 2])
    out = np.empty((4, 1, 12, 12), np.float32)
    gather(batch, rows, None, out)
    np.testing.assert_array_equal(out[:, 0], to_network_range(batch)[rows])


def test_wrong_arguments_are_refused() -> None:
    batch = pictures(5, 12)
    out = np.empty((2, 1, 12, 12), np.float32)
    one = Augmentation().draw(np.random.default_rng(0), 1)
    for rows in ([0, 5], [-1, 0]):
        with pytest.raises(IndexError):
            gather(batch, np.array(rows), None, out)
    with pytest.raises(ValueError, match="1 parameters for 2"):
        gather(batch, np.array([0, 1]), one, out)
    with pytest.raises(ValueError, match="squares"):
        gather(batch[:, :-1], np.array([0, 1]), None, out)
    with pytest.raises(ValueError, match="out must be"):
        gather(batch, np.array([0, 1]), None, out[:, :, ::2])
    for fields in (
        {"rotation": -1},
        {"rotation": 181},
        {"scale": 0.6},
        {"translation": 2},
        {"intensity": float("nan")},
    ):
        with pytest.raises(ValueError, match="expected 0 to"):
            Augmentation(**fields)
