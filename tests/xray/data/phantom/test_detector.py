import numpy as np
import pytest

from xray.data.phantom.detector import expose, exposure_style, is_antero_posterior
from xray.data.phantom.patients import Cases, sample_cases
from xray.data.phantom.sites import Images, PhantomSite

CASES = sample_cases(PhantomSite("x"), range(40), 0)
RAMP = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (len(CASES.patient), 64, 1))


def exposed(images: Images, brightness: np.ndarray = RAMP, cases: Cases = CASES) -> np.ndarray:
    site = PhantomSite("x", images)
    return expose(site, cases, exposure_style(site, cases, 0), brightness, 0)


def test_a_perfect_detector_only_counts_in_eight_bits():
    np.testing.assert_array_equal(exposed(Images(noise=0)), np.round(255 * RAMP))


def test_gamma_and_contrast_change_the_grey_values():
    np.testing.assert_array_equal(exposed(Images(noise=0, gamma=2)), np.floor(255 * RAMP**2 + 0.5))
    expected = np.floor(255 * (0.5 + 0.5 * (RAMP.astype(float) - 0.5)) + 0.5)
    assert np.abs(exposed(Images(noise=0, contrast=0.5)) - expected).max() <= 1


def test_noise_has_the_given_deviation_and_differs_between_images():
    grey = np.full_like(RAMP, 0.5)
    noisy = exposed(Images(noise=0.1), grey).astype(float) / 255
    assert noisy.std() == pytest.approx(0.1, rel=0.02)
    assert abs(np.corrcoef(noisy[0].ravel(), noisy[1].ravel())[0, 1]) < 0.06


def test_blur_is_gaussian():
    scipy_ndimage = pytest.importorskip("scipy.ndimage")
    picture = np.random.default_rng(0).random((len(RAMP), 64, 64)).astype(np.float32)
    blurred = exposed(Images(noise=0, blur=0.02), picture)
    expected = scipy_ndimage.gaussian_filter(picture[0].astype(float), 0.02 * 64, truncate=20) * 255
    inner = slice(8, -8)
    assert np.abs(blurred[0, inner, inner] - expected[inner, inner]).max() < 1.01
    assert np.all(exposed(Images(noise=0, blur=0.02), np.ones_like(RAMP)) == 255)


def test_borders_are_black_edges_of_several_widths():
    bordered = exposed(Images(noise=0, border=0.25), np.ones_like(RAMP))
    widths = (bordered[:, 32] == 0).argmin(axis=1)
    assert widths.max() <= 16
    assert len(set(widths)) > 5
    for picture in bordered:
        rows, columns = picture.any(axis=1), picture.any(axis=0)
        np.testing.assert_array_equal(picture, 255 * np.outer(rows, columns))


@pytest.mark.parametrize("size", [32, 64, 128])
def test_markers_are_letters_in_an_upper_corner(size):
    black = np.zeros((len(RAMP), size, size), dtype=np.float32)
    marked = exposed(Images(noise=0, marker=0.5), black)
    has_marker = marked.any(axis=(1, 2))
    assert 8 < has_marker.sum() < 40
    for picture in marked[has_marker]:
        rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
        letter = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == 255
        assert rows[-1] < 0.35 * size
        on_the_left = columns[-1] < size / 2
        ink = letter.mean()
        assert ink == pytest.approx(10 / 15 if on_the_left else 7 / 15)


def test_antero_posterior_pictures_have_the_given_fraction():
    cases = sample_cases(PhantomSite("x"), range(800), 0)
    style = exposure_style(PhantomSite("x"), cases, 0)
    flags = is_antero_posterior(Images(ap_fraction=0.3), style)
    assert flags.mean() == pytest.approx(0.3, abs=0.05)
    assert not is_antero_posterior(Images(), style).any()
    assert is_antero_posterior(Images(ap_fraction=1), style).all()
