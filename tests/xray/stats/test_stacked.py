"""Linear models of all scores: against direct computations, and on sites whose truth is planted."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.xray.stats.test_evidence_one_by_one import normal, site
from xray.stats.evidence import Site, _normal, gather
from xray.stats.stacked import stacked
from xray.stats.transfer import SiteScores, decompose

PENALTY = 8.0


@pytest.fixture(scope="module")
def sites():
    """Sites that share a tenth of their patients."""
    rng = np.random.default_rng(9)
    a, b = site(rng, 0, n=160), site(rng, 1, n=140, agreement=0.3)
    return a, replace(b, patients=np.where(b.patients < 1014, b.patients - 1000, b.patients))


@pytest.fixture(scope="module")
def evidence(sites):
    return gather(*sites)


def halves(sites):
    """Half of the patients of both sites, by lot."""
    names = np.unique(np.concatenate([of.patients for of in sites])).tolist()
    lot = np.random.default_rng(0).permutation(len(names))
    return [np.array([lot[names.index(p)] % 2 for p in of.patients]) for of in sites]


def test_the_ill_and_the_healthy_may_be_listed_in_turn():
    """A study of cases and controls: were every second patient a half, one half would have no case."""
    rng = np.random.default_rng(4)
    sites = []
    for at in (0, 1):
        labels = np.column_stack([np.arange(400) % 2 == 0, rng.random(400) < 0.4]).astype(float)
        sites.append(Site(labels, 2 * labels + rng.normal(size=labels.shape), np.arange(400) + 1000 * at))
    columns = gather(*sites).columns
    for name in ("stacked", "stacked by labels"):
        assert columns[f"{name} auc b"][0] > 0.85
        assert np.isfinite(columns[f"{name} site positives"]).all()


def test_few_patients_of_whom_nothing_is_to_be_known_are_judged_by_chance():
    """Ten patients of forty images: where one half has more positives, its model is not to lift the other's scores."""
    aucs = []
    for seed in range(200):
        rng = np.random.default_rng([7, seed])
        sites = []
        for at in (0, 1):
            labels = np.repeat((rng.random((10, 3)) < 0.4).astype(float), 40, axis=0)
            scores = np.repeat(rng.normal(size=(10, 3)), 40, axis=0) + rng.normal(size=labels.shape)
            sites.append(Site(labels, scores, np.repeat(np.arange(10) + 100 * at, 40)))
        aucs.append(gather(*sites).columns["stacked auc b"])
    assert abs(np.nanmean(np.concatenate(aucs)) - 0.5) < 0.03


def test_a_copy_of_a_patient_is_not_judged_by_a_model_of_the_patient():
    """Of 60 patients, each there three times: with six findings by chance, copies in the other half are recognised."""
    aucs = {"copies": [], "patients": []}
    for seed in range(30):
        rng = np.random.default_rng([8, seed])
        sites = []
        for at in (0, 1):
            labels, scores = (rng.random((60, 6)) < 0.4).astype(float), rng.normal(size=(60, 6))
            names = np.arange(60) + 1000 * at
            sites.append(Site(labels, scores, names).take(np.tile(np.arange(60), 3)))
        copies = [replace(of, patients=np.arange(180) + 1000 * at) for at, of in enumerate(sites)]
        for name, pair in (
            ("patients", copies),
            ("copies", [replace(of, origins=own.patients) for of, own in zip(copies, sites, strict=True)]),
        ):
            aucs[name].append(np.nanmean(gather(*pair).columns["stacked by labels auc b"]))
    assert np.mean(aucs["patients"]) > 0.55
    assert abs(np.mean(aucs["copies"]) - 0.5) < 0.03


def test_a_score_that_is_missing_says_nothing_of_the_site():
    a, b = two_sites(np.random.default_rng(3), n=2000)
    scores = np.where(np.random.default_rng(5).random(b.scores.shape) < [0.3, 0, 0, 0], np.nan, b.scores)
    columns = gather(a, replace(b, scores=scores)).columns
    assert abs(np.sinh(columns["stacked site z"][0])) < 3.5


def test_findings_of_one_label_and_several_scores_give_no_warning():
    rng = np.random.default_rng(1)
    sites = []
    for at in (0, 1):
        labels = np.repeat((rng.random((300, 1)) < 0.4).astype(float), 4, axis=1)
        sites.append(Site(labels, labels + rng.normal(size=labels.shape), np.arange(300) + 1000 * at))
    columns = gather(*sites).columns
    assert all(np.isfinite(of).all() for name, of in columns.items() if name.startswith("stacked"))


def least_squares(x, y, weights=None):
    """Ridge regression as ordinary least squares with a row for every penalty."""
    root = np.ones(len(x)) if weights is None else np.sqrt(weights)
    penalty = np.diag(np.sqrt([1e-3, *[PENALTY] * (x.shape[1] - 1)]))
    rows = np.vstack([x * root[:, None], penalty])
    return np.linalg.lstsq(rows, np.concatenate([y * root, np.zeros(len(penalty))]), rcond=None)[0]


def model_inputs(sites, name):
    """What the models of each finding are given at both sites, [finding][site], first of them ones."""
    scores = normal(sites)
    shares = np.nanmean(sites[0].labels, axis=0)
    labels = [np.nan_to_num((of.labels - shares) / np.sqrt(shares * (1 - shares) + 1e-3)) for of in sites]
    further = {
        "stacked": lambda s, k: np.zeros((len(labels[s]), 0)),
        "stacked by labels": lambda s, k: np.delete(labels[s], k, axis=1),
    }[name]
    return [
        [np.column_stack([np.ones(len(scores[s])), scores[s], further(s, k)]) for s in (0, 1)]
        for k in range(3)
    ]


def models(sites, name, k):
    """Scores of A's and B's model of finding k at A and at B, [model][site]."""
    x, half = model_inputs(sites, name)[k], halves(sites)
    of_models = []
    for home in (0, 1):
        y = sites[home].labels[:, k]
        share = np.nanmean(y)
        rest = np.nan_to_num(y - share) / np.sqrt(share * (1 - share) + 1e-3)
        weights = [least_squares(x[home][half[home] != h], rest[half[home] != h]) for h in (0, 1)]
        middle = [[x[s].mean(axis=0) @ of for of in weights] for s in (0, 1)]
        of_models.append(
            [
                np.array(
                    [
                        row @ weights[h] - middle[s][h] + np.mean(middle[s])
                        for row, h in zip(x[s], half[s], strict=True)
                    ]
                )
                for s in (0, 1)
            ]
        )
    return of_models


@pytest.fixture(params=["stacked", "stacked by labels"])
def name(request):
    return request.param


def close(value, expected):
    assert value == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_each_image_is_judged_by_models_of_the_other_half_of_the_patients(sites, evidence, name):
    columns = evidence.columns
    for k in range(3):
        of = models(sites, name, k)
        scores = [np.stack([of[m][s] for m in (0, 1)]) for s in (0, 1)]
        parts = decompose(
            *(
                SiteScores(x.labels[:, [k]], *(y[:, None] for y in own), x.patients)
                for x, own in zip(sites, scores, strict=True)
            )
        )
        labelled = [~np.isnan(x.labels[:, k]) for x in sites]
        auc = [
            [roc_auc_score(sites[s].labels[labelled[s], k], of[m][s][labelled[s]]) for s in (0, 1)]
            for m in (0, 1)
        ]
        own = [roc_auc_score(x.labels[at, k], x.scores[at, k]) for x, at in zip(sites, labelled, strict=True)]
        close(columns[f"{name} drop"][k], auc[0][0] - auc[0][1])
        close(columns[f"{name} intrinsic"][k], 0.5 * (auc[0][0] - auc[0][1] + auc[1][0] - auc[1][1]))
        close(columns[f"{name} transfer"][k], 0.5 * (auc[0][0] - auc[0][1] - auc[1][0] + auc[1][1]))
        for part in ("drop", "intrinsic", "transfer"):
            value = getattr(parts, part)
            close(columns[f"{name} {part} z"][k], np.arcsinh(value.value[0] / value.se[0]))
        close(columns[f"{name} gain a"][k], auc[0][0] - own[0])
        close(columns[f"{name} gain b"][k], auc[1][1] - own[1])
        close(columns[f"{name} gain"][k], auc[1][1] - own[1] - auc[0][0] + own[0])
        close(columns[f"{name} auc b"][k], auc[1][1])
        for s, at in enumerate("ab"):
            negative = sites[s].labels[:, k] == 0
            r = np.corrcoef(of[0][s][negative], of[1][s][negative])[0, 1]
            close(columns[f"{name} together {at}"][k], np.arctanh(np.clip(r, -0.999, 0.999)))


def test_models_of_the_same_patients_agree_but_for_rounding(sites):
    a, _ = sites
    columns = gather(a, a).columns
    for at in "ab":
        close(columns[f"stacked together {at}"], np.full(3, np.arctanh(0.999)))
    close(columns["stacked transfer"], np.zeros(3))


def told_apart(x, half, effect):
    """AUC and asinh(z) of the discriminant of both sites' rows."""
    aucs = []
    for h in (0, 1):
        a, b = (rows[at != h] for rows, at in zip(x, half, strict=True))
        n = 2 * len(a) * len(b) / (len(a) + len(b))
        weights = np.repeat([n / 2 / len(a), n / 2 / len(b)], [len(a), len(b)])
        line = least_squares(np.vstack([a, b]), np.repeat([-1.0, 1.0], [len(a), len(b)]), weights)
        a, b = (rows[at == h] @ line for rows, at in zip(x, half, strict=True))
        aucs.append(roc_auc_score(np.repeat([0, 1], [len(a), len(b)]), np.concatenate([a, b])))
    error = np.sqrt(effect * sum(1 / len(rows) for rows in x) / 12)
    return np.mean(aucs), np.arcsinh((np.mean(aucs) - 0.5) / error)


def test_sites_are_told_apart_by_scores_and_their_squares(sites, evidence, name):
    half = halves(sites)
    effect = max(
        (sizes**2).sum() / sizes.sum()
        for sizes in (np.unique(of.patients, return_counts=True)[1] for of in sites)
    )
    scores = normal(sites)
    shares = np.nanmean(sites[0].labels, axis=0)
    x = model_inputs(sites, name)[0]
    if name == "stacked by labels":
        x = [
            np.column_stack(
                [x[s][:, :4], np.nan_to_num((of.labels - shares) / np.sqrt(shares * (1 - shares) + 1e-3))]
            )
            for s, of in enumerate(sites)
        ]
    x = [np.column_stack([rows, scores[s] ** 2 - 1]) for s, rows in enumerate(x)]
    for k in range(3):
        groups = {"site": [np.ones(len(of.labels), dtype=bool) for of in sites]}
        groups |= {
            f"site {of}s": [s.labels[:, k] == v for s in sites]
            for v, of in ((0, "negative"), (1, "positive"))
        }
        for group, at in groups.items():
            value, z = told_apart(
                [rows[own] for rows, own in zip(x, at, strict=True)],
                [h[own] for h, own in zip(half, at, strict=True)],
                effect,
            )
            close(evidence.columns[f"{name} {group}"][k], value)
            close(evidence.columns[f"{name} {group} z"][k], z)


def expected_auc(scores, p):
    """By all pairs of images: one positive with its probability, the other negative with its own."""
    order = (scores[:, None] > scores[None]) + 0.5 * (scores[:, None] == scores[None])
    return (p[:, None] * (1 - p)[None] * order).sum() / (p.sum() * (1 - p).sum())


def test_a_rule_of_one_site_foretells_drop_and_prevalence_at_the_other(sites, evidence, name):
    columns = evidence.columns
    quantiles = normal(sites)
    for k in range(3):
        of, labelled = models(sites, name, k), [~np.isnan(x.labels[:, k]) for x in sites]
        drop, se = evidence.parts.drop.value[k], evidence.parts.drop.se[k]
        for home, at in enumerate("ab"):
            values = [of[home][s][labelled[s]] for s in (0, 1)]
            y = [sites[s].labels[labelled[s], k] for s in (0, 1)]
            ascending = sorted(values[home])
            edges = [ascending[i * len(ascending) // 20] for i in range(1, 20)]
            groups = [np.array([sum(v >= e for e in edges) for v in own]) for own in values]
            share = y[home].mean()
            rate = np.array(
                [
                    (y[home][groups[home] == g].sum() + share) / ((groups[home] == g).sum() + 1)
                    for g in range(20)
                ]
            )
            p = [rate[own] for own in groups]
            foretold = [expected_auc(quantiles[s][labelled[s], k], p[s]) for s in (0, 1)]
            foretold = foretold[0] - foretold[1]
            close(columns[f"{name} foretold {at}"][k], foretold)
            close(columns[f"{name} beyond {at}"][k], drop - foretold)
            close(columns[f"{name} foretold {at} z"][k], np.arcsinh(foretold / se))
            close(columns[f"{name} beyond {at} z"][k], np.arcsinh((drop - foretold) / se))
            away = p[1 - home].mean() + 0.002
            close(columns[f"{name} prevalence / home {at}"][k], np.log(away / (share + 0.002)))
            close(columns[f"{name} prevalence / away {at}"][k], np.log(away / (y[1 - home].mean() + 0.002)))


def test_a_finding_alone_has_no_linear_models_of_others(sites):
    one = [
        replace(of, labels=of.labels[:, :1], scores=of.scores[:, :1], witness=of.witness[:, :1])
        for of in sites
    ]
    assert not [of for of in gather(*one).columns if "stacked" in of]


def test_nothing_is_judged_by_what_it_was_fitted_to():
    """Labels that nothing tells of, the same patients at both sites: every model is as good as chance."""
    rng = np.random.default_rng(0)
    n, tasks = 300, 12
    labels = np.repeat((rng.random((n // 3, tasks)) < 0.5).astype(float), 3, axis=0)
    scores = np.repeat(rng.normal(size=(n // 3, tasks)), 3, axis=0)  # pictures of a patient are alike
    patients = np.repeat(np.arange(n // 3), 3)
    order = rng.permutation(n)
    columns = gather(
        Site(labels, scores, patients), Site(labels[order], scores[order], patients[order])
    ).columns
    for stack in ("stacked", "stacked by labels"):
        assert abs(columns[f"{stack} auc b"].mean() - 0.5) < 0.05
        assert abs((columns[f"{stack} auc b"] + columns[f"{stack} drop"]).mean() - 0.5) < 0.05


def two_sites(rng, n=4000, changed=None):
    """Severities that go together; the score of each finding sees it, and others'. `changed` alters B's labels or scores."""
    sites = []
    for at in (0, 1):
        severity = 0.8 * rng.normal(size=(n, 1)) + rng.normal(size=(n, 4))
        labels = (severity > 1).astype(float)
        scores = severity + rng.normal(size=severity.shape)
        if at and changed:
            labels, scores = changed(severity, labels, scores)
        sites.append(Site(labels, scores, np.arange(n) + at * n))
    return sites


def test_where_nothing_changed_no_site_is_told_from_the_other():
    z = []
    for seed in range(40):
        columns = gather(*two_sites(np.random.default_rng(seed), n=500)).columns
        z.append([columns[f"stacked {of} z"][0] for of in ("site", "site negatives", "site positives")])
    z = np.sinh(z)
    assert np.abs(z.mean(axis=0)).max() < 0.7
    assert 0.8 < z.std() < 1.8, (
        "both halves' discriminants are of the same patients, so that it is more than 1"
    )


def test_wrong_labels_at_b_are_what_the_rule_of_a_does_not_foretell():
    """Finding 0's labels at B are flipped for a fifth of the images: A's rule foretells no drop, all of it is beyond."""

    def flipped(severity, labels, scores):
        at = np.random.default_rng(1).random(len(labels)) < 0.2
        labels[at, 0] = 1 - labels[at, 0]
        return labels, scores

    evidence = gather(*two_sites(np.random.default_rng(2), changed=flipped))
    columns, drop = evidence.columns, evidence.parts.drop.value
    assert drop[0] > 0.12
    assert abs(columns["stacked foretold a"][0]) < 0.02
    assert columns["stacked beyond a"][0] > 0.1
    assert abs(columns["stacked intrinsic"][0] - drop[0]) < 0.05
    assert abs(columns["stacked beyond a"][1:]).max() < 0.03
    assert np.abs(np.sinh(columns["stacked site z"][0])) < 3


def test_noise_in_scores_at_b_is_seen_in_scores_alone():
    def noisy(severity, labels, scores):
        return labels, scores + 1.5 * np.random.default_rng(1).normal(size=scores.shape)

    columns = gather(*two_sites(np.random.default_rng(2), changed=noisy)).columns
    assert columns["stacked site"][0] > 0.6
    assert columns["stacked site negatives"].min() > 0.6
    assert np.sinh(columns["stacked site z"][0]) > 10


def test_other_companions_at_b_change_what_scores_of_others_are_worth():
    """At B finding 0 no longer goes with the others: A's model of all scores loses, B's own does not."""

    def apart(severity, labels, scores):
        rng = np.random.default_rng(1)
        own = np.sqrt(1.64) * rng.normal(size=len(labels))
        labels[:, 0], scores[:, 0] = own > 1, own + rng.normal(size=len(labels))
        return labels, scores

    columns = gather(*two_sites(np.random.default_rng(2), changed=apart)).columns
    assert columns["stacked transfer"][0] > 0.01
    assert np.sinh(columns["stacked transfer z"][0]) > 4
    assert columns["stacked together b"][0] < columns["stacked together a"][0]


def test_two_positives_in_one_half_tell_no_sites_apart(sites):
    """A discriminant of one half can't be judged on the other; all else is had."""
    a, b = sites
    half = halves(sites)[1]
    two = np.flatnonzero((half == 0) & ~np.isnan(b.labels[:, 1]))[:3:2]
    assert len(set(b.patients[two])) == 2
    labels = b.labels.copy()
    labels[:, 1] = 0
    labels[two, 1] = 1
    columns = gather(a, replace(b, labels=labels)).columns
    for name in ("stacked", "stacked by labels"):
        assert np.isnan(columns[f"{name} site positives"][1])
        assert np.isnan(columns[f"{name} site positives z"][1])
        assert np.isfinite(columns[f"{name} site positives"][[0, 2]]).all()
        others = [of for of in columns if of.startswith(f"{name} ") and "site positives" not in of]
        assert not [of for of in others if not np.isfinite(columns[of]).all()]
    labels[np.flatnonzero(half == 1)[:2], 1] = 1
    assert np.isfinite(gather(a, replace(b, labels=labels)).columns["stacked site positives"]).all()


def test_columns_are_of_the_tasks_that_are_judged(sites):
    """As from the parts themselves, with the second of three tasks left out."""
    a, b = (replace(of, labels=np.where([False, True, False], np.nan, of.labels)) for of in sites)
    evidence = gather(a, b)
    assert evidence.tasks.tolist() == [0, 2]
    names = np.unique(np.concatenate([a.patients, b.patients])).tolist()
    units = tuple(np.array([names.index(p) for p in of.patients]) for of in (a, b))
    parts = tuple(
        _normal(replace(a, patients=units[0]), replace(of, patients=unit), evidence.tasks)
        for of, unit in zip((a, b), units, strict=True)
    )
    columns = stacked(parts, units, units, evidence.parts, evidence.tasks)
    assert len(columns) == 60
    for name, values in columns.items():
        assert values == pytest.approx(evidence.columns[name], nan_ok=True), name
