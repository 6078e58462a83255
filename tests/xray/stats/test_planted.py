"""Causes planted between two halves of one hospital: what was changed, what it costs, and how a verdict is judged."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks._planted import Hospital, Planted, plant, thinned, weights, world
from benchmarks._simulated import rows
from benchmarks._truth import CAUSES
from benchmarks.causes import answers, outcomes
from benchmarks.semi_real import MECHANISMS, planted
from xray.stats.causes import CANNOT_TELL, verdicts
from xray.stats.evidence import gather
from xray.stats.posterior import coefficients

TASKS = ("Effusion", "Edema")
IMAGE, POPULATION, _, LABEL = range(4)


def hospital(n=800, **changes):
    """Pictures whose left half is bright with the first finding and the right half with the second; two a patient."""
    rng = np.random.default_rng(0)
    labels = (rng.random((n, 2)) < [0.4, 0.3]).astype(float)
    pictures = rng.normal(100, 12, (n, 16, 16)) + 6 * np.repeat(labels, 8, axis=1)[:, None, :]
    young = rng.random(n) < 0.5
    other = np.column_stack([labels.max(axis=1), np.full(n, np.nan)])
    parts = {
        "name": "small", "tasks": TASKS, "labels": labels, "patients": np.arange(n) // 2,
        "inputs": pictures.clip(0, 255).astype(np.uint8), "covariates": None, "groups": {"age": (young, ~young)},
        "mild": {"Effusion": (labels[:, 0] == 1) & young}, "healthy": labels.max(axis=1) == 0,
        "readers": {"redefined": other}, "targets": TASKS, "looks": pictures[:50].astype(np.uint8) // 2,
    }  # fmt: skip
    return Hospital(**parts | changes)


def score(pictures):
    """What a network would say that looks at both halves' mean grey, and at noise."""
    halves = pictures[:, :, :8].mean(axis=(1, 2)), pictures[:, :, 8:].mean(axis=(1, 2))
    return np.column_stack(halves) + np.random.default_rng(1).normal(0, 6, (len(pictures), 2))


def pair(target=0, weight=None, calls=None, operation=None, of=None):
    of = of or hospital()
    weight = np.ones(len(of.labels)) if weight is None else weight
    planted_change = Planted(target, {}, weight, of.labels.copy() if calls is None else calls, operation)
    return of, world(of, planted_change, score, np.random.default_rng(2))


def test_a_mechanism_that_was_not_planted_costs_nothing():
    _, planted_world = pair()
    assert np.abs(planted_world.shares).max() < 1e-12
    assert not planted_world.drawn.any()
    assert not planted_world.counts.any()


def test_sites_are_halves_of_the_patients_and_a_is_unchanged():
    of, planted_world = pair(operation=lambda pictures: 255 - pictures)
    a, b = np.unique(planted_world.a.patients), np.unique(planted_world.b.patients)
    assert not np.intersect1d(a, b).size
    assert a.size == b.size == 200
    at_a, at_b = (np.isin(of.patients, own) for own in (a, b))
    np.testing.assert_array_equal(planted_world.a.scores, score(of.inputs)[at_a])
    np.testing.assert_array_equal(planted_world.b.scores, score(255 - of.inputs)[at_b])
    np.testing.assert_array_equal(planted_world.piped, score(255 - of.inputs)[at_a])
    np.testing.assert_array_equal(planted_world.b.labels, of.labels[at_b])


def test_changed_pictures_cause_the_drop_of_every_finding():
    of, planted_world = pair(operation=lambda pictures: 255 - pictures)
    lost = [
        roc_auc_score(of.labels[:, k], score(of.inputs)[:, k])
        - roc_auc_score(of.labels[:, k], score(255 - of.inputs)[:, k])
        for k in (0, 1)
    ]
    np.testing.assert_allclose(planted_world.shares[:, IMAGE], lost)
    np.testing.assert_allclose(planted_world.piped_cost, lost)
    assert np.abs(np.delete(planted_world.shares, IMAGE, axis=1)).max() < 1e-12
    assert (planted_world.drawn == [True, False, False, False]).all()


def test_another_labeller_causes_the_drop_that_repeated_readings_would():
    of = hospital()
    calls = of.labels.copy()
    calls[:, 1] = np.where(of.labels[:, 1] == 1, 0.7, 0.1)
    _, planted_world = pair(1, calls=calls, of=of)
    own = score(of.inputs)[:, 1]
    rng = np.random.default_rng(3)
    read = [roc_auc_score(rng.random(len(own)) < calls[:, 1], own) for _ in range(100)]
    assert planted_world.shares[1, LABEL] == pytest.approx(
        roc_auc_score(of.labels[:, 1], own) - np.mean(read), abs=0.005
    )
    assert planted_world.shares[1, LABEL] == pytest.approx(planted_world.drop[1])
    assert planted_world.relabelled[1] == pytest.approx(planted_world.drop[1])
    assert planted_world.drawn.tolist() == [[False] * 4, [False, False, False, True]]
    np.testing.assert_array_equal(
        planted_world.by_a, of.labels[np.isin(of.patients, planted_world.b.patients)]
    )


def test_fewer_cases_are_another_prevalence_and_not_other_patients():
    of = hospital()
    _, planted_world = pair(weight=np.where(of.labels[:, 0] == 1, 0.3, 1.0), of=of)
    assert planted_world.counts[0].tolist() == planted_world.drawn[0].tolist() == [False, False, True, False]
    assert planted_world.b.labels[:, 0].mean() == pytest.approx(0.4 * 0.3 / (0.4 * 0.3 + 0.6), abs=0.05)
    # fewer of those with the second finding have the first
    assert planted_world.drawn[1].tolist() == [False, True, False, False]


def test_a_population_changes_who_is_ill_and_not_how_many():
    of = hospital()
    young = of.groups["age"][0]
    weight = np.where(young, 0.2, 1.0)
    for ill in (of.labels[:, 0] == 1, of.labels[:, 0] == 0):
        weight[ill] *= 0.5 / weight[ill].mean()
    _, planted_world = pair(weight=weight, of=of)
    assert planted_world.drawn[0].tolist() == [False, True, False, False]
    both = [weights(of.labels[:, 0], weight, 1, q) for q in (0, 1)]
    np.testing.assert_allclose(both[0], both[1])
    own = score(of.inputs)[:, 0]
    lost = roc_auc_score(of.labels[:, 0], own) - roc_auc_score(of.labels[:, 0], own, sample_weight=weight)
    assert planted_world.shares[0, POPULATION] == pytest.approx(lost)


def test_weights_separate_population_from_prevalence():
    ill, weight = np.array([1.0, 1, 0, 0]), np.array([1.0, 0, 0.5, 0.5])
    np.testing.assert_allclose(weights(ill, weight, 0, 0), [0.25, 0.25, 0.25, 0.25])
    np.testing.assert_allclose(weights(ill, weight, 1, 0), [0.5, 0, 0.25, 0.25])
    np.testing.assert_allclose(weights(ill, weight, 0, 1), [0.25, 0.25, 0.25, 0.25])
    np.testing.assert_allclose(weights(ill, np.array([1.0, 1, 0.5, 0]), 0, 1), [0.4, 0.4, 0.1, 0.1])
    assert np.isnan(weights(ill, np.array([1.0, 1, 0, 0]), 1, 1)[2:]).all()


def test_a_site_that_labels_one_finding_has_one_label_column():
    _, planted_world = pair(1, of=hospital(alone=True))
    assert (
        planted_world.a.labels.shape[1]
        == planted_world.b.scores.shape[1]
        == planted_world.shares.shape[0]
        == 1
    )


def test_a_collection_is_thinned_to_a_given_prevalence():
    of = hospital(4000, ill=(0.2, 0.2))
    sample = of.take(thinned(of, np.random.default_rng(0)))
    assert 1 - sample.healthy.mean() == pytest.approx(0.2, abs=0.03)
    assert sample.healthy.sum() == of.healthy.sum()
    assert len(thinned(hospital(), np.random.default_rng(0))) == 800


def test_every_mechanism_is_drawn_and_changes_what_its_cause_describes():
    of, names = hospital(300), set()
    for seed in range(150):
        planted_change = plant(of, np.random.default_rng(seed))
        assert planted(" + ".join(planted_change.names.values())) == tuple(
            c for c in CAUSES if c in planted_change.names
        )
        assert (planted_change.operation is not None) == ("image" in planted_change.names)
        assert (planted_change.calls != of.labels).any() == ("label" in planted_change.names)
        assert (planted_change.weight < 1).any() == bool(
            {"population", "prevalence"} & set(planted_change.names)
        )
        assert (
            (planted_change.weight >= 0)
            & (planted_change.weight <= 1)
            & ((planted_change.calls >= 0) & (planted_change.calls <= 1)).all(axis=1)
        ).all()
        if planted_change.operation is not None and planted_change.names["image"] not in names:
            changed = planted_change.operation(of.inputs)
            assert changed.shape == of.inputs.shape
            assert changed.dtype == np.uint8
            assert (changed != of.inputs).any()
        if "population" in planted_change.names and "prevalence" not in planted_change.names:
            ill = of.labels[:, planted_change.target] == 1
            assert planted_change.weight[ill].mean() == pytest.approx(planted_change.weight[~ill].mean())
        names |= set(planted_change.names.values())
    assert names == {name for of_cause in MECHANISMS.values() for name in of_cause} - {
        "sex", "view", "follow-up", "Google's rates", "Google's readers"
    }  # fmt: skip


def test_changed_pictures_are_not_drawn_for_records_without_pictures():
    of = hospital()
    of = hospital(inputs=of.inputs[:, 0, :].astype(float))
    assert not any("image" in plant(of, np.random.default_rng(seed)).names for seed in range(20))


def test_the_judged_verdict_is_that_of_the_product():
    for operation in (None, lambda pictures: 255 - pictures):
        _, planted_world = pair(operation=operation)
        results = verdicts(gather(planted_world.a, planted_world.b))
        of = rows([planted_world])
        outcome = outcomes(of, answers(of, coefficients("scores")))
        for k, task in enumerate(sorted(results)):
            claims = results[task].causes
            assert (outcome[k] == "cannot tell") == (results[task].code == CANNOT_TELL)
            if claims is not None:
                causes, counts = (
                    {c for c, flag in zip(CAUSES, flags[k], strict=True) if flag}
                    for flags in (of.drawn, of.counts)
                )
                assert (outcome[k] == "exact") == (counts <= claims <= causes)
