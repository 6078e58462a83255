import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from xray.data.protocol import load_protocol
from xray.data.selection import select
from xray.data.sources.base import SourceTable, keys_by_name
from xray.data.split import PARTS, parts, patient_parts, random_split, torch_permutation, validation_cut
from xray.tasks import TASKS

PAPER, CORRECTED = load_protocol("paper"), load_protocol("corrected")


def test_the_permutation_equals_a_recorded_one_of_torch() -> None:
    assert torch_permutation(10, 0).tolist() == [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 1695, 30805, 64534])
def test_the_random_split_equals_torchs(n: int) -> None:
    torch = pytest.importorskip("torch")
    for seed in (0, 1, 12345):
        torch.manual_seed(seed)
        expected = torch.randperm(n).numpy()
        np.testing.assert_array_equal(torch_permutation(n, seed), expected)
    if n < 2:  # torch reads lengths that add up to 1 as fractions
        return
    torch.manual_seed(0)
    halves = torch.utils.data.random_split(range(n), [int(0.5 * n), n - int(0.5 * n)])
    for own, half in zip(random_split(n, 0.5, 0), halves, strict=True):
        assert own.tolist() == list(half.indices)


def table_of(patients: list[str | None]) -> SourceTable:
    rows = pd.DataFrame({"image": [f"i{k}" for k in range(len(patients))], "view": "PA"})
    rows["patient"] = pd.Series(patients, dtype=object)
    shape = (len(patients), len(TASKS))
    return SourceTable(rows, np.zeros(shape, np.int8), np.full(shape, None, dtype=object))


def test_the_paper_protocol_halves_the_images_and_each_run_splits_off_its_validation() -> None:
    table = table_of([f"{k:03d}" for k in range(101)])
    selection = select(table, "nih", PAPER)
    cut = parts(selection, table, "nih-cc", PAPER)
    assert [len(cut[part]) for part in PARTS] == [50, 0, 51]
    assert sorted([*cut["train"], *cut["test"]]) == list(range(101))
    fit, validate = validation_cut(50, PAPER, run_seed=1)
    assert (len(fit), len(validate)) == (40, 10)
    assert fit.tolist() != validation_cut(50, PAPER, run_seed=2)[0].tolist()


names = st.lists(st.one_of(st.none(), st.text(max_size=6)), max_size=40)


@given(names, names, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_a_patient_stays_in_its_part_when_data_are_added(
    before: list[str | None], added: list[str | None], at: int
) -> None:
    def cut(patients: list[str | None], images: list[str]) -> list[int]:
        names = pd.Series(patients, dtype=object)
        return patient_parts(
            keys_by_name(names, pd.Series(images, dtype=object), "site"), CORRECTED.split
        ).tolist()

    images = [f"old{k}" for k in range(len(before))]
    more = [f"new{k}" for k in range(len(added))]
    position = min(at, len(before))
    joined = cut(before[:position] + added + before[position:], images[:position] + more + images[position:])
    old = cut(before, images)
    assert joined[:position] + joined[position + len(added) :] == old
    part_of: dict[str, int] = {}
    for patient, part in zip(before, old, strict=True):
        if patient is not None:
            assert part_of.setdefault(patient, part) == part


def test_parts_have_the_requested_fractions() -> None:
    patients = [str(k) for k in range(20_000)]
    table = table_of(patients)
    cut = parts(select(table, "mine", CORRECTED), table, "site", CORRECTED)
    for part, fraction in zip(PARTS, (0.4, 0.1, 0.5), strict=True):
        assert abs(len(cut[part]) / 20_000 - fraction) < 0.015
    assert sorted(np.concatenate([cut[part] for part in PARTS]).tolist()) == list(range(20_000))


def test_another_site_or_seed_splits_differently_and_datasets_of_a_site_agree() -> None:
    names = pd.Series([str(k) for k in range(500)], dtype=object)
    one = patient_parts(keys_by_name(names, names, "nih-cc"), CORRECTED.split)
    assert (one != patient_parts(keys_by_name(names, names, "stanford"), CORRECTED.split)).any()
    images = pd.Series([f"google {k}" for k in range(500)], dtype=object)
    np.testing.assert_array_equal(one, patient_parts(keys_by_name(names, images, "nih-cc"), CORRECTED.split))


def test_an_unknown_patient_differs_from_a_patient_named_like_the_image() -> None:
    image = pd.Series([str(k) for k in range(200)], dtype=object)
    nobody = pd.Series([None] * 200, dtype=object)
    unknown = patient_parts(keys_by_name(nobody, image, "site"), CORRECTED.split)
    assert len(set(unknown.tolist())) == 3
    assert (unknown != patient_parts(keys_by_name(image, image, "site"), CORRECTED.split)).any()
