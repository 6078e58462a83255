"""What is said of probabilities: which causes are named, ruled out and left open, why, and what would settle it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from benchmarks._strangers import draw_world
from xray.stats import causes as verdict
from xray.stats.causes import Reread, adjusted, changed, decide, judge, reread, verdicts
from xray.stats.evidence import gather
from xray.stats.posterior import CAUSES, Causes, causes


@cache
def evidence(seed=3, families=()):
    world = draw_world(seed, families)
    return gather(world.a, world.b)


def of(*probability, alike=True, **parts):
    """Verdict on the first finding of a pair, had it these probabilities."""
    found = evidence()
    n = found.tasks.size
    known = Causes(
        np.tile(np.array(probability), (n, 1)), np.zeros((n, 4)), np.full((n, 4), -0.1), np.full((n, 4), 0.1),
        np.full(n, alike), np.ones(n),
        {"the drop": np.tile([0.3, 0.3, 0.0, 0.3], (n, 1)), "prevalences": np.tile([0.01, 0.4, 0.5, 0.2], (n, 1)),
         "the case mix": np.tile([0.07, 0.2, 0.04, 0.0], (n, 1))},
    )  # fmt: skip
    found = replace(found, fewest=np.full(n, parts.pop("fewest", 50)), **parts.pop("changes", {}))
    return decide(found, known, **parts)[int(found.tasks[0])]


def test_a_cause_is_named_where_a_false_claim_would_cost_less_than_missing_it():
    assert of(0.67, 0.05, 0.05, 0.05).code == "image"
    assert of(0.66, 0.05, 0.05, 0.05).code == "cannot tell"
    assert of(0.91, 0.05, 0.05, 0.05, loss_ratio=9).code == "image"
    assert of(0.89, 0.05, 0.05, 0.05, loss_ratio=9).code == "cannot tell"
    assert of(0.89, 0.05, 0.05, 0.05, loss_ratio=4).code == "image"
    assert of(0.93, 0.05, 0.05, 0.05, loss_ratio=19).code == "cannot tell"


def test_none_is_said_where_every_cause_is_unlikely():
    assert of(0.33, 0.33, 0.33, 0.33).code == "none"
    assert of(0.33, 0.33, 0.34, 0.33).code == "cannot tell"
    assert of(0.09, 0.09, 0.09, 0.09, loss_ratio=9).code == "none"
    assert of(0.09, 0.09, 0.11, 0.09, loss_ratio=9).code == "cannot tell"
    assert of(0.04, 0.06, 0.01, 0.01, loss_ratio=19).code == "cannot tell"


def test_causes_do_not_exclude_each_other():
    found = of(0.95, 0.02, 0.97, 0.93)
    assert found.code == "image + prevalence + label"
    assert found.causes == {"image", "prevalence", "label"}
    assert found.assumption.count(";") == 2


def test_what_is_open_beside_a_named_cause_is_said_with_what_would_settle_it():
    found = of(0.95, 0.02, 0.02, 0.5)
    assert found.code == "image"
    assert "whether label too is open" in found.basis
    assert verdict.RELABEL in found.resolve
    assert of(0.95, 0.02, 0.02, 0.02).resolve == ""


@pytest.mark.parametrize(
    ("probability", "changes", "step"),
    [
        ((0.5, 0, 0, 0), {}, verdict.PIPELINE),
        ((0.5, 0, 0, 0), {"witness": False}, verdict.WITNESS),
        ((0, 0.5, 0, 0), {"covariates": False}, verdict.COVARIATES),
        ((0, 0.5, 0, 0), {}, verdict.RELABEL),
        ((0, 0, 0.5, 0), {}, verdict.MORE),
        ((0, 0, 0, 0.5), {}, verdict.RELABEL),
    ],
)
def test_what_would_settle_it_follows_from_what_is_open(probability, changes, step):
    found = of(*probability, changes=changes)
    assert found.code == "cannot tell"
    assert step in found.resolve


@pytest.mark.parametrize(("overlap", "step"), [(0.04, verdict.COMPARABLE), (0.06, verdict.RELABEL)])
def test_sites_with_too_little_in_common_are_to_be_compared_in_part(overlap, step):
    columns = evidence().columns
    one, two = "case mix overlap a", "case mix overlap b"
    own = {**columns, one: np.full_like(columns[one], overlap), two: np.full_like(columns[two], 0.9)}
    assert of(0, 0.5, 0, 0, changes={"columns": own}).resolve == step


def test_why_is_the_evidence_that_moves_the_probability():
    assert of(0.95, 0, 0, 0).basis == "image: the drop and the case mix"
    assert of(0, 0.95, 0, 0).basis == "population: prevalences and the drop"
    assert of(0, 0, 0.95, 0).basis == "prevalence: prevalences"
    assert "no cause is likely" in of(0, 0, 0, 0).basis


def test_few_patients_and_unlike_cases_name_no_cause():
    few = of(0.99, 0, 0, 0, fewest=9)
    assert few.code == "cannot tell"
    assert "9 patients" in few.basis
    assert few.resolve == verdict.MORE
    assert of(0.99, 0, 0, 0, fewest=10).code == "image"
    unlike = of(0.99, 0, 0, 0, alike=False)
    assert unlike.code == "cannot tell"
    assert "unlike" in unlike.basis
    assert unlike.resolve
    assert not unlike.alike


def test_a_loss_ratio_is_positive():
    with pytest.raises(ValueError, match="positive"):
        of(0, 0, 0, 0, loss_ratio=0)


def same_images(loss, se=0.01, fewest=30, whole=False, **parts):
    return of(
        0.5, 0.5, 0.5, 0.5, rereads={int(evidence().tasks[0]): Reread(loss, se, fewest, whole)}, **parts
    )


def test_images_that_both_labelled_measure_what_labels_cost():
    found = same_images(0.06)
    assert found.probability[3] == pytest.approx(norm.cdf(3))
    assert found.share[3] == 0.06
    assert found.upper[3] - found.share[3] == pytest.approx(2.04523 * 0.01, abs=1e-6)
    assert found.code == "label"
    assert "same images" in found.basis
    assert same_images(0.01).probability[3] == pytest.approx(norm.cdf(-2))
    assert same_images(0.06, fewest=29).probability[3] == 0.5


def test_where_all_images_are_the_same_nothing_else_can_differ():
    found = same_images(0.1, whole=True, alike=False)
    assert found.code == "label"
    np.testing.assert_array_equal(found.probability[:3], 0)
    np.testing.assert_array_equal(found.share[:3], 0)
    assert same_images(0.0, se=0.005, whole=True).code == "none"


def test_a_reread_is_a_paired_difference_of_aucs_with_patients_as_units():
    rng = np.random.default_rng(0)
    n = 600
    truth = (rng.random(n) < 0.3).astype(float)
    scores = 2 * truth + rng.normal(size=n)
    other = np.where(rng.random(n) < 0.15, 1 - truth, truth)
    found = reread(scores, truth, other, np.arange(n), whole=False)
    assert found.loss == pytest.approx(roc_auc_score(truth, scores) - roc_auc_score(other, scores))
    drawn = []
    for _ in range(300):
        at = rng.integers(n, size=n)
        drawn.append(roc_auc_score(truth[at], scores[at]) - roc_auc_score(other[at], scores[at]))
    assert found.se == pytest.approx(np.std(drawn), rel=0.15)
    assert found.fewest == min(truth.sum(), other.sum())
    twice = reread(*(np.tile(of, 2) for of in (scores, truth, other, np.arange(n))), whole=False)
    assert twice.se == pytest.approx(found.se)
    assert twice.fewest == found.fewest


def test_two_labellers_of_one_mind_cost_nothing():
    truth = np.repeat([1.0, 0.0], 50)
    found = reread(np.arange(100.0), truth, truth, np.arange(100), whole=True)
    assert found.loss == 0
    assert found.se == pytest.approx(0.25 / 51)
    assert reread(np.arange(100.0), truth, np.ones(100), np.arange(100), whole=True) is None


def test_nothing_changed_is_the_smallest_p_times_how_many_there_are():
    found = evidence()
    p = changed(found)
    t = found.tasks
    every = np.stack(
        [found.parts.drop.p[t], found.prevalence_p, found.images_p, found.companions_p, found.parts.transfer.p[t],
         found.parts.intrinsic.p[t], found.meaning_p]
    )  # fmt: skip
    np.testing.assert_allclose(p, np.minimum(1, 7 * every.min(axis=0)))
    bare = changed(replace(found, witness=False))
    np.testing.assert_allclose(bare, np.minimum(1, 4 * every[:4].min(axis=0)))
    assert adjusted([0.01, 0.02, 0.9]) == pytest.approx([0.03, 0.03, 0.9])


def test_a_pair_is_judged_from_its_scores():
    world = draw_world(3, ())
    found, said = judge(world.a, world.b)
    assert list(said) == found.tasks.tolist()
    again = verdicts(found)
    assert {task: v.code for task, v in said.items()} == {task: v.code for task, v in again.items()}
    np.testing.assert_allclose(said[int(found.tasks[0])].probability, causes(found).probability[0])
    assert len(CAUSES) == len(said[0].probability)
