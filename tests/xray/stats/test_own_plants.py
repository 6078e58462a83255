"""Causes planted in copies of a site: what counts does by other code, and what was not changed is as it was."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from benchmarks import _own_plants, _planted, _strangers, _worlds
from benchmarks._own_plants import KINDS, MOST, OTHER_SEEDS, RESEMBLED, costs, draw_world, pairs, plant
from benchmarks._truth import CAUSES, Truth
from xray.stats.evidence import Site

N, PATIENTS = 400, 250


def covariates(of: Site) -> np.ndarray:
    assert of.covariates is not None
    return of.covariates


def images(of: Site) -> set[tuple[float, ...]]:
    """All that is known of each image."""
    return {tuple(row) for row in np.column_stack([of.labels, of.scores, covariates(of)])}


@pytest.fixture(scope="module")
def site() -> Site:
    """Three findings that go together, several images of some patients, one covariate."""
    rng = np.random.default_rng(5)
    ill = rng.normal(size=(N, 3)) + 0.7 * rng.normal(size=(N, 1))
    labels = (ill > [0.4, 0.8, 1.2]).astype(np.float64)
    scores = ill + 0.8 * rng.normal(size=(N, 3))
    return Site(labels, scores, rng.integers(PATIENTS, size=N), None, rng.normal(60, 15, (N, 1)))


def test_what_counts_is_what_counts_for_semi_real_plants(site: Site) -> None:
    """`_planted` sorts doubled images by a compiled kernel; all four causes must have been seen to count."""
    counting = np.zeros(4, dtype=np.int64)
    for seed in range(150):
        planted = plant(site, np.random.default_rng(seed))
        value = _planted.values(site.labels, planted.calls, planted.weight, (site.scores, planted.scores))
        expected = _planted.costs(site.labels, planted.calls, planted.weight, planted.pictures, value)
        real, by_pictures = costs(site, planted)
        for name in Truth.__dataclass_fields__:
            np.testing.assert_allclose(
                getattr(real, name), getattr(expected, name), atol=1e-12, err_msg=f"{seed} {name}"
            )
        np.testing.assert_allclose(by_pictures, value[0, 0, 0, 0] - value[1, 0, 0, 0], atol=1e-12)
        counting += expected.counts.any(axis=0)
    assert dict(zip(CAUSES, counting > 5, strict=True)) == dict.fromkeys(CAUSES, True)


def test_copies_are_of_patients_of_the_site_and_the_first_is_unchanged(site: Site) -> None:
    own = images(site)
    for pair in pairs(site, 300, 1, 40):
        assert images(pair.a) <= own
        assert set(covariates(pair.b).ravel()) <= set(covariates(site).ravel())
        assert not np.isin(pair.a.patients, pair.b.patients).any()
        assert len(np.unique(pair.a.patients)) == len(np.unique(site.patients))
        assert len(np.unique(pair.b.patients)) <= MOST * len(np.unique(site.patients))


def test_the_second_copy_has_about_as_many_images_as_asked(site: Site) -> None:
    sizes = [len(pair.b.labels) for pair in pairs(site, 300, 2, 60)]
    assert np.median(sizes) == pytest.approx(300, rel=0.05)
    assert max(sizes) < 400


def test_the_first_pairs_of_a_seed_are_always_the_same(site: Site) -> None:
    several, few = list(islice(pairs(site, 200, 3, 9), 4)), list(pairs(site, 200, 3, 4))
    for one, other in zip(several, few, strict=True):
        np.testing.assert_array_equal(one.b.scores, other.b.scores)
        np.testing.assert_array_equal(one.b.labels, other.b.labels)
        np.testing.assert_array_equal(one.counts, other.counts)


def test_an_image_without_a_label_has_none_in_any_copy(site: Site) -> None:
    labels = site.labels.copy()
    labels[::3, 1] = np.nan
    names = np.arange(N, dtype=np.float64)[:, None]
    for pair in pairs(replace(site, labels=labels, covariates=names), 300, 4, 40):
        for copy in (pair.a, pair.b):
            np.testing.assert_array_equal(np.isnan(copy.labels[:, 1]), covariates(copy)[:, 0] % 3 == 0)
            assert not np.isnan(copy.labels[:, [0, 2]]).any()


def test_a_finding_of_one_class_counts_for_nothing(site: Site) -> None:
    labels = site.labels.copy()
    labels[:, 2] = 0
    for pair in pairs(replace(site, labels=labels), 200, 5, 20):
        assert not pair.counts[2].any()


def test_a_drawn_world_is_of_a_site_that_no_other_world_is_of_and_always_the_same(monkeypatch):
    seeds = []
    draw, mixed = _strangers.draw_world, _worlds.mixed_world
    monkeypatch.setattr(_strangers, "draw_world", lambda seed, *rest: seeds.append(seed) or draw(seed, *rest))
    monkeypatch.setattr(
        _worlds, "mixed_world", lambda kind, seed, *rest: seeds.append(seed) or mixed(kind, seed, *rest)
    )
    several, again = ([draw_world(seed) for seed in range(6)] for _ in range(2))
    assert sorted(seeds) == sorted([OTHER_SEEDS + seed for seed in range(6)] * 2)
    for one, other in zip(several, again, strict=True):
        np.testing.assert_array_equal(one.b.scores, other.b.scores)
        np.testing.assert_array_equal(one.shares, other.shares)
        assert one.generator == "plants"
        assert one.a.witness is one.b.witness is None, "nothing is known of a network of B"
        assert one.families == other.families
        planted = {KINDS[name] for name in one.families}
        assert not (one.counts & ~one.drawn).any()
        causes = {CAUSES[at] for at in np.flatnonzero(one.drawn.any(axis=0))}
        assert {"image", "label"} & causes <= planted
    assert len({len(world.drop) for world in several}) > 1, "of all findings, some, or one"


def test_every_kind_of_change_is_left_out_with_families_that_are_there():
    of_strangers, of_worlds = (
        _strangers.FAMILIES,
        {part for kind in _worlds.KINDS for part in kind.split(" + ")},
    )
    assert set(RESEMBLED) == {name for name, cause in KINDS.items() if cause != "prevalence"}
    for name, families in RESEMBLED.items():
        for family in families:
            generator, own = family.split(": ")
            assert own in (of_strangers if generator == "strangers" else of_worlds), family
            if generator == "strangers":
                assert of_strangers[own][0] == KINDS[name]


def test_a_site_is_cut_to_fewer_findings_patients_and_images_without_a_finding(site: Site) -> None:
    times = 20
    labels = np.tile(site.labels, (times, 1))
    labels[:, 2] = 0
    patients = np.concatenate([site.patients + PATIENTS * k for k in range(times)])
    large = Site(
        labels, np.tile(site.scores, (times, 1)), patients, None, np.tile(covariates(site), (times, 1))
    )
    findings, sizes, prevalences = set(), [], []
    for seed in range(60):
        cut = _own_plants._cut(large, np.random.default_rng(seed))
        assert len(cut.labels) == len(cut.scores) == len(cut.patients) == len(covariates(cut))
        findings.add(cut.labels.shape[1])
        sizes.append(len(cut.labels) / len(labels))
        prevalences.append(cut.labels.mean(axis=0)[0])
    assert findings == {1, 3}
    assert min(sizes) > 0.1, "also where a finding that is thinned is nobody's"
    assert max(sizes) > 0.9
    assert max(prevalences) > 1.2 * labels[:, 0].mean()
