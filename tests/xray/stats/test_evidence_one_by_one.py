"""Each column of the evidence on two small awkward sites, computed one by one from its definition."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from xray.stats.casemix import odds_of_site
from xray.stats.evidence import BESIDE, Site, _as_z, gather


def site(rng, at, n=90, agreement=0.8):
    """Patients with one to three images, ties, labels and covariates that are missing, findings that go together."""
    patients = np.repeat(np.arange(n), rng.integers(1, 4, n))[:n] + 1000 * at
    first = rng.random(n) < 0.4 + 0.1 * at
    labels = np.column_stack(
        [first, np.where(rng.random(n) < 0.3, first, rng.random(n) < 0.4), rng.random(n) < 0.5]
    )
    scores = np.round(1.2 * labels + rng.normal(size=labels.shape) + 0.2 * at, 1)
    labels = np.where(rng.random(labels.shape) < [0.1, 0.0, 0.05], np.nan, labels)
    witness = agreement * scores + 0.6 * rng.normal(size=scores.shape)
    covariates = np.column_stack([rng.normal(0.3 * at + 0.4 * first, 1), rng.random(n) < 0.5]).astype(float)
    covariates[rng.random(covariates.shape) < 0.1] = np.nan
    return Site(labels, scores, patients, witness, covariates)


@pytest.fixture(scope="module")
def sites():
    rng = np.random.default_rng(5)
    return site(rng, 0), site(rng, 1, n=70, agreement=0.3)


@pytest.fixture(scope="module")
def evidence(sites):
    return gather(*sites)


def quantiles(reference, scores):
    """Normal quantiles of the places of scores among those of A, ties in the middle."""
    places = [
        ((reference < x).sum() + 0.5 * (reference == x).sum() + 0.5) / (reference.size + 1) for x in scores
    ]
    return norm.ppf(places)


def normal(sites, name="scores"):
    """Quantiles of each site's scores, (n_images, 3) each."""
    a = getattr(sites[0], name)
    return [np.column_stack([quantiles(a[:, k], getattr(of, name)[:, k]) for k in range(3)]) for of in sites]


def images_per_patient(of):
    sizes = np.unique(of.patients, return_counts=True)[1]
    return (sizes**2).sum() / sizes.sum()


def check(columns, k, expected):
    for name, value in expected.items():
        assert columns[name][k] == pytest.approx(value, rel=1e-6, abs=1e-9), name


@pytest.mark.parametrize(("prefix", "scores"), [("", "scores"), ("witness ", "witness")])
def test_moments_of_both_classes_equal_a_direct_computation(sites, evidence, prefix, scores):
    both = normal(sites, scores)
    for k in range(3):
        for value, name in ((1, "positives"), (0, "negatives")):
            moments, variances = [], []
            for of, x in zip(sites, both, strict=True):
                own, other = of.labels[:, k] == value, of.labels[:, k] == 1 - value
                middle, y, n = np.median(x[other, k]), x[own, k], own.sum()
                far = (y < middle if value else y > middle).astype(float)
                moments.append([y.mean(), np.log(y.std()), far.mean()])
                rest = [y - y.mean(), ((y - y.mean()) ** 2 / y.var() - 1) / 2, far - far.mean()]
                sums = [
                    [r[of.patients[own] == patient].sum() for patient in np.unique(of.patients)] for r in rest
                ]
                variances.append(
                    (np.array(sums) ** 2).sum(axis=1) / n**2 + np.array([0.02, 0.1, 0.02]) / n**1.5
                )
            change = np.subtract(moments[1], moments[0])
            z = np.arcsinh(change / np.sqrt(variances[0] + variances[1]))
            for at, moment in enumerate(("mean", "spread", "beyond")):
                column = f"{prefix}{name} {moment}"
                check(evidence.columns, k, {column: change[at], f"{column} z": z[at]})


def test_a_class_without_spread_gets_a_spread_of_a_hundredth(sites):
    a, b = sites
    for k in (0, 2):
        scores = b.scores.copy()
        scores[b.labels[:, k] == 1, k] = 1.0
        columns = gather(a, replace(b, scores=scores)).columns
        x = normal((a, b))[0][a.labels[:, k] == 1, k]
        check(columns, k, {"positives spread": np.log(0.01) - np.log(x.std())})


def test_counts_and_drops_equal_a_direct_computation(sites, evidence):
    parts = evidence.parts
    for k in range(3):
        auc = [
            roc_auc_score(of.labels[labelled, k], of.scores[labelled, k])
            for of in sites
            for labelled in [~np.isnan(of.labels[:, k])]
        ]
        drop, se = auc[0] - auc[1], parts.drop.se[k]
        check(evidence.columns, k, {"auc a": auc[0], "auc b": auc[1], "drop": drop, "tasks": np.log(3)})
        check(evidence.columns, k, {"drop se": np.log(se), "drop z": np.arcsinh(drop / se)})
        for at, of in zip("ab", sites, strict=True):
            counts = {
                f"log positives {at}": (of.labels[:, k] == 1).sum(),
                f"log negatives {at}": (of.labels[:, k] == 0).sum(),
            }
            check(evidence.columns, k, {name: np.log(count) for name, count in counts.items()})


def test_prevalences_equal_a_direct_computation(sites, evidence):
    for k in range(3):
        odds, variance = [], 0.0
        for of in sites:
            yes, no = ((of.labels[:, k] == value).sum() + 0.5 for value in (1, 0))
            odds.append(np.log(yes / no))
            variance += images_per_patient(of) * (1 / yes + 1 / no)
        change = odds[1] - odds[0]
        z = change / np.sqrt(variance)
        check(
            evidence.columns, k, {"log odds a": odds[0], "prevalence": change, "prevalence z": np.arcsinh(z)}
        )
        assert evidence.prevalence_p[k] == pytest.approx(2 * norm.sf(abs(z)))


def test_shares_of_labelled_images_equal_a_direct_computation(sites, evidence):
    for k in range(3):
        for name, of, x in zip("ab", sites, normal(sites), strict=True):
            labelled = ~np.isnan(of.labels[:, k])
            share, gap = labelled.mean(), np.cov(labelled, x[:, k], bias=True)[0, 1]
            se = np.sqrt(images_per_patient(of) * share * (1 - share) * x[:, k].var() / len(x))
            z = np.arcsinh(gap / se) if share < 1 else 0.0
            check(evidence.columns, k, {f"labelled {name}": share, f"verified {name}": z})


@pytest.mark.parametrize("name", ["co-labels ", "case mix "])
def test_the_drop_at_equal_case_mix_equals_a_direct_computation(sites, evidence, name):
    tables = []
    for of in sites:
        c = of.covariates
        squares = (c - np.nanmean(c, axis=0)) ** 2
        tables.append(of.labels if name == "co-labels " else np.column_stack([of.labels, c, squares]))
    weights, columns, parts = odds_of_site(*tables), evidence.columns, evidence.parts
    for k in range(3):
        explained = []
        for at, (of, w, sign) in enumerate(zip(sites, weights, (1, -1), strict=True)):
            labelled = ~np.isnan(of.labels[:, k])
            y, x = of.labels[labelled, k], of.scores[labelled, k]
            explained.append(sign * (roc_auc_score(y, x) - roc_auc_score(y, x, sample_weight=w[labelled])))
            share = min(
                v.sum() ** 2 / (v**2).sum() / v.size for v in (w[labelled][y == 1], w[labelled][y == 0])
            )
            site, se = "ab"[at], parts.auc_se[k, 0, at] * np.sqrt(max(1 / share - 1, 0.02))
            check(columns, k, {f"{name}{site}": explained[at], f"{name}overlap {site}": share})
            check(columns, k, {f"{name}{site} z": np.arcsinh(explained[at] / se)})
        rest = parts.drop.value[k] - np.mean(explained)
        check(columns, k, {f"{name}rest z": np.arcsinh(rest / parts.drop.se[k])})


def test_nearly_equal_weights_have_an_error(sites):
    a, b = sites
    rng = np.random.default_rng(0)
    b = replace(b, labels=a.labels[rng.permutation(90)[:70]])
    evidence = gather(a, b)
    of = evidence.columns["co-labels a"][0], evidence.columns["co-labels overlap a"][0]
    assert 1 / of[1] - 1 < 0.015
    z = of[0] / (evidence.parts.auc_se[0, 0, 0] * np.sqrt(0.02))
    check(evidence.columns, 0, {"co-labels a z": np.arcsinh(z)})


def associations(sites, k):
    """Correlations of covariates with the label, and with the score within classes, as Fisher's z: (site, kind, column)."""
    values = []
    for of, x in zip(sites, normal(sites), strict=True):
        c = np.nan_to_num(of.covariates - np.nanmean(of.covariates, axis=0))
        y = of.labels[:, k]
        label = np.nan_to_num(y - np.nanmean(y))
        score = sum(np.where(y == value, x[:, k] - x[y == value, k].mean(), 0) for value in (0, 1))
        r = [
            [
                (values @ of_column) / np.sqrt((values @ values) * of_column.var() * len(c))
                for of_column in c.T
            ]
            for values in (label, score)
        ]
        values.append(np.arctanh(np.clip(r, -0.999, 0.999)))
    return values


def test_differences_and_associations_of_covariates_equal_a_direct_computation(sites, evidence):
    means = [np.nanmean(of.covariates, axis=0) for of in sites]
    filled = [
        np.where(np.isnan(of.covariates), mean, of.covariates) for of, mean in zip(sites, means, strict=True)
    ]
    apart = np.abs(means[1] - means[0]) / np.sqrt((filled[0].var(axis=0) + filled[1].var(axis=0)) / 2)
    error = np.sqrt(sum(images_per_patient(of) / len(of.labels) for of in sites))
    for k in range(3):
        one, two = associations(sites, k)
        label, score = (np.abs(two - one) / error).max(axis=1)
        check(evidence.columns, k, {"covariates apart": np.log(apart.max() + 0.02)})
        check(evidence.columns, k, {"covariates apart mean": np.log(apart.mean() + 0.02)})
        check(evidence.columns, k, {"covariates and label": np.arcsinh(label)})
        check(evidence.columns, k, {"covariates and score": np.arcsinh(score)})


def test_a_covariate_equal_to_label_or_score_is_almost_fully_associated(sites):
    a, b = sites
    x = normal(sites)[0]
    for k in range(3):
        y = np.where(np.isnan(a.labels[:, k]), np.nanmean(a.labels[:, k]), a.labels[:, k])
        rest = sum(
            np.where(a.labels[:, k] == value, x[:, k] - x[a.labels[:, k] == value, k].mean(), 0)
            for value in (0, 1)
        )
        for name, column in (
            ("covariates and label", y), ("covariates and score", rest), ("covariates and label", -y),
            ("covariates and score", -rest),
        ):  # fmt: skip
            same = replace(a, covariates=np.column_stack([column, column]))
            one, two = associations((same, b), k)
            error = np.sqrt(sum(images_per_patient(of) / len(of.labels) for of in sites))
            z = (np.abs(two - one) / error).max(axis=1)[int(name.endswith("score"))]
            check(gather(same, b).columns, k, {name: np.arcsinh(z)})


def together(sites, k):
    """Fisher's z of both networks' scores among negatives of each site, and its variance."""
    values = []
    for of, x, y in zip(sites, normal(sites), normal(sites, "witness"), strict=True):
        own = of.labels[:, k] == 0
        r = np.clip(np.corrcoef(x[own, k], y[own, k])[0, 1], -0.999, 0.999)
        values.append((np.arctanh(r), images_per_patient(of) / max(own.sum(), 4)))
    return values


def test_evidence_of_a_witness_equals_a_direct_computation(sites, evidence):
    parts = evidence.parts
    for k in range(3):
        for name, part in (("intrinsic", parts.intrinsic), ("transfer", parts.transfer)):
            z = np.arcsinh(part.value[k] / part.se[k])
            check(evidence.columns, k, {f"witness {name}": part.value[k], f"witness {name} z": z})
        for name, of in zip("ab", sites, strict=True):
            labelled = ~np.isnan(of.labels[:, k])
            auc = roc_auc_score(of.labels[labelled, k], of.witness[labelled, k])
            check(evidence.columns, k, {f"witness auc {name}": auc})
        (one, v_one), (two, v_two) = together(sites, k)
        check(evidence.columns, k, {"witness together a": one, "witness together": two - one})
        check(evidence.columns, k, {"witness together z": np.arcsinh((two - one) / np.sqrt(v_one + v_two))})


def test_few_negatives_give_weak_evidence_and_a_network_agrees_with_itself(sites):
    a, b = sites
    few = np.r_[np.flatnonzero(b.labels[:, 1] == 1), np.flatnonzero(b.labels[:, 1] == 0)[[0, 9, 20]]]
    b = Site(*(of[few] for of in (b.labels, b.scores, np.arange(70), b.witness, b.covariates)))
    for sign in (1, -1):
        a = replace(a, witness=sign * a.scores)
        (one, v_one), (two, v_two) = together((a, b), 1)
        assert one == pytest.approx(sign * np.arctanh(0.999))
        columns = gather(a, b).columns
        check(columns, 1, {"witness together a": one, "witness together": two - one})
        check(columns, 1, {"witness together z": np.arcsinh((two - one) / np.sqrt(v_one + v_two))})


def test_evidence_that_a_finding_lacks_may_exist_for_others(sites):
    a, b = sites
    labels = b.labels.copy()
    positive = np.flatnonzero(labels[:, 0] == 1)
    labels[positive[5:], 0] = 0  # too few to ask whether scores mean the same
    columns = gather(a, replace(b, labels=labels)).columns
    own = columns["witness meaning"]
    assert np.isnan(own).tolist() == [True, False, False]
    check(columns, 0, {"others' witness meaning": own[1:].mean()})
    check(columns, 0, {"others' size of witness meaning": np.sqrt((own[1:] ** 2).mean())})
    assert np.isnan(columns["others' witness meaning"][1:]).all()


def test_the_number_of_findings_counts_a_single_one(sites):
    alone = [replace(of, labels=of.labels[:, :1], scores=of.scores[:, :1], witness=None) for of in sites]
    assert gather(*alone).columns["tasks"].tolist() == [0]


def test_evidence_of_meaning_is_a_normal_deviate_and_that_of_images_uses_all_findings(sites, evidence):
    for k in range(3):
        check(evidence.columns, k, {"witness meaning": np.arcsinh(norm.isf(evidence.meaning_p[k]))})
    assert evidence.images_all_p == pytest.approx(min(1, 3 * min(evidence.images_p)))
    same = gather(sites[0], replace(sites[0], patients=sites[0].patients + 5000))
    assert same.images_all_p == 1
    np.testing.assert_allclose(same.columns["witness meaning"], np.arcsinh(norm.isf(1 - 1e-12)))


def test_evidence_missing_at_one_site_is_missing(sites):
    a, b = sites
    for one, two in ((a, replace(b, witness=None)), (replace(a, witness=None), b)):
        assert not gather(one, two).witness
        assert not [name for name in gather(one, two).columns if "witness" in name]
    for one, two in ((a, replace(b, covariates=None)), (replace(a, covariates=None), b)):
        assert not gather(one, two).covariates
        assert not [name for name in gather(one, two).columns if "case mix" in name or "covariates" in name]


def test_evidence_beside_one_of_two_findings_is_that_of_the_other(sites):
    two = [replace(of, labels=of.labels[:, :2], scores=of.scores[:, :2], witness=None) for of in sites]
    columns = gather(*two).columns
    for name in [name for name in BESIDE if name in columns]:
        for k in range(2):
            check(columns, k, {f"others' {name}": columns[name][1 - k]})
            check(columns, k, {f"others' size of {name}": abs(columns[name][1 - k])})
    assert [name for name in columns if name.startswith("co-labels")]


def test_sites_without_overlap_give_no_evidence(sites):
    a, b = sites
    none = gather(a, replace(b, labels=np.zeros_like(b.labels)))
    assert none.tasks.size == 0
    assert np.isnan(none.images_all_p)


def test_the_rarer_class_is_counted_by_patients(sites, evidence):
    for k in range(3):
        counts = [
            len(set(of.patients[of.labels[:, k] == value].tolist())) for of in sites for value in (0, 1)
        ]
        assert evidence.fewest[k] == min(counts)


def test_an_extreme_p_value_is_limited_by_its_logarithm():
    z = np.sinh(_as_z(np.array([0.0, 1e-301, 0.025, 0.5, 1.0])))
    assert z == pytest.approx([37.0471, 37.0471, 1.95996, 0.0, -7.0345], abs=1e-3)
