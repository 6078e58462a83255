"""Verdicts as people read them: sentences, tables, figure."""

import pandas as pd
import pytest

from tests.xray.report.reading import cell
from xray.errors import AnalysisError
from xray.report import verdict_grid, verdicts
from xray.report.style import GREY, WHITE


@pytest.fixture
def frame() -> pd.DataFrame:
    base = {
        "basis": "why so",
        "assumption": "what it rests on",
        "resolve": None,
        "intrinsic": 0.01,
        "transfer": 0.3,
        "p_adjusted": 0.0004,
        "kappa": None,
        "n_shared": 0,
        "n_pos_a": 120,
        "n_pos_b": 95,
        "drop_lower": 0.25,
        "drop_upper": 0.37,
    }
    rows = [
        ("alpha", "beta", "Mass", "label", 0.31),
        ("beta", "alpha", "Mass", "image + label", 0.41),
        ("alpha", "beta", "Edema", "none", 0.01),
        ("beta", "alpha", "Edema", "cannot tell", 0.05),
    ]
    names = ("train_dataset", "test_dataset", "task", "verdict", "auc_drop")
    return pd.DataFrame([{**base, **dict(zip(names, row, strict=True))} for row in rows])


def test_findings_count_and_name_the_largest_drop_first(frame):
    counts, labels, images = verdicts.findings(frame)
    assert "4 verdicts" in counts
    for text in ("label 1", "image + label 1", "none 1", "cannot tell 1"):
        assert text in counts
    assert labels.startswith(
        "Labels: Mass, beta to alpha, drop 0.41 (0.25 to 0.37); Mass, alpha to beta, drop 0.31"
    )
    assert images == "Images: Mass, beta to alpha, drop 0.41 (0.25 to 0.37)."


def test_there_is_a_table_for_each_training_dataset(frame):
    frame.loc[3, "resolve"] = "test more positives"
    frame.loc[3, "kappa"], frame.loc[3, "n_shared"] = 0.42, 300
    first, second = verdicts.tables(frame)
    assert first.caption.startswith("Trained on alpha")
    assert [head for head, _ in first.rows] == ["beta, Mass", "beta, Edema"]
    verdict, drop, *_, why, note = first.rows[0][1]
    assert (verdict.text, verdict.detail) == ("label", ("p < 0.001",))
    assert (drop.text, drop.detail) == ("0.310", ("0.250 to 0.370", "120 and 95 positive"))
    assert (why.text, note.text) == ("why so", "what it rests on")
    unknown = second.rows[1][1]
    assert unknown[0].kind == "undefined"
    assert unknown[-1].text == "what it rests on; test more positives"
    assert unknown[-2].detail == ("κ of both labellers 0.42 on 300 shared images",)


def test_the_figure_has_a_cell_per_verdict(frame):
    figure = verdict_grid.draw(frame)
    image, label = verdict_grid.COLOURS["image"], verdict_grid.COLOURS["label"]
    for task, row, column, fills, lines in [
        ("Mass", "alpha", "beta", [label], ["L", ".31"]),
        ("Mass", "beta", "alpha", [image, label], ["IL", ".41"]),
        ("Edema", "alpha", "beta", [WHITE], ["✓", ".01"]),
        ("Edema", "beta", "alpha", [GREY], ["?", ".05"]),
        ("Mass", "alpha", "alpha", [], []),
    ]:
        mark = cell(figure, task, row, column)
        assert (mark.fills, mark.lines) == (fills, lines), (task, row, column)


def verdict(frame: pd.DataFrame, **values: object) -> verdict_grid.Record:
    return {**frame.iloc[0].to_dict(), **values}


@pytest.mark.parametrize("cause", ["image", "prevalence", "label"])
def test_a_cause_is_highlighted_only_if_auc_is_lost(frame, cause):
    loss = verdict(frame, verdict=cause, auc_drop=0.3, drop_lower=0.2, drop_upper=0.4)
    assert verdict_grid.fills_of(loss) == [verdict_grid.COLOURS[cause]]
    for drop, low, high in [
        (0.0, -0.01, 0.01),
        (0.05, -0.01, 0.11),
        (0.002, 0.001, 0.003),
        (0.3, None, None),
    ]:
        quiet = verdict(frame, verdict=cause, auc_drop=drop, drop_lower=low, drop_upper=high)
        assert verdict_grid.fills_of(quiet) == [verdict_grid.PALE[cause]], drop
    gain = verdict(frame, verdict=cause, auc_drop=-0.11, drop_lower=-0.17, drop_upper=-0.04)
    assert verdict_grid.fills_of(gain) == [verdict_grid.BETTER]


def test_a_pair_without_a_verdict_looks_different_from_a_good_one(frame):
    figure = verdict_grid.draw(frame[~((frame["task"] == "Edema") & (frame["verdict"] == "cannot tell"))])
    edema = next(axes for axes in figure.axes if axes.get_label() == "Edema")
    (crosses,) = [collection for collection in edema.collections if collection.get_gid() == "no verdict"]
    assert {tuple(path.get_extents().p0) for path in crosses.get_paths()} == {(0.0, 1.0)}
    assert cell(figure, "Edema", "beta", "alpha").lines == []
    assert cell(figure, "Edema", "alpha", "beta").lines[0] == verdict_grid.FINE
    texts = [text.get_text() for text in figure.texts]
    assert "no verdict" in texts
    assert "no verdict" not in [text.get_text() for text in verdict_grid.draw(frame).texts]


def test_the_largest_loss_comes_first_and_findings_without_one_share_a_panel(frame):
    calm = frame.iloc[2:].assign(task="Hernia", verdict="prevalence", auc_drop=0.0, drop_lower=-0.1)
    lesser = frame.iloc[:2].assign(task="Nodule", auc_drop=0.1)
    edema = frame.iloc[2:].assign(drop_lower=-0.1)
    rows = pd.concat([calm, lesser, edema, frame.iloc[:2]], ignore_index=True)
    figure = verdict_grid.draw(rows)
    last = "2 others, the gravest"
    assert [axes.get_title() for axes in figure.axes] == ["Mass", "Nodule", last]
    assert cell(figure, last, "alpha", "beta").lines == ["P", ".00"]
    assert "Edema, Hernia" in verdict_grid.caption(rows).text
    assert len(verdict_grid.draw(pd.concat([calm, edema])).axes) == 2, "nothing is hidden where all is calm"


def test_an_empty_frame_has_one_sentence_and_no_tables():
    assert len(verdicts.findings(pd.DataFrame())) == 1
    assert verdicts.tables(pd.DataFrame()) == []
    assert verdict_grid.draw(pd.DataFrame()).axes == []


def test_a_frame_that_lacks_a_column_is_refused(frame):
    with pytest.raises(AnalysisError, match="auc_drop"):
        verdicts.findings(frame.drop(columns="auc_drop"))
