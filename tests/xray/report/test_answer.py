"""The answer first: which cells work, fail or can't be said, by the stated limits; the sentences that go with them."""

import math

import pandas as pd
import pytest

from xray.report import answer_text, limits
from xray.report.answer import CANNOT_SAY, FAILS, WORKS, Answer, Row, answer
from xray.report.verdicts import SHIFT

SITES = ("north", "south", "west")


def row(model: str, site: str, auc: float, half: float = 0.03, **other: object) -> dict[str, object]:
    values = {
        "trained_on": model, "test_dataset": site, "task": "Mass", "seed": math.nan, "n": 900, "n_pos": 120, "auc": auc,
        "lower": auc - half, "upper": auc + half, "reason": None, "warning": None, "foreign": False,
    }  # fmt: skip
    return {**values, **other}


def verdict(model: str, site: str, loss: float, half: float = 0.04, **other: object) -> dict[str, object]:
    values = {
        **dict.fromkeys(SHIFT), "train_dataset": model, "test_dataset": site, "task": "Mass", "verdict": "none",
        "basis": "because", "auc_drop": loss, "drop_lower": loss - half, "drop_upper": loss + half,
    }  # fmt: skip
    return {**values, **other}


def answer_of(rows: list[dict[str, object]], verdicts: list[dict[str, object]] | None = None) -> Answer:
    return answer(pd.DataFrame(rows), pd.DataFrame(verdicts or [], columns=list(SHIFT)))


def cell(**other: object) -> tuple[str, str]:
    """State and detail of a cell to which one model was brought: its row, and its loss with half of the interval."""
    loss, half = other.pop("loss", None), other.pop("loss_half", 0.04)
    home = row("north", "north", 0.9)
    brought = row("north", "south", **{"auc": 0.9, **other})  # type: ignore[arg-type]
    rows = [] if loss is None else [verdict("north", "south", loss, half)]  # type: ignore[arg-type]
    first_screen = answer_of([home, brought], rows).cells[Row("Mass"), "south"]
    return first_screen.state, first_screen.detail


@pytest.mark.parametrize(
    ("limits_of_cell", "state"),
    [
        ({"auc": 0.9}, WORKS),
        ({"auc": 0.731}, WORKS),
        ({"auc": 0.729}, CANNOT_SAY),
        ({"auc": 0.671}, CANNOT_SAY),
        ({"auc": 0.669}, FAILS),
        ({"loss": 0.02}, WORKS),
        ({"loss": 0.061}, CANNOT_SAY),
        ({"loss": 0.059}, WORKS),
        ({"loss": 0.099}, CANNOT_SAY),
        ({"loss": 0.101}, FAILS),
        ({"loss": 0.12, "loss_half": 0.13}, CANNOT_SAY),
        ({"n_pos": 10}, WORKS),
        ({"n_pos": 9}, CANNOT_SAY),
        ({"n": 129}, CANNOT_SAY),
        ({"warning": "12 patients of south"}, CANNOT_SAY),
        ({"auc": math.nan, "reason": "not labelled", "n_pos": 0}, CANNOT_SAY),
    ],
)
def test_the_state_of_a_cell_follows_from_its_limits(limits_of_cell: dict[str, object], state: str) -> None:
    assert cell(**limits_of_cell)[0] == state


def test_a_cell_that_cannot_be_judged_says_why() -> None:
    assert cell(n_pos=9)[1] == "fewer than 10 of a class"
    assert cell(warning="12 patients of south")[1] == "training saw the test"
    assert cell(auc=math.nan, reason="not labelled")[1] == "not labelled"


def three(*aucs: float) -> Answer:
    """Three models of several sites together, trained here, at one site that has none of its own."""
    return answer_of([row(f"all-but-{i}", "south", auc) for i, auc in enumerate(aucs)])


def test_a_cell_takes_the_majority_and_counts_it() -> None:
    for aucs, state, detail in (
        ((0.9, 0.9, 0.5), WORKS, "2 of 3"),
        ((0.9, 0.5, 0.5), FAILS, "2 of 3"),
        ((0.9, 0.5, 0.7), CANNOT_SAY, "1 works, 1 fails of 3; interval crosses a limit"),
        ((0.9, 0.9, math.nan), WORKS, "2 of 2"),
        ((0.9, 0.7), CANNOT_SAY, "1 works of 2; interval crosses a limit"),
    ):
        first_screen = three(*aucs).cells[Row("Mass"), "south"]
        assert (first_screen.state, first_screen.detail) == (state, detail)


def test_failing_findings_come_first_and_undecided_ones_next() -> None:
    aucs = {"Effusion": (0.9, 0.9), "Edema": (0.7, 0.9), "Mass": (0.9, 0.5), "Nodule": (0.5, 0.5)}
    rows = [
        row("bought", site, auc, task=task, foreign=True)
        for task, both in aucs.items()
        for site, auc in zip(SITES, both, strict=False)
    ]
    assert [line.task for line in answer_of(rows).rows] == ["Nodule", "Mass", "Edema", "Effusion"]


def test_models_of_the_same_or_several_sites_count_only_without_others() -> None:
    first_screen = answer_of(
        [
            row("south", "south", 0.5),
            row("all", "south", 0.5),
            row("north", "south", 0.9),
            row("north", "north", 0.9),
        ]
    )
    assert [model.model for model in first_screen.cells[Row("Mass"), "south"].models] == ["north"]
    first_screen = answer_of([row("south", "south", 0.5), row("all-but-south", "south", 0.9)])
    assert first_screen.cells[Row("Mass"), "south"].state == WORKS


def test_sentences_take_their_numbers_from_the_rows() -> None:
    rows = [row("north", "north", 0.93), row("west", "west", 0.91)]
    rows += [row("north", "south", 0.61), row("west", "south", 0.58)]
    verdicts = [
        verdict("north", "south", 0.32, verdict="label", basis="the scores mean something else"),
        verdict("west", "south", 0.33, verdict="label", basis="the scores mean something else"),
    ]
    first_screen = answer_of(rows, verdicts)
    assert (
        first_screen.headline
        == "Models from elsewhere fail at south (Mass): 1 of 1 cell; for 0 it can't be said."
    )
    (sentence,) = first_screen.failures
    assert sentence == (
        "Mass fails at south: both models (north and west) with AUC 0.58 to 0.61, at home 0.91 to 0.93. To blame: labels "
        "that mean something else (the verdict for 2 of 2; the scores mean something else)."
    )


@pytest.mark.parametrize(
    ("verdict_row", "ending"),
    [
        ({"verdict": "image"}, "To blame: other images (the verdict for 1 of 1; because)."),
        (
            {"verdict": "image + prevalence"},
            "To blame: other images and another prevalence (the verdict for 1 of 1; because).",
        ),
        (
            {"verdict": "cannot tell", "resolve": "more positives"},
            "Why, the data can't tell; it would be settled by: more positives.",
        ),
        (
            {
                "verdict": "cannot tell",
                "resolve": "have images of B labelled by A's rules, or send A's through B's pipeline",
            },
            "settled by: have images of south labelled by north's rules, or send north's through south's pipeline.",
        ),
        ({"verdict": "none"}, "No cause: nothing is shown to have changed from home."),
    ],
)
def test_the_named_cause_is_that_of_the_verdict(verdict_row: dict[str, object], ending: str) -> None:
    first_screen = answer_of(
        [row("north", "north", 0.9), row("north", "south", 0.5)],
        [verdict("north", "south", 0.4, **verdict_row)],
    )
    assert first_screen.failures[0].endswith(ending)


def test_without_a_verdict_the_answer_gives_the_reason_and_what_would_settle_it() -> None:
    (bought,) = answer_of([row("bought-0", "south", 0.5, foreign=True)]).failures
    assert (
        "can't tell (bought-0 was scored at south only); it would be settled by: scores and labels of a second"
        in bought
    )
    own = answer_of([row("north", "north", 0.9), row("north", "south", 0.5)]).failures[0]
    assert "can't tell (south has no model of its own, and a verdict compares both sites' own models)" in own
    assert "settled by: a model of the site's own" in own


def test_the_largest_loss_comes_first_and_a_single_failure_is_not_hidden() -> None:
    rows = [row(site, site, 0.95, task=task) for site in SITES for task in ("Mass", "Edema")]
    rows += [row(a, "south", 0.6, task="Mass") for a in ("north", "west")]
    rows += [row(a, "south", 0.4, task="Edema") for a in ("north", "west")]
    rows += [row("north", "west", 0.9), row("south", "west", 0.4), row("all", "west", 0.9)]
    rows += [row("bought", "west", 0.9, foreign=True)]
    first_screen = answer_of(rows)
    assert [text.split()[0] for text in first_screen.failures] == ["Edema", "Mass"]
    assert any(text.startswith("south's model alone fails: Mass at west") for text in first_screen.unsure)


def test_warnings_name_leaks_rare_classes_and_files() -> None:
    rows = [row("north", "south", 0.9, warning="12 patients of south"), row("north", "west", 0.9, n_pos=4)]
    first_screen = answer(pd.DataFrame(rows), pd.DataFrame(columns=list(SHIFT)), ["south: 3 files"])
    leak, few, files = first_screen.warnings
    assert "12 patients of south" in leak
    assert few == "Fewer than 10 of a class at west: Mass (4 positive of 900)."
    assert files == "south: 3 files"


def test_without_results_from_other_sites_the_answer_says_that_nothing_can_be_said() -> None:
    first_screen = answer_of([row("north", "north", 0.9)])
    assert first_screen.headline.startswith("Nothing can be said")
    empty = answer(pd.DataFrame(), pd.DataFrame())
    assert empty.cells == {}
    assert "Nothing can be said" in answer_text.terminal(empty)


def test_text_holds_every_cell_and_sentence_and_fits_a_terminal() -> None:
    first_screen = three(0.5, 0.5, 0.9)
    for text in (answer_text.terminal(first_screen), answer_text.markdown(first_screen, "A | title", "Why?")):
        plain = " ".join(text.replace("\\", "").split())
        for sentence in (
            first_screen.headline,
            *first_screen.failures,
            *first_screen.unsure,
            *first_screen.warnings,
            *limits.stated(),
            *limits.reasons(),
        ):
            assert sentence in plain, sentence
        assert "fails" in plain
    assert max(map(len, answer_text.terminal(first_screen).splitlines())) <= 100
    assert answer_text.markdown(first_screen, "A | title", "Why?").startswith("# A \\| title")


def test_every_threshold_of_the_answer_has_a_documented_reason() -> None:
    for limit in (limits.USEFUL, limits.LOST, limits.FEW, limits.MOST):
        assert any(limit.reason in sentence for sentence in limits.reasons())


def test_each_model_from_elsewhere_has_a_row_of_its_own():
    """Two bought models are two questions: the majority of them would answer neither."""
    rows = [
        row("good", "south", 0.9, foreign=True),
        row("bad", "south", 0.6, foreign=True),
        row("good", "south", math.nan, foreign=True, task="Edema", reason="not trained"),
        row("bad", "south", math.nan, foreign=True, task="Edema", reason="not trained"),
    ]
    first_screen = answer_of(rows)
    assert [line.name for line in first_screen.rows] == ["Mass, good", "Mass, bad"]
    assert {line.model: first_screen.cells[line, "south"].state for line in first_screen.rows} == {
        "good": WORKS,
        "bad": FAILS,
    }
    assert first_screen.headline.startswith("Models from elsewhere fail at south (Mass, bad): 1 of 2 cells")
    assert first_screen.failures[0].startswith("Mass fails at south: bad with AUC 0.60")
    assert first_screen.unsure == ("No AUC at any site, not trained: Edema.",)


def test_models_trained_here_keep_one_row_beside_a_bought_one():
    rows = [row("north", "south", 0.9), row("east", "south", 0.9), row("vendor", "south", 0.6, foreign=True)]
    rows += [row("north", "north", 0.9), row("east", "east", 0.9)]
    first_screen = answer_of(rows)
    assert [line.name for line in first_screen.rows] == ["Mass", "Mass, vendor"]
    assert (
        first_screen.cells[Row("Mass"), "south"].state,
        first_screen.cells[Row("Mass"), "south"].detail,
    ) == (
        WORKS,
        "2 of 2",
    )
    assert first_screen.cells[Row("Mass", "vendor"), "south"].state == FAILS


def test_one_bought_model_needs_no_name_in_its_rows():
    assert [line.name for line in answer_of([row("vendor", "south", 0.6, foreign=True)]).rows] == ["Mass"]
