"""What verdicts are given: pairs of sites, witnesses, covariates, shared pictures; and how a budget of reads is split."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from db.store import Identities, StoredCohort
from xray.analyses import causes, images_or_labels, stored
from xray.analyses.asked import Questions
from xray.analyses.reread_plan import Offer, _offers, _one_each, _split, in_doubt
from xray.analyses.rereads import Reads, _reads
from xray.analyses.shared import labels_of_shared, patients_of_shared
from xray.analyses.stored import Scored, StoredStudy
from xray.stats.causes import FEWEST, MORE, PIPE, PLAN, Verdict, judge
from xray.stats.evidence import Site
from xray.stats.reread_design import draw, plan
from xray.stats.reread_update import chance, known_before
from xray.stats.rereads import expected_se, measure

N = 240
FINDINGS = ("one", "two", "three")
IDS = {"a": 1, "b": 2, "c": 3, "d": 4}


def site(name, models=("vendor",), pictures=None, columns=None, knows=(0, 1, 2), seed=None, flip=False):
    """A test set in memory: labels and scores of three findings that go together a little."""
    number = IDS[name]
    rng = np.random.default_rng(number if seed is None else seed)
    labels = (rng.random((N, 3)) < 0.3).astype(np.float32)
    scores = (2.0 * labels + rng.normal(size=labels.shape)) * (-1 if flip else 1)
    pictures = np.arange(N) + 1000 * number if pictures is None else pictures
    identities = Identities(pictures, pictures.copy(), np.zeros(N, bool), np.arange(N) + 1)
    evaluations, logits = [], {}
    for at, model in enumerate(models):
        of = Scored(10 * number + at, model, None, number, frozenset(knows), foreign=model == "vendor")
        evaluations.append(of)
        logits[of.evaluation_id] = (scores + at * rng.normal(size=scores.shape)).T.astype(np.float32)
    cohort = StoredCohort(number, number, np.arange(N, dtype=np.int32), identities, labels)
    return stored.TestSet(name, name, cohort, tuple(evaluations), logits, columns or {})


def study(*tests, configurations=None):
    return StoredStudy(
        1, "s", {test.dataset: test.site for test in tests}, configurations or {},
        tuple(e for test in tests for e in test.evaluations), findings=FINDINGS, task_ids=(11, 12, 13),
        cohorts={test.dataset: test.cohort.id for test in tests},
    )  # fmt: skip


def judged(a, b, ask=None, **parts):
    (pair,) = causes.judged(study(a, b, **parts), "vendor", a, b, True, ask or Questions())
    return pair


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (Questions(reference="a"), {"ab", "ac"}),
        (Questions(homes={"vendor": ("a", "b")}), {"ac", "bc"}),
        (Questions(reference="c", homes={"vendor": ("a",)}), {"ca", "cb"}),
        (Questions(reference="d", homes={"vendor": ("a",)}), {"ab", "ac"}),  # d is not scored
        (Questions(homes={"other": ("a",)}), {"ab", "ba", "ac", "ca", "bc", "cb"}),
    ],
)
def test_sites_are_compared_with_the_reference_else_with_home_else_with_each_other(ask, expected):
    tests = [site(name) for name in "abc"] + [site("d", models=("else",))]
    pairs = list(causes.pairs(study(*tests), tests, ask))
    assert {a.dataset + b.dataset for _, _, a, b, _, _ in pairs} == expected
    assert {at_home for *_, at_home, _ in pairs} == {len(expected) < 6}


@pytest.mark.parametrize(
    ("at_a", "at_b", "knows", "configurations", "expected"),
    [
        (True, True, (0, 1, 2), {"own": ("b",)}, True),
        (False, True, (0, 1, 2), {"own": ("b",)}, False),
        (True, False, (0, 1, 2), {"own": ("b",)}, False),
        (True, True, (0, 1, 2), {"own": ("a", "b")}, False),
        (True, True, (0, 1, 2), {}, False),
    ],
)
def test_a_witness_is_trained_on_the_other_site_alone_and_scored_at_both(
    at_a, at_b, knows, configurations, expected
):
    a = site("a", ("vendor", "own") if at_a else ("vendor",), knows=knows)
    b = site("b", ("vendor", "own") if at_b else ("vendor",), knows=knows)
    pair = judged(a, b, configurations=configurations)
    assert pair.witness == ("own" if expected else None)
    assert pair.evidence.witness == expected
    rows = list(causes.compute(study(a, b, configurations=configurations), [a, b], Questions(reference="a")))
    assert [len(row["evaluation_ids"]) for row in rows] == [4 if expected else 2] * 3
    network = "scores, labels and a network trained on b" if expected else "scores and labels"
    assert {row["evidence"] for row in rows} == {network}


def test_a_witness_has_learned_every_judged_finding():
    a, b = site("a", ("vendor", "own")), site("b", ("vendor", "own"))
    limited = replace(b, evaluations=(b.evaluations[0], replace(b.evaluations[1], trained=frozenset({0, 1}))))
    assert judged(a, limited, configurations={"own": ("b",)}).witness is None
    b.cohort.labels[:, 2] = np.nan
    assert judged(a, limited, configurations={"own": ("b",)}).witness == "own"
    assert judged(a, b, configurations={"own": ("b",)}).witness == "own"


def test_age_sex_and_view_are_used_when_half_of_both_sites_record_them():
    age = np.array([None] * (N // 2) + list(range(N // 2)), dtype=object)
    sex = np.array(["F", "M", "F", None] * (N // 4), dtype=object)
    view = np.array(["AP", "PA"] * (N // 2), dtype=object)
    a = site("a", columns={"age": age, "sex": sex, "view": view})
    b = site("b", columns={"age": age[::-1], "sex": sex, "view": np.array(["AP"] * N, dtype=object)})
    covariates = causes._covariates(a, b)
    assert list(covariates) == ["age", "sex", "view"]
    np.testing.assert_array_equal(covariates["age"][0], [np.nan] * (N // 2) + list(range(N // 2)))
    np.testing.assert_array_equal(covariates["sex"][0][:4], [1, 0, 1, np.nan])
    np.testing.assert_array_equal(covariates["view"][0][:4], [1, 0, 1, 0])
    less = age.copy()
    less[-1] = None
    for of_a, of_b in ((less, age), (age, less)):
        assert "age" not in causes._covariates(
            site("a", columns={"age": of_a}), site("b", columns={"age": of_b})
        )
    same = np.array(["AP"] * N, dtype=object)
    assert causes._covariates(site("a", columns={"view": same}), site("b", columns={"view": same})) == {}
    assert causes._covariates(site("a", columns={"age": age}), site("b")) == {}
    pair = judged(a, b)
    assert (pair.covariates, pair.evidence.covariates) == (("age", "sex", "view"), True)
    assert not judged(site("a"), site("b")).evidence.covariates


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ("witness_covariates", "scores, labels, age, sex and a network trained on b"),
        (
            "witness",
            "scores, labels and a network trained on b, without age and sex",
        ),
        (
            "scores_covariates",
            "scores, labels, age and sex, without a network trained on b",
        ),
        ("scores", "scores and labels, without age, sex and a network trained on b"),
    ],
)
def test_evidence_that_was_left_out_is_named_with_the_reason(variant, words):
    columns = {"age": np.arange(N).astype(object), "sex": np.array(["F", "M"] * (N // 2), dtype=object)}
    a, b = (site(name, ("vendor", "own"), columns=columns) for name in "ab")
    pair = judged(a, b, configurations={"own": ("b",)})
    assert (pair.witness, pair.covariates) == ("own", ("age", "sex"))
    verdict = replace(next(iter(pair.verdicts.values())), variant=variant)
    unlike = ", with which the case would be unlike the simulated cases" if "without" in words else ""
    assert causes._words(pair, verdict) == words + unlike
    assert causes._words(pair, None) == "scores, labels, age, sex and a network trained on b"


def test_a_verdict_uses_the_models_scores_of_the_findings_it_learned():
    a, b = site("a", knows=(0, 2)), site("b", knows=(0, 2))
    pair = judged(a, b)
    labels = [of.cohort.labels.astype(float) for of in (a, b)]
    for of in labels:
        of[:, 1] = np.nan
    sites = [
        Site(y, of.ensemble("vendor"), np.arange(N) + N * at)
        for at, (y, of) in enumerate(zip(labels, (a, b), strict=True))
    ]
    evidence, verdicts = judge(*sites)
    assert pair.evidence.tasks.tolist() == evidence.tasks.tolist() == [0, 2]
    for task, verdict in verdicts.items():
        np.testing.assert_array_equal(pair.verdicts[task].probability, verdict.probability)
    rows = list(causes.compute(study(a, b), [a, b], Questions(reference="a", loss_ratio=3.0)))
    assert [row["task_id"] for row in rows] == [0, 2]
    for row in rows:
        k = row["task_id"]
        for name, of in (("a", a), ("b", b)):
            y = of.cohort.labels[:, k]
            assert (row[f"n_{name}"], row[f"n_pos_{name}"]) == (N, int((y == 1).sum()))
            assert row[f"auc_{name}"] == pytest.approx(roc_auc_score(y, of.ensemble("vendor")[:, k]))
        assert row["loss_ratio"] == 3.0
        assert row["reason"] is None
        assert row["assumption"] == (verdicts[k].assumption or None)
        assert row["resolve"] == (verdicts[k].resolve or None)
        assert (row["reread"], row["readers"], row["probability_label_before"]) == (None, None, None)


@pytest.mark.parametrize(
    ("shared", "extra", "whole"), [(N, False, True), (N - 60, True, False), (0, True, None)]
)
def test_images_labelled_by_both_are_complete_only_when_they_are_all_images_of_both(shared, extra, whole):
    a = site("a")
    pictures = a.cohort.identities.pictures.copy()
    pictures[shared:] += 500_000
    b = site("b", pictures=pictures, seed=1)
    b.cohort.labels[::4, 0] = 1 - b.cohort.labels[::4, 0]
    pair = judged(a, b)
    of = causes._rereads(a, b, "vendor", pair.evidence)
    if whole is None:
        assert of == {}
        return
    assert set(of) == {0, 1, 2}
    assert {one.whole for one in of.values()} == {whole}
    x, shared_rows = a.ensemble("vendor")[:, 0], slice(0, shared)
    cost = roc_auc_score(a.cohort.labels[shared_rows, 0], x[shared_rows]) - roc_auc_score(
        b.cohort.labels[shared_rows, 0], x[shared_rows]
    )
    assert of[0].loss == pytest.approx(cost)


def test_reads_and_pipeline_scores_are_used_only_for_their_sites():
    a, b = site("a"), site("b")
    scores, labels = b.ensemble("vendor")[:, 1], b.cohort.labels[:, 1].astype(float)
    design = plan(scores, labels, 60)
    images = draw(design, np.random.default_rng(0))
    again = np.where(np.random.default_rng(1).random(60) < 0.3, 1 - labels[images], labels[images])
    reads = [
        Reads(design, images, again, frozenset({"anna", "ben"})),
        Reads(design, images[:0], again[:0], frozenset()),
    ]
    piped = a.ensemble("vendor") - np.random.default_rng(2).normal(size=(N, 3))
    ask = Questions(reads={(1, 2, 1): reads}, piped={(1, 2, "vendor"): piped})
    pair = judged(a, b, ask)
    of = pair.verdicts[1].again
    assert of.measured == measure(scores, labels, np.arange(N) + N, design, images, again)
    assert of.readers == 2
    assert [pair.verdicts[task].again is None for task in range(3)] == [True, False, True]
    for task in range(3):
        cost = pair.verdicts[task].through.piped.cost
        y = a.cohort.labels[:, task]
        aucs = [roc_auc_score(y, of[:, task]) for of in (a.ensemble("vendor"), piped)]
        assert cost == pytest.approx(aucs[0] - aucs[1])
    row = list(causes.compute(study(a, b), [a, b], replace(ask, reference="a")))[1]
    assert (row["reread"], row["readers"]) == (60, 2)
    assert row["probability_label_before"] == pytest.approx(judged(a, b).verdicts[1].probability[3])
    assert row["evidence"] == "scores, labels and a's pictures through b's pipeline"
    back = judged(b, a, ask)
    assert back.verdicts[1].again is None
    assert back.verdicts[1].through is None


def test_copies_of_a_picture_with_contradicting_labels_have_no_label():
    a, b = site("a"), site("b")
    pictures = np.r_[[7, 7, 8, 8, 9], np.arange(N - 5) + 90_000]
    a.cohort.labels[:5, 0] = [1, 0, 1, 1, np.nan]
    identities = replace(a.cohort.identities, pictures=pictures)
    b_shown = replace(b.cohort.identities, pictures=np.r_[[9, 8, 7], np.arange(N - 3) + 70_000])
    one, two = replace(a.cohort, identities=identities), replace(b.cohort, identities=b_shown)
    labels, others = labels_of_shared(one, two)
    np.testing.assert_array_equal(labels[:, 0], [np.nan, 1, np.nan])
    np.testing.assert_array_equal(others, b.cohort.labels[[2, 1, 0]])
    np.testing.assert_array_equal(patients_of_shared(one, two), one.patients[[0, 2, 4]])


def test_inverted_scores_are_reported_before_anything_else():
    a, b = site("a"), site("b", flip=True)
    rows = list(causes.compute(study(a, b), [a, b], Questions(reference="a")))
    assert all(row["resolve"].startswith(causes.INVERTED) for row in rows)
    back = list(causes.compute(study(a, b), [a, b], Questions(reference="b")))
    assert not any((row["resolve"] or "").startswith(causes.INVERTED) for row in back), (
        "A is the one that is below"
    )
    pair = judged(a, b)
    parts = pair.evidence.parts
    parts.drop.lower[:] = parts.auc[:, 0, 0] - 0.5
    assert not (causes._next(pair.evidence, 0, None) or "").startswith(causes.INVERTED), (
        "the bound is at one half"
    )
    assert causes._next(pair.evidence, 0, None) == MORE
    parts.drop.lower[:] = parts.auc[:, 0, 0] - 0.49
    assert causes._next(pair.evidence, 0, None) == f"{causes.INVERTED}; {MORE}"
    parts.auc[:, 0, 0] = 0.5
    parts.drop.lower[:] = 0.01
    assert causes._next(pair.evidence, 0, None) == MORE, "A's is no better than chance"


@pytest.mark.parametrize(("positives", "reason"), [(9, causes.FEW), (10, None)])
def test_fewer_than_ten_patients_of_a_class_give_that_reason(positives, reason):
    assert FEWEST == 10
    a, b = site("a"), site("b")
    b.cohort.labels[:, 1] = 0
    b.cohort.labels[:positives, 1] = 1
    rows = list(causes.compute(study(a, b), [a, b], Questions(reference="a")))
    assert rows[0]["reason"] is None
    assert rows[1]["reason"] == reason or (reason is None and rows[1]["reason"] == causes.UNLIKE)
    b.cohort.labels[:, 1] = 0
    row = list(causes.compute(study(a, b), [a, b], Questions(reference="a")))[1]
    assert row["basis"] == f"not computed: {row['reason']}"
    assert (row["verdict"], row["alike"], row["probability_label"], row["assumption"]) == (
        "cannot tell",
        None,
        None,
        None,
    )
    assert row["resolve"] == MORE


def test_the_advice_that_settles_a_verdict_names_the_study():
    assert causes._by_command(f"do {PLAN}, or {PIPE}", "s") == f"do {PLAN} s, or {PIPE} s"
    assert causes._by_command(None, "s") is None


def verdict(*probability, alike=True):
    return Verdict(None, np.array(probability), *np.zeros((3, 4)), alike, "", "", "")


def test_a_cause_is_in_doubt_between_the_limits_for_ruling_it_out_and_naming_it():
    of = verdict(0.25, 0.2501, 0.7499, 0.75)
    assert [in_doubt(of, cause, 3.0) for cause in range(4)] == [False, True, True, False]
    assert [in_doubt(of, cause, 2.0) for cause in range(4)] == [False, False, False, False]
    assert in_doubt(verdict(0, 0, 0, 1.0, alike=False), 3, 3.0)
    assert not in_doubt(verdict(0, 0, 0, 1.0), 3, 3.0)


def offers(rng, count, pieces):
    pair = judged(site("a"), site("b"))
    chances = np.sort(rng.random((count, pieces + 1)), axis=1)
    chances[:, 0] = 0
    return [Offer(pair, task, 0.5, of) for task, of in enumerate(chances)]


def test_a_finding_in_doubt_has_a_chance_for_every_part_of_the_budget():
    a, b = site("a"), site("b")
    b.cohort.labels[:, 2] = 0
    b.cohort.labels[:9, 2] = 1
    pair = judged(a, b)
    of = list(_offers(study(a, b), pair, 999.0, 30, 100, None))
    assert [offer.task for offer in of] == [0, 1], "of the third there are nine patients"
    for offer in of:
        scores, labels = b.ensemble("vendor")[:, offer.task], b.cohort.labels[:, offer.task].astype(float)
        before = known_before(pair.evidence, offer.task, pair.verdicts[offer.task].probability)
        errors = [expected_se(scores, labels, plan(scores, labels, reads)) for reads in (30, 60, 90)]
        expected = [chance(before, pair.verdicts[offer.task].alike, error, 999.0) for error in errors]
        assert offer.chances == pytest.approx([0, *expected])
        assert offer.probability == pair.verdicts[offer.task].probability[3]
    assert [offer.task for offer in _offers(study(a, b), pair, 1.0, 30, 100, "two")] == [1]
    assert list(_offers(study(a, b), pair, 1.0, 30, 100, "three")) == []
    assert len(next(_offers(study(a, b), pair, 999.0, 200, 100, "two")).chances) == 2
    b.cohort.labels[9, 2] = 1
    ten = judged(a, b)
    assert [offer.task for offer in _offers(study(a, b), ten, 999.0, 30, 100, "three")] == [2]


@pytest.mark.parametrize("seed", range(6))
def test_no_other_split_of_the_budget_settles_more(seed):
    several = offers(np.random.default_rng(seed), 3, 4)
    shares = _split(several, 25, 110)
    assert sum(reads for _, reads in shares) == 110
    pieces = {
        offer.task: round((reads - 5) / 25) if at == 0 else round(reads / 25)
        for at, (offer, reads) in enumerate(shares)
    }
    settled = sum(several[task].chances[count] for task, count in pieces.items())
    best = max(
        sum(offer.chances[count] for offer, count in zip(several, counts, strict=True))
        for counts in product(range(5), repeat=3)
        if sum(counts) <= 4
    )
    assert settled == pytest.approx(best)


def test_a_budget_smaller_than_one_part_goes_to_one_finding():
    (share,) = _split(offers(np.random.default_rng(0), 2, 1), 20, 12)
    assert share[1] == 12


def test_with_several_models_reads_are_planned_for_the_likeliest_to_be_settled():
    one, *_ = offers(np.random.default_rng(0), 1, 2)
    chances = [np.array([0, 0.3, 0.4]), np.array([0, 0.1, 0.6]), np.array([0, 0.6, 0.2])]
    several = [replace(one, chances=of) for of in chances]
    assert _one_each(several) == [several[1]]
    other = replace(one, task=1)
    assert [offer.task for offer in _one_each([*several, other])] == [0, 1]


def test_rows_of_models_trained_here_give_the_prevalence_their_scores_imply():
    a, b = (replace(site(name, ("at a", "at b")), dataset=name) for name in "ab")
    whole = study(a, b, configurations={"at a": ("a",), "at b": ("b",)})
    rows = list(images_or_labels.compute(whole, [a, b]))
    assert [(row["cohort_a_id"], row["task_id"]) for row in rows] == [
        (1, 0),
        (1, 1),
        (1, 2),
        (2, 0),
        (2, 1),
        (2, 2),
    ]
    forward, back = images_or_labels._both_ways(a, b, "at a", "at b")
    verdicts = images_or_labels.judge([pair.evidence[k] for pair in (forward, back) for k in range(3)])
    for row, of in zip(rows, verdicts, strict=True):
        assert row["reason"] is None
        assert (row["verdict"], row["basis"], row["p_adjusted"]) == (of.code, of.basis, of.p_adjusted)
        assert (row["assumption"], row["resolve"]) == (of.assumption or None, of.resolve or None)
    for row in rows[:3]:
        k = row["task_id"]
        implied, se = forward.tilting.implied[k], forward.tilting.implied_se[k]
        bounds = [implied, implied - norm.ppf(0.975) * se, implied + norm.ppf(0.975) * se]
        values = [row[f"implied_{name}"] for name in ("prevalence", "lower", "upper")]
        assert values == pytest.approx(np.clip(bounds, 0, 1), abs=1e-4)
        for name, of, model in (("aa", a, "at a"), ("ab", b, "at a"), ("ba", a, "at b"), ("bb", b, "at b")):
            auc = roc_auc_score(of.cohort.labels[:, k], of.ensemble(model)[:, k])
            assert row[f"auc_{name}"] == pytest.approx(auc)
        assert row["prevalence_b"] == pytest.approx(b.cohort.labels[:, k].mean())
        assert (row["n_b"], row["n_pos_b"]) == (N, int((b.cohort.labels[:, k] == 1).sum()))
        assert row["p_meaning"] == pytest.approx(forward.evidence[k].meaning_p)
    c = replace(site("c", ("at a", "at b", "at c")), dataset="c")
    three = [replace(site(name, ("at a", "at b", "at c")), dataset=name) for name in "ab"] + [c]
    several = study(*three, configurations={f"at {name}": (name,) for name in "abc"})
    order = [
        (row["cohort_a_id"], row["cohort_b_id"]) for row in images_or_labels.compute(several, three[::-1])
    ]
    assert order[::3] == [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)]
    alone = study(a, b, configurations={"at a": ("a",)})
    assert list(images_or_labels.compute(alone, [a, b])) == []
    only = replace(b, evaluations=b.evaluations[1:])
    assert list(images_or_labels.compute(whole, [a, only])) == []


def test_implied_prevalences_stay_shares():
    a, b = (replace(site(name, ("at a", "at b")), dataset=name) for name in "ab")
    for number in list(b.logits):
        b.logits[number] = b.logits[number] + 30.0
    whole = study(a, b, configurations={"at a": ("a",), "at b": ("b",)})
    row = next(iter(images_or_labels.compute(whole, [a, b])))
    assert row["implied_upper"] == row["implied_prevalence"] == 1
    assert 0 <= row["implied_lower"] <= 1


def test_a_finding_without_two_classes_has_no_verdict_and_no_evidence():
    a, b = (replace(site(name, ("at a", "at b")), dataset=name) for name in "ab")
    b.cohort.labels[:, 1] = 0
    whole = study(a, b, configurations={"at a": ("a",), "at b": ("b",)})
    row = list(images_or_labels.compute(whole, [a, b]))[1]
    assert row["verdict"] == "cannot tell"
    assert row["basis"] == f"not computed: {row['reason']}"
    assert row["reason"]
    assert (row["p_meaning"], row["p_adjusted"], row["assumption"]) == (None, None, None)
    assert row["resolve"] == "test more images of both classes"


def test_what_several_readers_said_of_an_image_is_their_majority():
    calls = [(1, "r", "yes"), (1, "s", "unsure"), (3, "r", "no"), (2, "s", "yes"), (2, "r", "no")]
    reads = _reads([0, 0, 1], [2, 1], [2, 1], zip(*zip(*calls, strict=True), strict=True))
    assert dict(zip(reads.images.tolist(), reads.again.tolist(), strict=True)) == {
        0: 1.0,
        1: pytest.approx(np.nan, nan_ok=True),
        2: 0.0,
    }
    assert reads.readers == {"r", "s"}
    assert (reads.design.stratum.tolist(), reads.design.sizes.tolist(), reads.design.reads.tolist()) == (
        [0, 0, 1],
        [2, 1],
        [2, 1],
    )


def test_pictures_of_a_through_the_pipeline_of_b_are_judged_as_those_of_a_beside_b(monkeypatch):
    a, b, received = site("a"), site("b"), []
    monkeypatch.setattr(causes, "through", lambda *of: received.append(of) or {0: "judged"})
    sites, logits = [object(), object()], np.zeros((N, 3))
    ask = Questions(piped={(1, 2, "vendor"): logits})
    assert causes._through(a, b, "vendor", sites, ask) == {0: "judged"}
    assert [tuple(map(id, of)) for of in received] == [tuple(map(id, (*sites, logits)))]
    assert causes._through(b, a, "vendor", sites, ask) == {}
    assert causes._through(a, b, "other", sites, ask) == {}
