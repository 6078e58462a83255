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
from xray.stats.measures import Again
from xray.stats.pipeline_update import Through
from xray.stats.pipelines import Piped
from xray.stats.posterior import CAUSES, Causes, causes
from xray.stats.rereads import Measured


@cache
def evidence(seed=3, families=()):
    world = draw_world(seed, families)
    return gather(world.a, world.b)


def of(*probability, alike=True, **parts):
    """Verdict on the first finding of a pair, had it these probabilities."""
    gathered = evidence()
    n = gathered.tasks.size
    answers = Causes(
        np.tile(np.array(probability, dtype=float), (n, 1)), np.zeros((n, 4)), np.full((n, 4), -0.1), np.full((n, 4), 0.1),
        np.full(n, alike), np.ones(n),
        {"the drop": np.tile([0.3, 0.3, 0.0, 0.3], (n, 1)), "prevalences": np.tile([0.01, 0.4, 0.5, 0.2], (n, 1)),
         "the case mix": np.tile([0.07, 0.2, 0.04, 0.0], (n, 1))},
        np.full(n, "scores"),
    )  # fmt: skip
    gathered = replace(gathered, fewest=np.full(n, parts.pop("fewest", 50)), **parts.pop("changes", {}))
    return decide(gathered, answers, **parts)[int(gathered.tasks[0])]


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
    decision = of(0.95, 0.02, 0.97, 0.93)
    assert decision.code == "image + prevalence + label"
    assert decision.causes == {"image", "prevalence", "label"}
    assert decision.assumption.count(";") == 2


def test_open_causes_beside_a_named_one_are_listed_with_what_would_settle_them():
    decision = of(0.95, 0.02, 0.02, 0.5)
    assert decision.code == "image"
    assert "whether label too is open" in decision.basis
    assert verdict.RELABEL in decision.resolve
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
def test_the_next_step_depends_on_the_open_causes(probability, changes, step):
    decision = of(*probability, changes=changes)
    assert decision.code == "cannot tell"
    assert step in decision.resolve


@pytest.mark.parametrize(("overlap", "step"), [(0.04, verdict.COMPARABLE), (0.06, verdict.RELABEL)])
def test_sites_with_too_little_overlap_are_to_be_compared_in_part(overlap, step):
    columns = evidence().columns
    one, two = "case mix overlap a", "case mix overlap b"
    own = {**columns, one: np.full_like(columns[one], overlap), two: np.full_like(columns[two], 0.9)}
    assert of(0, 0.5, 0, 0, changes={"columns": own}).resolve == step


def test_the_reasons_are_the_evidence_that_moves_the_probability():
    assert of(0.95, 0, 0, 0).basis == "image: the drop and the case mix"
    assert of(0, 0.95, 0, 0).basis == "population: prevalences and the drop"
    assert of(0, 0, 0.95, 0).basis == "prevalence: prevalences"
    none = "no cause is likely to take .03 of AUC, or to change how common the finding is by half"
    assert of(0, 0, 0, 0).basis == none
    assert of(0, 0, 0, 0, again=planned(-0.05)).basis.startswith(f"{none}; label: -0.05 of AUC")


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


def test_images_labelled_by_both_measure_the_loss_by_labels():
    decision = same_images(0.06)
    assert decision.probability[3] == pytest.approx(norm.cdf(3))
    assert decision.share[3] == 0.06
    assert decision.upper[3] - decision.share[3] == pytest.approx(2.04523 * 0.01, abs=1e-6)
    assert decision.code == "label"
    assert "same images" in decision.basis
    assert same_images(0.01).probability[3] == pytest.approx(norm.cdf(-2))
    assert same_images(0.06, fewest=29).probability[3] == 0.5


def test_where_all_images_are_the_same_nothing_else_can_differ():
    decision = same_images(0.1, whole=True, alike=False)
    assert decision.code == "label"
    np.testing.assert_array_equal(decision.probability[:3], 0)
    np.testing.assert_array_equal(decision.share[:3], 0)
    assert same_images(0.0, se=0.005, whole=True).code == "none"


def test_a_reread_is_a_paired_difference_of_aucs_with_patients_as_units():
    rng = np.random.default_rng(0)
    n = 600
    truth = (rng.random(n) < 0.3).astype(float)
    scores = 2 * truth + rng.normal(size=n)
    other = np.where(rng.random(n) < 0.15, 1 - truth, truth)
    measured = reread(scores, truth, other, np.arange(n), whole=False)
    assert measured.loss == pytest.approx(roc_auc_score(truth, scores) - roc_auc_score(other, scores))
    replicates = []
    for _ in range(300):
        at = rng.integers(n, size=n)
        replicates.append(roc_auc_score(truth[at], scores[at]) - roc_auc_score(other[at], scores[at]))
    assert measured.se == pytest.approx(np.std(replicates), rel=0.15)
    assert measured.fewest == min(truth.sum(), other.sum())
    twice = reread(*(np.tile(of, 2) for of in (scores, truth, other, np.arange(n))), whole=False)
    assert twice.se == pytest.approx(measured.se)
    assert twice.fewest == measured.fewest


def test_the_error_of_a_reread_is_the_sum_of_each_patients_influence():
    rng = np.random.default_rng(3)
    n = 90
    scores, patients = np.round(rng.normal(size=n), 1), np.sort(rng.integers(0, 50, n))
    by_a, by_b = (
        (scores + rng.normal(size=n) > 0.4).astype(float),
        (scores + rng.normal(size=n) > 0.2).astype(float),
    )
    measured = reread(scores, by_a, by_b, patients, whole=False)
    influence = np.zeros(n)
    for labels, sign in ((by_a, 1), (by_b, -1)):
        auc = roc_auc_score(labels, scores)
        for value in (1, 0):
            own, other = labels == value, scores[labels != value]
            for i in np.flatnonzero(own):
                beats = ((scores[i] > other) + 0.5 * (scores[i] == other)).mean()
                influence[i] += sign * ((beats if value else 1 - beats) - auc) / own.sum()
    assert measured.se == pytest.approx(np.sqrt((np.bincount(patients, influence) ** 2).sum()))


def test_two_labellers_who_agree_cost_nothing():
    truth = np.repeat([1.0, 0.0], 50)
    measured = reread(np.arange(100.0), truth, truth, np.arange(100), whole=True)
    assert measured.loss == 0
    assert measured.se == pytest.approx(0.25 / 51)
    assert reread(np.arange(100.0), truth, np.ones(100), np.arange(100), whole=True) is None


def test_the_p_value_of_no_change_is_the_smallest_times_the_number_of_tests():
    gathered = evidence()
    p = changed(gathered)
    t = gathered.tasks
    every = np.stack(
        [gathered.parts.drop.p[t], gathered.prevalence_p, gathered.images_p, gathered.companions_p,
         gathered.parts.transfer.p[t], gathered.parts.intrinsic.p[t], gathered.meaning_p]
    )  # fmt: skip
    np.testing.assert_allclose(p, np.minimum(1, 7 * every.min(axis=0)))
    bare = changed(replace(gathered, witness=False))
    np.testing.assert_allclose(bare, np.minimum(1, 4 * every[:4].min(axis=0)))
    assert adjusted([0.01, 0.02, 0.9]) == pytest.approx([0.03, 0.03, 0.9])


def test_a_pair_is_judged_from_its_scores():
    world = draw_world(3, ())
    answers, decisions = judge(world.a, world.b)
    assert list(decisions) == answers.tasks.tolist()
    again = verdicts(answers)
    assert {task: v.code for task, v in decisions.items()} == {task: v.code for task, v in again.items()}
    np.testing.assert_allclose(decisions[int(answers.tasks[0])].probability, causes(answers).probability[0])
    assert len(CAUSES) == len(decisions[0].probability)


def test_at_the_limit_itself_a_cause_is_named_and_is_ruled_out():
    assert of(0.5, 0, 0, 0, loss_ratio=1.0).code == "image"
    assert of(0.25, 0.25, 0.25, 0.25, loss_ratio=3.0).code == "none"
    assert of(0.75, 0.25, 0.25, 0.25, loss_ratio=3.0).resolve == ""


@pytest.mark.parametrize(
    ("weight", "words"), [(0.05, "the drop"), (0.049, "no single evidence, all together")]
)
def test_evidence_is_named_that_moves_the_probability_by_a_twentieth(weight, words):
    gathered = evidence()
    n = gathered.tasks.size
    answers = Causes(
        np.tile([0.9, 0, 0, 0], (n, 1)), *np.zeros((3, n, 4)), np.full(n, True), np.ones(n),
        {"the drop": np.full((n, 4), weight)}, np.full(n, "scores"),
    )  # fmt: skip
    assert decide(gathered, answers)[int(gathered.tasks[0])].basis == f"image: {words}"


def planned(difference, se=0.01, readers=1):
    measured = Measured(difference, se, difference - 2 * se, difference + 2 * se, 0.0, 0.1, 0.1, 150)
    return {int(evidence().tasks[0]): Again(measured, readers)}


def piped(cost, se=0.01):
    of_pictures = Piped(cost, se, cost - 2 * se, cost + 2 * se, 900)
    return {int(evidence().tasks[0]): Through(of_pictures, np.full(4, 0.1))}


def test_an_unlike_case_reports_measured_causes_from_the_same_probability():
    for rest, parts, step in (
        ("label", {"again": planned(0.03)}, verdict.PIPELINE),
        ("image", {"through": piped(0.03)}, verdict.RELABEL),
    ):
        even = of(0.9, 0, 0, 0, alike=False, loss_ratio=1.0, **parts)
        assert even.code == rest, "as likely as not that it is .03"
        assert even.resolve == step
        assert even.assumption == (verdict.HOLDS if rest == "image" else "")
        assert of(0.9, 0, 0, 0, alike=False, loss_ratio=1.01, **parts).code == "cannot tell"
    neither = of(0.9, 0, 0, 0, alike=False)
    assert neither.resolve == f"{verdict.RELABEL}, or {verdict.PIPELINE}"
    larger = of(0, 0, 0, 0, alike=False, again=planned(0.05), through=piped(0.045))
    assert larger.probability[[0, 3]] == pytest.approx(norm.cdf([1.5, 2.0]))
    assert larger.code == "image + label"
    assert larger.resolve == ""


def test_images_labelled_by_both_count_beside_reads_unless_they_are_complete():
    task = int(evidence().tasks[0])
    both = {"again": planned(0.05, readers=2), "through": piped(0.06)}
    for whole, none in ((False, False), (True, True)):
        decision = of(0.5, 0.5, 0.5, 0.5, rereads={task: Reread(0.07, 0.01, 40, whole)}, **both)
        assert (decision.again is None, decision.through is None) == (none, none)
        assert decision.share[3] == 0.07
        assert decision.share[0] == (0 if whole else 0.06)
        assert "measured on the same images" in decision.basis
    few = of(0.5, 0.5, 0.5, 0.5, rereads={task: Reread(0.07, 0.01, 29, False)}, **both)
    assert few.share[3] == 0.05
    assert "(2 readers)" in of(0, 0, 0, 0.9, again=planned(0.1, readers=2)).basis
    assert "(1 reader)" in of(0, 0, 0, 0.9, again=planned(0.1)).basis


def test_reads_that_could_not_be_used_change_nothing():
    none = {
        int(evidence().tasks[0]): Again(Measured(*(np.nan,) * 7, 9, "fewer than two reads of a stratum"), 1)
    }
    decision = of(0.9, 0, 0, 0, again=none)
    assert (decision.again, decision.before, decision.code) == (None, None, "image")


def test_a_measured_cause_cites_its_measurement():
    decision = of(0.9, 0.9, 0.9, 0.9, through=piped(0.2), again=planned(0.2))
    assert "image" in decision.code
    assert "label" in decision.code
    assert verdict.RESTS_ON["label"] not in decision.assumption
    assert verdict.RESTS_ON["image"] not in decision.assumption
    assert verdict.HOLDS in decision.assumption
    assert of(0.9, 0, 0, 0).assumption == verdict.RESTS_ON["image"]
    assert of(0, 0, 0, 0.9).assumption == verdict.RESTS_ON["label"]


@pytest.mark.parametrize("overlap", [0.05, 0.049])
@pytest.mark.parametrize("site", "ab")
def test_an_overlap_below_a_twentieth_at_either_site_is_too_little(overlap, site):
    columns = {name: of.copy() for name, of in evidence().columns.items()}
    for name in "ab":
        columns[f"case mix overlap {name}"][:] = overlap if name == site else 0.5
    step = verdict.RELABEL if overlap == 0.05 else verdict.COMPARABLE
    assert of(0, 0.5, 0, 0, changes={"columns": columns}).resolve == step


def test_the_next_step_is_never_one_already_taken():
    open_ = (0.5, 0.5, 0.5, 0.5)
    assert of(*open_).resolve == f"{verdict.RELABEL}, or {verdict.PIPELINE}, or {verdict.MORE}"
    gathered = evidence()
    unsure = Causes(
        np.full((gathered.tasks.size, 4), 0.5), *np.zeros((3, gathered.tasks.size, 4)), np.full(gathered.tasks.size, True),
        np.ones(gathered.tasks.size), {}, np.full(gathered.tasks.size, "scores"),
    )  # fmt: skip
    task = int(gathered.tasks[0])
    for again, through, steps in (
        (planned(0.03, 0.03), None, {verdict.READ_MORE, verdict.PIPELINE}),
        (None, piped(0.03, 0.03), {verdict.RELABEL, verdict.MORE_PIPELINE, verdict.COMPARABLE}),
    ):
        advice = decide(gathered, unsure, 50.0, None, again, through)[task].resolve
        named_steps = {step for step in advice.split(", or ") if step != verdict.MORE}
        assert named_steps <= steps
        assert (verdict.RELABEL not in advice) if again else (verdict.PIPELINE not in advice)
    bare = replace(gathered, covariates=False, witness=False)
    advice = decide(bare, unsure, 2.0)[task].resolve
    assert advice == ", or ".join(
        [verdict.RELABEL, verdict.WITNESS, verdict.PIPELINE, verdict.COVARIATES, verdict.MORE]
    )


def test_labels_that_differ_and_cost_the_same_have_an_error():
    scores, patients = np.array([5.0, 4, 3, 2, 1]), np.arange(5)
    measured = reread(scores, np.array([1.0, 1, 0, 0, 0]), np.array([1.0, 1, 1, 0, 0]), patients, whole=False)
    assert measured.loss == 0
    assert measured.se > 0
    assert reread(scores, np.full(5, np.nan), np.ones(5), patients, whole=False) is None
