from importlib import resources

import pandas as pd
import pytest

from xray.data.labels import rules as module
from xray.data.labels.rules import (
    RULES,
    SILENCE,
    UNKNOWN,
    all_rules,
    apply_rules,
    labelled_tasks,
    listed_terms,
    rules,
)
from xray.data.sources.base import NEGATIVE, NOT_MENTIONED, POSITIVE, UNCERTAIN
from xray.errors import DataError
from xray.tasks import TASK_INDEX

LABELLERS = [
    *("nih", "padchest", "chexpert", "mimic_ch", "mimic_nb", "openi", "google", "rsna"),
    *("vindr", "brax", "chexpert_readers", "mimic_test", "siim", "montgomery", "shenzhen", "tbx11k"),
]


@pytest.mark.parametrize("labeller", LABELLERS)
def test_every_rule_names_its_source(labeller: str) -> None:
    assert all_rules(labeller)
    for rule in all_rules(labeller):
        assert rule.column
        assert rule.source
        assert rule.protocol in ("", "paper", "corrected")
        assert (rule.task == "") == (rule.rule in ("dropped", "clears all", *SILENCE))
        assert rule.term == rule.term.strip()


@pytest.mark.parametrize(
    ("labeller", "count"),
    [
        ("nih", 14),
        ("padchest", 15),
        ("chexpert", 11),
        ("mimic_nb", 11),
        ("openi", 16),
        ("google", 3),
        ("rsna", 2),
    ],
)
def test_the_number_of_tasks_of_each_labeller_is_that_of_table_a1(labeller: str, count: int) -> None:
    for rule_set in ("paper", "corrected"):
        assert len(labelled_tasks(labeller, rule_set)) == count


def test_an_unknown_labeller_has_no_rules() -> None:
    assert all_rules("a hospital") == ()
    assert all_rules("../labels/nih") == ()


def test_a_term_matches_whole_words_and_not_look_alikes() -> None:
    frame = pd.DataFrame(
        {"Labels": ["['pseudonodule', 'pleural effusion']", "['Nodule ']", '["nodule"]', "['']"]}
    )
    for rule_set, expected in [("paper", [1, 1, 1, 0]), ("corrected", [0, 1, 1, NOT_MENTIONED])]:
        states, terms = apply_rules(frame, rules("padchest", rule_set))
        assert states[:, TASK_INDEX["Nodule"]].tolist() == expected
        assert states[:, TASK_INDEX["Effusion"]].tolist() == [1, 0, 0, expected[3]]
    assert terms[0, TASK_INDEX["Effusion"]] == "pleural effusion"
    assert terms[0, TASK_INDEX["Nodule"]] is None


@pytest.mark.parametrize(
    "labels",
    [
        "['']",
        "[]",
        "['', ]",
        "['Unchanged']",
        "['unchanged', 'suboptimal study']",
        "['exclude']",
        "['exclude', 'nodule']",
    ],
)
def test_a_list_that_names_no_finding_makes_no_finding_negative(labels: str) -> None:
    frame = pd.DataFrame({"Labels": [labels, "['normal']", "['unchanged', 'nodule']"]})
    states, terms = apply_rules(frame, rules("padchest", "corrected"))
    assert (states[0] == NOT_MENTIONED).all()
    assert terms[0].tolist() == [None] * states.shape[1]
    assert (states[1] == NEGATIVE).sum() == 15
    assert states[2, TASK_INDEX["Nodule"]] == POSITIVE
    assert (states[2] == NEGATIVE).sum() == 14


def test_the_papers_rules_make_every_list_without_a_term_negative_as_the_released_code_does() -> None:
    frame = pd.DataFrame({"Labels": ["['']", "['exclude']", "['unchanged']"]})
    states, _ = apply_rules(frame, rules("padchest", "paper"))
    assert (states == NEGATIVE).sum(axis=1).tolist() == [15, 15, 15]


def test_every_term_found_is_named() -> None:
    states, terms = apply_rules(
        pd.DataFrame({"Labels": ["['infiltrates', 'air bronchogram']"]}), rules("padchest", "corrected")
    )
    assert terms[0, TASK_INDEX["Infiltration"]] == "infiltrates, air bronchogram"
    assert states[0, TASK_INDEX["Consolidation"]] == POSITIVE


def test_values_of_cells_become_label_states() -> None:
    columns = {rule.column: [""] * 6 for rule in all_rules("chexpert")}
    frame = pd.DataFrame(columns | {"Edema": ["1.0", "0", "-1.0", "", " 1 ", "maybe"]})
    states, terms = apply_rules(frame, all_rules("chexpert"))
    edema = TASK_INDEX["Edema"]
    assert states[:, edema].tolist() == [POSITIVE, NEGATIVE, UNCERTAIN, NOT_MENTIONED, POSITIVE, UNKNOWN]
    assert terms[:4, edema].tolist() == ["Edema", "Edema", "Edema", None]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("['a b', 'c']", ["a b", "c"]),
        ("[]", []),
        ("['']", []),
        ("Mass|Nodule", ["Mass", "Nodule"]),
        ("No Finding", ["No Finding"]),
        ("", []),
        ("['loc right', , 'c']", ["loc right", "c"]),
    ],
)
def test_a_list_is_split_into_terms(text: str, terms: list[str]) -> None:
    assert listed_terms(text) == terms


def test_an_unknown_rule_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RULES", {key: value for key, value in RULES.items() if key != "equals"})
    all_rules.cache_clear()
    try:
        with pytest.raises(DataError, match=r"google.csv, row 2: .*'equals'"):
            all_rules("google")
    finally:
        all_rules.cache_clear()


def test_rule_files_are_packaged() -> None:
    packaged = {
        file.name for file in resources.files("xray.data.labels").iterdir() if file.name.endswith(".csv")
    }
    assert packaged == {f"{name}.csv" for name in LABELLERS if not name.startswith("mimic_")} | {
        "mimic.csv",
        "mimic_test.csv",
    }
