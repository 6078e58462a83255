"""Findings by name: one table of synonyms, and what can be declared."""

import numpy as np
import pytest

from xray.errors import StudyError
from xray.findings import column_bytes, columns, declare, in_order, match, name_of, standard, synonyms
from xray.names import near
from xray.tasks import TASKS


@pytest.mark.parametrize(
    ("word", "finding"),
    [
        ("Pleural Effusion", "Effusion"),
        ("pleural_effusion", "Effusion"),
        ("EFFUSION", "Effusion"),
        ("pleural thickening", "Pleural_Thickening"),
        ("TB", "Tuberculosis"),
        ("covid19", "COVID-19"),
        ("support devices", "Support Devices"),
        ("Kerley lines", None),
        ("", None),
    ],
)
def test_a_word_means_one_finding(word: str, finding: str | None) -> None:
    assert name_of(word) == finding


def test_own_words_take_precedence_over_the_table() -> None:
    assert name_of("derrame pleural", {"Derrame Pleural": "Effusion"}) == "Effusion"
    assert name_of("Infiltrate", {"infiltrate": "Consolidation"}) == "Consolidation"


def test_the_table_has_every_default_name_and_no_word_twice() -> None:
    assert {name_of(task) for task in TASKS} == set(TASKS)
    assert all(name_of(finding) == finding for finding in synonyms().values())


def test_own_findings_are_matched_in_any_spelling() -> None:
    among = ("Kerley lines", "Effusion")
    assert [match(word, among) for word in ("kerley_lines", "Pleural effusion", "Mass")] == [
        "Kerley lines",
        "Effusion",
        None,
    ]


def test_declared_findings_keep_their_order_and_their_words() -> None:
    assert declare(["Kerley lines", "TB", "pleural effusion"], "here", StudyError) == (
        "Kerley lines",
        "Tuberculosis",
        "Effusion",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["Pneumotorax"], "did you mean 'Pneumothorax'"),
        (["Tubercolosis"], "did you mean 'Tuberculosis'"),
        (["Effusion", "Pleural Effusion"], "'Effusion' is declared twice"),
        (["Kerley lines", "kerley-lines"], "is declared twice"),
        (["Nodule/Mass: any"], "none of"),
        (["--"], "needs letters"),
        (["a\nb"], "control characters"),
        (["k" * 61], "at most 60 letters"),
    ],
)
def test_misspelt_and_invalid_names_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        declare(words, "here", StudyError)


def test_an_unrelated_word_has_no_near_match() -> None:
    assert near("Aortic calcification", synonyms().values()) is None


def test_columns_are_matched_by_name() -> None:
    matrix = np.array([[1, 2], [3, 4]], np.float32)
    np.testing.assert_array_equal(
        columns(matrix, ("A", "B"), ("B", "C", "A"), np.nan), [[2, np.nan, 1], [4, np.nan, 3]]
    )


def test_the_default_list_comes_first() -> None:
    assert in_order(["Own", "Mass", "Effusion"]) == ("Effusion", "Mass", "Own")
    assert standard(["Own", "Mass"]) == (*TASKS, "Own")


def test_a_hash_ignores_order_and_findings_without_labels() -> None:
    labels = np.array([[1, 0], [0, 1]], np.int8)
    whole = columns(labels, ("Mass", "Own"), (*TASKS, "Own"), -1)
    assert column_bytes(labels, ("Mass", "Own"), -1) == column_bytes(whole, (*TASKS, "Own"), -1)
    assert column_bytes(labels[:, ::-1], ("Own", "Mass"), -1) == column_bytes(labels, ("Mass", "Own"), -1)
    assert column_bytes(labels, ("Mass", "Own"), -1) != column_bytes(labels, ("Mass", "Other"), -1)
    default = whole[:, : len(TASKS)]
    blank = columns(default, TASKS, (*TASKS, "Own"), -1)
    assert column_bytes(blank, (*TASKS, "Own"), -1) == np.ascontiguousarray(default).tobytes()
