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


def pair(target=0, kept=None, called=None, operation=None, of=None):
    of = of or hospital()
    kept = np.ones(len(of.labels)) if kept is None else kept
    made = Planted(target, {}, kept, of.labels.copy() if called is None else called, operation)
    return of, world(of, made, score, np.random.default_rng(2))


def test_a_mechanism_that_was_not_planted_costs_nothing():
    _, made = pair()
    assert np.abs(made.shares).max() < 1e-12
    assert not made.drawn.any()
    assert not made.counts.any()


def test_sites_are_halves_of_the_patients_and_a_is_unchanged():
    of, made = pair(operation=lambda pictures: 255 - pictures)
    a, b = np.unique(made.a.patients), np.unique(made.b.patients)
    assert not np.intersect1d(a, b).size
    assert a.size == b.size == 200
    at_a, at_b = (np.isin(of.patients, own) for own in (a, b))
    np.testing.assert_array_equal(made.a.scores, score(of.inputs)[at_a])
    np.testing.assert_array_equal(made.b.scores, score(255 - of.inputs)[at_b])
    np.testing.assert_array_equal(made.piped, score(255 - of.inputs)[at_a])
    np.testing.assert_array_equal(made.b.labels, of.labels[at_b])


def test_changed_pictures_cause_the_drop_of_every_finding():
    of, made = pair(operation=lambda pictures: 255 - pictures)
    lost = [
        roc_auc_score(of.labels[:, k], score(of.inputs)[:, k])
        - roc_auc_score(of.labels[:, k], score(255 - of.inputs)[:, k])
        for k in (0, 1)
    ]
    np.testing.assert_allclose(made.shares[:, IMAGE], lost)
    np.testing.assert_allclose(made.piped_cost, lost)
    assert np.abs(np.delete(made.shares, IMAGE, axis=1)).max() < 1e-12
    assert (made.drawn == [True, False, False, False]).all()


def test_another_labeller_causes_the_drop_that_repeated_readings_would():
    of = hospital()
    called = of.labels.copy()
    called[:, 1] = np.where(of.labels[:, 1] == 1, 0.7, 0.1)
    _, made = pair(1, called=called, of=of)
    own = score(of.inputs)[:, 1]
    rng = np.random.default_rng(3)
    read = [roc_auc_score(rng.random(len(own)) < called[:, 1], own) for _ in range(100)]
    assert made.shares[1, LABEL] == pytest.approx(
        roc_auc_score(of.labels[:, 1], own) - np.mean(read), abs=0.005
    )
    assert made.shares[1, LABEL] == pytest.approx(made.drop[1])
    assert made.relabelled[1] == pytest.approx(made.drop[1])
    assert made.drawn.tolist() == [[False] * 4, [False, False, False, True]]
    np.testing.assert_array_equal(made.by_a, of.labels[np.isin(of.patients, made.b.patients)])


def test_fewer_cases_are_another_prevalence_and_not_other_patients():
    of = hospital()
    _, made = pair(kept=np.where(of.labels[:, 0] == 1, 0.3, 1.0), of=of)
    assert made.counts[0].tolist() == made.drawn[0].tolist() == [False, False, True, False]
    assert made.b.labels[:, 0].mean() == pytest.approx(0.4 * 0.3 / (0.4 * 0.3 + 0.6), abs=0.05)
    # fewer of those with the second finding have the first
    assert made.drawn[1].tolist() == [False, True, False, False]


def test_a_population_changes_who_is_ill_and_not_how_many():
    of = hospital()
    young = of.groups["age"][0]
    kept = np.where(young, 0.2, 1.0)
    for ill in (of.labels[:, 0] == 1, of.labels[:, 0] == 0):
        kept[ill] *= 0.5 / kept[ill].mean()
    _, made = pair(kept=kept, of=of)
    assert made.drawn[0].tolist() == [False, True, False, False]
    both = [weights(of.labels[:, 0], kept, 1, q) for q in (0, 1)]
    np.testing.assert_allclose(both[0], both[1])
    own = score(of.inputs)[:, 0]
    lost = roc_auc_score(of.labels[:, 0], own) - roc_auc_score(of.labels[:, 0], own, sample_weight=kept)
    assert made.shares[0, POPULATION] == pytest.approx(lost)


def test_weights_separate_population_from_prevalence():
    ill, kept = np.array([1.0, 1, 0, 0]), np.array([1.0, 0, 0.5, 0.5])
    np.testing.assert_allclose(weights(ill, kept, 0, 0), [0.25, 0.25, 0.25, 0.25])
    np.testing.assert_allclose(weights(ill, kept, 1, 0), [0.5, 0, 0.25, 0.25])
    np.testing.assert_allclose(weights(ill, kept, 0, 1), [0.25, 0.25, 0.25, 0.25])
    np.testing.assert_allclose(weights(ill, np.array([1.0, 1, 0.5, 0]), 0, 1), [0.4, 0.4, 0.1, 0.1])
    assert np.isnan(weights(ill, np.array([1.0, 1, 0, 0]), 1, 1)[2:]).all()


def test_a_site_that_labels_one_finding_has_one_label_column():
    _, made = pair(1, of=hospital(alone=True))
    assert made.a.labels.shape[1] == made.b.scores.shape[1] == made.shares.shape[0] == 1


def test_a_collection_is_thinned_to_a_given_prevalence():
    of = hospital(4000, ill=(0.2, 0.2))
    kept = of.take(thinned(of, np.random.default_rng(0)))
    assert 1 - kept.healthy.mean() == pytest.approx(0.2, abs=0.03)
    assert kept.healthy.sum() == of.healthy.sum()
    assert len(thinned(hospital(), np.random.default_rng(0))) == 800


def test_every_mechanism_is_drawn_and_changes_what_its_cause_describes():
    of, names = hospital(300), set()
    for seed in range(150):
        made = plant(of, np.random.default_rng(seed))
        assert planted(" + ".join(made.names.values())) == tuple(c for c in CAUSES if c in made.names)
        assert (made.operation is not None) == ("image" in made.names)
        assert (made.calls != of.labels).any() == ("label" in made.names)
        assert (made.weight < 1).any() == bool({"population", "prevalence"} & set(made.names))
        assert (
            (made.weight >= 0) & (made.weight <= 1) & ((made.calls >= 0) & (made.calls <= 1)).all(axis=1)
        ).all()
        if made.operation is not None and made.names["image"] not in names:
            changed = made.operation(of.inputs)
            assert changed.shape == of.inputs.shape
            assert changed.dtype == np.uint8
            assert (changed != of.inputs).any()
        if "population" in made.names and "prevalence" not in made.names:
            ill = of.labels[:, made.target] == 1
            assert made.weight[ill].mean() == pytest.approx(made.weight[~ill].mean())
        names |= set(made.names.values())
    assert names == {name for of_cause in MECHANISMS.values() for name in of_cause} - {
        "sex", "view", "follow-up", "Google's rates", "Google's readers"
    }  # fmt: skip


def test_changed_pictures_are_not_drawn_for_records_without_pictures():
    of = hospital()
    of = hospital(inputs=of.inputs[:, 0, :].astype(float))
    assert not any("image" in plant(of, np.random.default_rng(seed)).names for seed in range(20))


def test_the_judged_verdict_is_that_of_the_product():
    for operation in (None, lambda pictures: 255 - pictures):
        _, made = pair(operation=operation)
        found = verdicts(gather(made.a, made.b))
        of = rows([made])
        outcome = outcomes(of, answers(of, coefficients("scores")))
        for k, task in enumerate(sorted(found)):
            said = found[task].causes
            assert (outcome[k] == "cannot tell") == (found[task].code == CANNOT_TELL)
            if said is not None:
                drawn, counts = (
                    {c for c, flag in zip(CAUSES, flags[k], strict=True) if flag}
                    for flags in (of.drawn, of.counts)
                )
                assert (outcome[k] == "exact") == (counts <= said <= drawn)
