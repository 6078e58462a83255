from dataclasses import replace

import numpy as np
import pytest

from xray.data.phantom.draw import draw_radiographs
from xray.data.phantom.patients import Cases, sample_cases
from xray.data.phantom.sites import FINDINGS, PhantomSite

NOTHING = dict.fromkeys(FINDINGS, 0.0)
_DARK = 1 - np.exp(-1.25 * 0.765)
"""Brightness half-way between lung and heart."""


def plain(cases: Cases) -> Cases:
    """Without ribs, breasts, gas, texture and exposure differences, so that borders can be read off."""
    none = np.zeros(len(cases.patient))
    body = replace(cases.body, rib_contrast=none, breast=none, gas=none, exposure=none + 1)
    return replace(cases, body=body, texture=0 * cases.texture)


def measured_ratio(picture: np.ndarray, base: float) -> float:
    """The ratio as a reader measures it: farthest borders of the heart over the inner width of the chest."""
    size = len(picture)
    middle = size // 2
    dark = picture[int(0.30 * size) : int(0.5 * (1 + base) * size)] < _DARK
    right_border = [np.flatnonzero(row[:middle]).max() for row in dark]
    left_border = [middle + np.flatnonzero(row[middle:]).min() for row in dark]
    widths = [
        left + np.argmin(row[left:]) - (right - np.argmin(row[right::-1])) - 1
        for row, right, left in zip(dark, right_border, left_border, strict=True)
    ]
    below_vessels = slice(len(dark) // 3, None)
    return float((max(left_border[below_vessels]) - min(right_border[below_vessels]) - 1) / max(widths))


def test_the_heart_has_the_true_width():
    cases = plain(sample_cases(PhantomSite("x", prevalence={**NOTHING, "Cardiomegaly": 0.5}), range(40), 0))
    pictures = draw_radiographs(cases, 256)
    ratios = [measured_ratio(*pair) for pair in zip(pictures, cases.body.base - 0.05, strict=True)]
    np.testing.assert_allclose(ratios, cases.size_of("Cardiomegaly"), atol=0.012)
    magnified = draw_radiographs(cases, 256, heart_magnification=np.full(len(pictures), 1.13))
    wider = [measured_ratio(*pair) for pair in zip(magnified, cases.body.base - 0.05, strict=True)]
    np.testing.assert_allclose(wider, 1.13 * cases.size_of("Cardiomegaly"), atol=0.02)


@pytest.mark.parametrize("finding", [finding for finding in FINDINGS if finding != "Cardiomegaly"])
def test_a_picture_shows_a_finding_exactly_when_it_is_present(finding):
    without = sample_cases(PhantomSite("x", prevalence=NOTHING), range(40), 0)
    some = sample_cases(PhantomSite("x", prevalence={**NOTHING, finding: 0.5}), range(40), 0)
    change = np.abs(draw_radiographs(some, 64) - draw_radiographs(without, 64))
    present = some.present[:, FINDINGS.index(finding)]
    assert 0 < present.sum() < len(present)
    assert np.all(change[~present] == 0)
    assert np.all(change[present].max(axis=(1, 2)) > 0.03)


def test_opacities_add_brightness_and_air_removes_it():
    without = draw_radiographs(sample_cases(PhantomSite("x", prevalence=NOTHING), range(30), 0), 64)
    for finding, sign in {"Mass": 1, "Nodule": 1, "Effusion": 1, "Infiltration": 1, "Emphysema": -1}.items():
        cases = sample_cases(PhantomSite("x", prevalence={**NOTHING, finding: 1.0}), range(30), 0)
        change = draw_radiographs(cases, 64) - without
        assert np.all(sign * change.sum(axis=(1, 2)) > 0), finding


def test_a_round_opacity_covers_the_area_of_its_radius():
    without = sample_cases(PhantomSite("x", prevalence=NOTHING), range(60), 0)
    some = sample_cases(PhantomSite("x", prevalence={**NOTHING, "Mass": 1.0}), range(60), 0)
    change = draw_radiographs(some, 256) - draw_radiographs(without, 256)
    covered = change > 0.5 * change.max(axis=(1, 2), keepdims=True)
    radius = np.sqrt(covered.sum(axis=(1, 2)) / np.pi) / 256
    expected = some.size_of("Mass") * some.body.zoom
    assert np.all(radius < expected + 0.006)
    assert np.median(radius / expected) > 0.85  # the heart and the wall may hide a part


@pytest.mark.parametrize("size", [16, 32, 65, 128, 224])
def test_any_size_shows_the_same_chest(size):
    cases = sample_cases(PhantomSite("x"), range(4), 0)
    pictures = draw_radiographs(cases, size)
    assert pictures.shape == (len(cases.patient), size, size)
    assert pictures.dtype == np.float32
    assert pictures.min() >= 0
    assert pictures.max() < 1
    reference = draw_radiographs(cases, 64)
    assert abs(float(pictures.mean()) - float(reference.mean())) < 0.02
    lung, spine = pictures[:, int(0.4 * size), int(0.28 * size)], pictures[:, int(0.7 * size), size // 2]
    assert lung.mean() + 0.2 < spine.mean()


def test_a_picture_does_not_depend_on_its_neighbours():
    cases = sample_cases(PhantomSite("x"), range(30), 0)
    together = draw_radiographs(cases, 48)
    alone = np.concatenate(
        [draw_radiographs(cases.take(slice(row, row + 1)), 48) for row in range(len(together))]
    )
    np.testing.assert_array_equal(together, alone)
