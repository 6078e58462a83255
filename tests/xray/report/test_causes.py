"""Verdicts on models from elsewhere as people read them: odds and shares where they mean something, a reason where not."""

import pandas as pd
import pytest

from tests.xray.report.reading import cell
from xray.report import answer_text, causes, verdict_grid
from xray.report.answer import FAILS, SPOKEN, VERDICTS, WORKS, Answer, Row, answer
from xray.report.parts.causes import as_grid
from xray.report.parts.causes import causes as part


def row(task: str, site: str, verdict: str, drop: float, **other: object) -> dict[str, object]:
    odds = {f"probability_{cause}": 0.02 for cause in causes.CAUSES}
    odds |= {f"probability_{cause}": 0.93 for cause in verdict.split(" + ") if cause in causes.CAUSES}
    sizes = {"": 0.01, "_lower": -0.01, "_upper": 0.03}
    shares = {f"share_{cause}{end}": size for cause in causes.CAUSES for end, size in sizes.items()}
    return {
        **odds, **shares, "share_label": 0.04, "trained_on": "vendor", "train_dataset": "nih", "test_dataset": site,
        "task": task, "at_home": True, "auc_a": 0.9, "auc_b": 0.9 - drop, "auc_drop": drop, "drop_lower": drop - 0.03,
        "drop_upper": drop + 0.03, "alike": True, "loss_ratio": 9.0, "evidence": "scores and labels", "verdict": verdict,
        "basis": "label: the drop", "assumption": "what it rests on", "resolve": None, "reason": None, "n_pos_a": 120,
        "n_pos_b": 95, "warning": None, **other,
    }  # fmt: skip


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        [
            row("Mass", "ours", "label", 0.15),
            row("Edema", "ours", "image + population", 0.2),
            row("Hernia", "ours", "none", 0.0),
            row("Nodule", "ours", "cannot tell", 0.05, resolve="read 200 again"),
            row("Fibrosis", "ours", "cannot tell", 0.1, reason="unlike the simulated cases", alike=False),
        ]
    )


def test_a_sentence_gives_odds_shares_likeness_evidence_and_the_next_step(frame):
    (mass,) = [sentence for sentence in causes.findings(frame) if sentence.startswith("Mass")]
    assert mass == (
        "Mass, vendor, nih to ours: drop 0.15 (0.12 to 0.18). Verdict: label (label: the drop). P(image) 0.02, "
        "P(population) 0.02, P(prevalence) 0.02, P(label) 0.93. Shares of the drop: label 0.04 (−0.01 to 0.03), image 0.01 "
        "(−0.01 to 0.03), population 0.01 (−0.01 to 0.03), prevalence 0.01 (−0.01 to 0.03). Like the simulated cases: yes. "
        "From scores and labels."
    )


def test_named_causes_come_first_and_quiet_findings_share_one_line(frame):
    sentences = causes.findings(frame)
    assert [text.split()[0].rstrip(",") for text in sentences[:3]] == ["Edema", "Mass", "Nodule"]
    assert "Next: read 200 again." in sentences[2]
    assert sentences[3] == "No cause is likely: Hernia (vendor, nih to ours)."
    assert sentences[4] == "No verdict, unlike the simulated cases: Fibrosis (vendor, nih to ours)."


def test_meaningless_probabilities_are_not_shown(frame):
    unlike = frame.iloc[[4]]
    assert "P(" not in " ".join(causes.findings(unlike))
    (table,) = causes.tables(unlike)
    (_, entries) = table.rows[0]
    assert [entry.text for entry in entries[2:7]] == ["–", "–", "–", "–", "no"]
    assert "P(" not in part(unlike).text


def test_a_share_whose_interval_is_wider_than_all_of_auc_is_not_shown(frame):
    wide = frame.iloc[[0]].assign(share_label_lower=-0.5, share_label_upper=0.51)
    (sentence,) = causes.findings(wide)
    assert "Shares of the drop: can't be told" in sentence
    assert "P(label) 0.93" in sentence
    assert "−0.50" not in sentence
    (table,) = causes.tables(wide)
    entries = table.rows[0][1]
    assert entries[2].detail == ("0.01 of AUC", "−0.01 to 0.03")
    assert entries[5].detail == (causes.UNMEASURED,)
    narrow = frame.iloc[[0]].assign(share_label_lower=-0.5, share_label_upper=0.5)
    assert "label 0.04 (−0.50 to 0.50)" in causes.findings(narrow)[0]


def test_reliability_and_loss_ratio_are_shown_beside_the_odds(frame):
    about = part(frame).about
    assert ".80 for population" in about
    assert "from a probability of 0.90 on and ruled out below 0.10" in about
    assert "0.75 on and ruled out below 0.25" in part(frame.assign(loss_ratio=3.0)).about


def test_the_grid_has_a_colour_letter_and_name_for_patients(frame):
    figure = verdict_grid.draw(as_grid(frame))
    image, population = (verdict_grid.COLOURS[cause] for cause in ("image", "population"))
    mark = cell(figure, "Edema", "nih", "ours")
    assert (mark.fills, mark.lines) == ([image, population], ["IC", ".20"])
    texts = [text.get_text() for text in figure.texts]
    assert "C  patients (case mix)" in texts
    assert "reference" in texts
    assert len({*verdict_grid.COLOURS.values(), *verdict_grid.PALE.values(), verdict_grid.BETTER}) == 9


def test_several_models_have_a_row_each(frame):
    both = pd.concat([frame, frame.assign(trained_on="other", verdict="none")], ignore_index=True)
    figure = verdict_grid.draw(as_grid(both))
    assert cell(figure, "Mass", "vendor, nih", "ours").lines == ["L", ".15"]
    assert cell(figure, "Mass", "other, nih", "ours").lines == ["✓", ".15"]
    mass = next(axes for axes in figure.axes if axes.get_label() == "Mass")
    (homes,) = [collection for collection in mass.collections if collection.get_gid() == "home"]
    assert {tuple(path.get_extents().p0) for path in homes.get_paths()} == {(0.0, 0.0), (0.0, 1.0)}, (
        "nih, in both rows"
    )
    assert "no verdict" not in [text.get_text() for text in figure.texts]


def answer_of(frame: pd.DataFrame, auc: float = 0.75) -> Answer:
    performance = [
        {"trained_on": "vendor", "test_dataset": site, "task": task, "seed": None, "n": 900, "n_pos": 95, "auc": value,
         "lower": value - 0.02, "upper": value + 0.02, "reason": None, "warning": None, "foreign": True}
        for task in frame["task"] for site, value in (("nih", 0.9), ("ours", auc))
    ]  # fmt: skip
    return answer(pd.DataFrame(performance), pd.DataFrame(), (), frame)


def test_a_loss_against_the_reference_fails_and_names_the_cause(frame):
    answer = answer_of(frame.iloc[[0]])
    assert answer.cells[Row("Mass"), "ours"].state == FAILS
    assert answer.failures[0].endswith(
        "To blame: labels that mean something else (the verdict for 1 of 1; P(image) 0.02, P(population) 0.02, "
        "P(prevalence) 0.02, P(label) 0.93)."
    )
    assert answer_of(frame.iloc[[0]].assign(at_home=False)).cells[Row("Mass"), "ours"].state == WORKS, (
        "any other site is no home"
    )


def test_an_undecided_cause_shows_the_odds_or_the_reason(frame):
    open_one = answer_of(frame.iloc[[3]].assign(drop_lower=0.01), 0.5).failures[0]
    assert "can't tell (P(image) 0.02" in open_one
    assert open_one.endswith("it would be settled by: read 200 again.")
    unlike = answer_of(frame.iloc[[4]].assign(basis="the case is unlike"), 0.5).failures[0]
    assert "can't tell (the case is unlike)" in unlike


def test_the_terminal_has_the_first_verdicts_and_counts_the_others(frame):
    rows = pd.concat([frame.iloc[[0]].assign(task=f"T{k}") for k in range(SPOKEN + 3)], ignore_index=True)
    text = answer_text.terminal(answer_of(rows))
    assert VERDICTS in text
    assert text.count("Like the simulated cases") == SPOKEN
    assert "3 more are on the page." in text
    assert answer_text.markdown(answer_of(rows), "t", "q").count("Like the simulated cases") == SPOKEN + 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "< 0.01"),
        (0.0049, "< 0.01"),
        (0.0051, "0.01"),
        (0.5, "0.50"),
        (0.9949, "0.99"),
        (0.9951, "> 0.99"),
        (None, "–"),
    ],
)
def test_no_probability_is_shown_as_certain(value, text):
    assert causes.probability(value) == text
