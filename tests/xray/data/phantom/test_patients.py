from dataclasses import fields

import numpy as np
import pytest
from scipy.stats import binom

from xray.data.phantom.patients import Cases, sample_cases
from xray.data.phantom.sites import FINDINGS, Images, Labelling, PhantomSite
from xray.data.phantom.streams import stream

SITE = PhantomSite("here", prevalence={"Mass": 0.5, "Nodule": 0.0, "Effusion": 1.0, "Emphysema": 0.1})


def arrays(cases: Cases) -> dict[str, np.ndarray]:
    arrays_by_name = {part.name: getattr(cases, part.name) for part in fields(cases) if part.name != "body"}
    return arrays_by_name | {f"body.{name}": value for name, value in vars(cases.body).items()}


def assert_same(first: Cases, second: Cases) -> None:
    for name, value in arrays(first).items():
        np.testing.assert_array_equal(value, arrays(second)[name], err_msg=name)


def test_random_streams_differ_by_each_part_of_their_key():
    names = [
        ("truth", 0, "a", 0, 0),
        ("label", 0, "a", 0, 0),
        ("truth", 1, "a", 0, 0),
        ("truth", 0, "b", 0, 0),
        ("truth", 0, "a", 1, 0),
        ("truth", 0, "a", 0, 1),
    ]
    first = [stream(*name).random() for name in names]
    assert len(set(first)) == len(names)
    assert first == [stream(*name).random() for name in names]


def test_cases_repeat_and_do_not_depend_on_other_patients():
    whole = sample_cases(SITE, range(60), 3)
    assert_same(whole, sample_cases(SITE, range(60), 3))
    rows = slice(*np.searchsorted(whole.patient, [20, 37]))
    assert_same(whole.take(rows), sample_cases(SITE, range(20, 37), 3))
    assert not np.array_equal(whole.centre[:9], sample_cases(SITE, range(60), 4).centre[:9])


def test_cases_do_not_depend_on_images_or_labelling():
    other = PhantomSite(
        "here", Images(gamma=2, ap_fraction=1), SITE.prevalence, Labelling(inverted=("Mass",))
    )
    assert_same(sample_cases(SITE, range(30), 0), sample_cases(other, range(30), 0))


def test_another_prevalence_only_adds_or_removes_its_finding():
    more = PhantomSite("here", prevalence={**SITE.prevalence, "Mass": 0.8})
    few, many = sample_cases(SITE, range(200), 0), sample_cases(more, range(200), 0)
    mass = FINDINGS.index("Mass")
    assert np.all(many.present[few.present[:, mass], mass])
    assert many.present[:, mass].sum() > few.present[:, mass].sum()
    np.testing.assert_array_equal(np.delete(few.present, mass, axis=1), np.delete(many.present, mass, axis=1))
    np.testing.assert_array_equal(few.centre, many.centre)


def test_prevalences_are_those_of_the_site():
    site = PhantomSite("there", prevalence=SITE.prevalence)
    cases = sample_cases(site, range(1500), 1)
    at_first = cases.present[cases.image == 0]
    for index, finding in enumerate(FINDINGS):
        low, high = binom.interval(0.9999, len(at_first), site.prevalence_of(finding))
        assert low <= at_first[:, index].sum() <= high, finding
    later = cases.present[cases.image > 0]
    assert abs(later[:, FINDINGS.index("Mass")].mean() - 0.5) < 0.1


def test_patients_have_one_to_three_images_and_stay_who_they_are():
    cases = sample_cases(SITE, range(1500), 0)
    patients, counts = np.unique(cases.patient, return_counts=True)
    assert len(patients) == 1500
    np.testing.assert_allclose(np.bincount(counts) / 1500, [0, 0.80, 0.15, 0.05], atol=0.04)
    again = np.flatnonzero(cases.image > 0)
    np.testing.assert_array_equal(cases.patient[again], cases.patient[again - 1])
    np.testing.assert_array_equal(cases.image[again], cases.image[again - 1] + 1)
    for name in ("age", "female", "texture"):
        np.testing.assert_array_equal(getattr(cases, name)[again], getattr(cases, name)[again - 1])
    np.testing.assert_array_equal(cases.body.thorax[again], cases.body.thorax[again - 1])
    assert not np.any(cases.body.shift_x[again] == cases.body.shift_x[again - 1])
    mass = cases.present[:, FINDINGS.index("Mass")]
    first = again[cases.image[again] == 1]
    assert 0.88 < np.mean(mass[first] == mass[first - 1]) < 0.97  # kept, or drawn anew at even odds: 0.925


def test_sizes_are_those_of_the_findings():
    cases = sample_cases(SITE, range(300), 0)
    ratio = cases.size_of("Cardiomegaly")
    np.testing.assert_array_equal(ratio > 0.5, cases.present[:, FINDINGS.index("Cardiomegaly")])
    assert ratio.min() > 0.35
    assert ratio.max() < 0.66
    for finding in set(FINDINGS) - {"Cardiomegaly"}:
        np.testing.assert_array_equal(
            cases.size_of(finding) > 0, cases.present[:, FINDINGS.index(finding)], finding
        )
    assert cases.size_of("Mass").max() > cases.size_of("Mass")[cases.size_of("Mass") > 0].min() > 0.07


def test_findings_are_independent_of_one_another():
    present = sample_cases(PhantomSite("there"), range(3000), 5).present.astype(float)
    correlation = np.corrcoef(present, rowvar=False) - np.eye(len(FINDINGS))
    assert np.abs(correlation).max() < 0.08


@pytest.mark.parametrize("name", ["age", "female"])
def test_ages_and_sexes_are_mixed(name):
    values = getattr(sample_cases(SITE, range(400), 0), name)
    if name == "age":
        assert values.min() >= 18
        assert values.max() <= 93
        assert 50 < values.mean() < 61
    else:
        assert 0.4 < values.mean() < 0.6
