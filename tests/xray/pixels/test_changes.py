"""Pictures changed to look like another site's: planted differences come back, and what is alike stays as it is."""

from dataclasses import replace

import numpy as np
import pytest

from xray.data.phantom.generate import draw_site
from xray.data.phantom.sites import Images, PhantomSite
from xray.pixels import looks
from xray.pixels.changes import KINDS, Blur, Changed, Edges, Greys, Noise, change, keys_of

SIZE, PATIENTS = 48, 120
PLANTED = {
    "histogram": Images(gamma=1.6, contrast=0.8),
    "resolution": Images(blur=0.03),
    "noise": Images(noise=0.08),
    "borders": Images(border=0.15),
}


CLEAN = Images()


def draw(images: Images = CLEAN, name: str = "bravo") -> np.ndarray:
    """Pictures of other patients than alpha's, by default."""
    return draw_site(PhantomSite(name, images), patients=PATIENTS, size=SIZE, seed=3).pixels


@pytest.fixture(scope="module")
def alpha() -> np.ndarray:
    return draw(name="alpha")


def keys(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.uint64)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def test_pictures_of_other_patients_from_the_same_detector_hardly_change(alpha):
    for kind in KINDS:
        after = change(kind, alpha, draw()).apply(alpha, keys(len(alpha)), 0)
        assert distance(after, alpha) < 1, kind  # of 256 grey levels


@pytest.mark.parametrize("kind", ["histogram", "resolution"])
def test_a_planted_change_is_reproduced_on_pictures_of_other_patients(alpha, kind):
    """The truth: the same patients, as the other detector shows them."""
    truth = draw(PLANTED[kind], "alpha")
    changes = change(kind, alpha, draw(PLANTED[kind]))
    after = changes.apply(alpha, keys(len(alpha)), 0)
    assert distance(after, truth) < 0.25 * distance(alpha, truth)


def test_blur_noise_and_borders_are_added_in_the_planted_size(alpha):
    (blur,) = change("resolution", alpha, draw(PLANTED["resolution"])).steps
    assert isinstance(blur, Blur)
    assert blur.sigma == pytest.approx(0.03 * SIZE, rel=0.1)
    (noise,) = change("noise", alpha, draw(PLANTED["noise"])).steps
    assert isinstance(noise, Noise)
    assert noise.sd == pytest.approx(255 * np.sqrt(0.08**2 - 0.01**2), rel=0.05)
    changes = change("borders", alpha, draw(PLANTED["borders"]))
    assert isinstance(changes.steps[0], Edges)
    bordered = looks.borders(changes.apply(alpha, keys(len(alpha)), 0)).widths
    planted = looks.borders(draw(PLANTED["borders"], "alpha")).widths
    assert bordered.mean() == pytest.approx(planted.mean(), rel=0.15)
    assert (bordered.std(axis=0) > 0).all()


def test_all_changes_together_have_their_planted_sizes(alpha):
    images = Images(gamma=1.3, noise=0.06, blur=0.02, border=0.1)
    changes = change("all", alpha, draw(images))
    assert [type(step) for step in changes.steps] == [Blur, Greys, Noise, Edges]
    about = changes.about()
    assert about["blur_pixels"] == pytest.approx(0.02 * SIZE, rel=0.15)
    assert about["noise_added"] == pytest.approx(255 * 0.06, rel=0.1)


def test_pictures_are_never_made_sharper_or_cleaner(alpha):
    """Towards a better detector there is nothing to make."""
    for kind in ("resolution", "noise", "borders"):
        worse = draw(PLANTED[kind], "alpha")
        assert change(kind, worse, draw()).steps == (), kind


def test_wider_borders_replace_narrow_ones_on_each_side():
    narrow, wide = draw(Images(border=0.05)), draw(Images(border=0.2), "alpha")
    changes = change("borders", narrow, wide)
    before, after = looks.borders(narrow), looks.borders(changes.apply(narrow, keys(len(narrow)), 0))
    assert (after.widths >= before.widths).all()
    assert after.widths.mean() == pytest.approx(looks.borders(wide).widths.mean(), rel=0.25)


def test_borders_are_unchanged_by_other_changes():
    bordered = draw(Images(border=0.2))
    edge = ~looks.borders(bordered).inside(SIZE)
    assert edge.any()
    for step in (Noise(20.0), Blur(2.0), Greys(np.full(256, 99, np.uint8))):
        after = step.apply(bordered, keys(len(bordered)), 0)
        np.testing.assert_array_equal(after[edge], bordered[edge])
        assert (after != bordered)[~edge].mean() > 0.5


def test_a_change_depends_only_on_the_picture_and_the_seed(alpha):
    """Not by its place, or by what is read with it: a run that goes on elsewhere makes the same pictures."""
    changes = change("all", alpha, draw(replace(PLANTED["borders"], noise=0.05)))
    changed = Changed(alpha, keys(len(alpha)), changes, seed=4)
    rows = np.array([7, 3, 90])
    np.testing.assert_array_equal(changed[rows], changed[np.arange(len(alpha))][rows])
    other = Changed(alpha, keys(len(alpha)), changes, seed=5)
    assert (changed[rows] != other[rows]).any()


def test_keys_depend_on_the_content():
    hashes = ["00" * 31 + "0a", "fe" * 32, "0123456789abcdef" * 4]
    assert keys_of(hashes).tolist() == [int(digest[:15], 16) for digest in hashes]


def test_sixteen_bit_pictures_are_read_as_eight_bit(alpha):
    sixteen = alpha.astype(np.uint16) * 257
    noisy = draw(PLANTED["noise"])
    one, two = change("noise", alpha, noisy), change("noise", sixteen, noisy)
    assert one.about() == two.about()
    changed = [Changed(pictures, keys(len(alpha)), one, 0)[np.arange(5)] for pictures in (alpha, sixteen)]
    np.testing.assert_array_equal(*changed)


def test_an_unknown_kind_of_change_is_refused(alpha):
    with pytest.raises(
        ValueError, match="kind is 'colour', expected one of histogram, resolution, noise, borders, all"
    ):
        change("colour", alpha, alpha)


def test_noise_of_known_size_is_measured_on_smooth_pictures():
    rng = np.random.default_rng(1)
    ramp = np.linspace(60, 190, 64)[None, :, None] + np.zeros((40, 64, 64))
    for sd in (2.0, 8.0, 20.0):
        pictures = np.clip(np.rint(ramp + sd * rng.standard_normal(ramp.shape)), 0, 255).astype(np.uint8)
        assert looks.noise(pictures) == pytest.approx(sd, rel=0.05)


def test_quantiles_equal_numpys_on_smooth_pictures():
    ramp = np.linspace(0, 255, 64)[None, :, None] + np.zeros((3, 64, 64))
    pictures = ramp.astype(np.uint8)
    np.testing.assert_allclose(looks.quantiles(pictures), np.quantile(pictures, looks.grid()), atol=7)


def test_a_picture_that_is_all_border_has_no_quantiles():
    black = np.zeros((2, 32, 32), np.uint8)
    assert not looks.borders(black).widths.any()
    assert looks.noise(black) == 0
    assert change("all", black, black).steps == ()
