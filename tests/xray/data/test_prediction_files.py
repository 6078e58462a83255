"""Scores made elsewhere: matched by image, every mismatch counted, nothing half written; out and in again unchanged."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sqlalchemy import Engine, text

from db.store import read_logits
from xray.data.named_cohorts import find_cohort
from xray.data.prediction_export import exported, write_csv, write_parquet
from xray.data.prediction_files import import_predictions
from xray.data.score_files import LOGIT_OF_0, LOGIT_OF_1, to_logits
from xray.data.task_columns import task_columns
from xray.errors import DataError, ForeignModelError, PredictionsError
from xray.tasks import TASK_INDEX, TASKS


@pytest.fixture
def bring(engine: Engine, draw: Callable[..., None], tmp_path: Path) -> Callable[..., Any]:
    """bring(frame): imports a frame as theirs on the test cohort of the drawn dataset a."""
    draw("a")

    def run(frame: pd.DataFrame, model: str = "theirs", kind: str = "probability", **options: Any) -> Any:
        path = tmp_path / "scores.csv"
        frame.to_csv(path, index=False)
        with engine.begin() as connection:
            cohort = find_cohort(connection, "a", "corrected", "test")
            return import_predictions(connection, path, model, cohort, kind, **options)

    return run


@pytest.fixture
def images(engine: Engine, bring: Any) -> list[str]:
    """The images of the cohort, in order."""
    with engine.begin() as connection:
        return list(find_cohort(connection, "a", "corrected", "test").images)


def stored(engine: Engine, model: str) -> Any:
    """Logits (n_tasks, n_images) of a model's only evaluation."""
    with engine.begin() as connection:
        evaluation = connection.scalar(
            text("select e.id from evaluation e join model on model.id = model_id where model.name = :m"),
            {"m": model},
        )
        return read_logits(connection, evaluation, range(len(TASKS)))


def counts(engine: Engine) -> dict[str, int]:
    with engine.begin() as connection:
        names = ("model", "model_task", "evaluation", "prediction", "foreign_training")
        return {name: connection.scalar(text(f"select count(*) from {name}")) for name in names}


def scores(images: list[str], seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    values = random.uniform(0.01, 0.99, (len(images), 2))
    return pd.DataFrame({"Image_ID": images, "effusion": values[:, 0], "pleural thickening": values[:, 1]})


def test_scores_are_stored_in_the_order_of_the_cohort(engine: Engine, bring: Any, images: list[str]) -> None:
    frame = scores(images).sample(frac=1, random_state=1)
    frame["age"] = 50
    imported = bring(frame, citation="Doe 2026", trained_on=["a", "far-away"])
    assert (imported.n_images, imported.n_missing, imported.new) == (len(images), 0, True)
    assert imported.tasks == ("Effusion", "Pleural_Thickening")
    assert imported.notes == ("1 column(s) that are no task left out: age",)
    rows = stored(engine, "theirs")
    expected = frame.set_index("Image_ID").loc[images]
    for task, column in (("Effusion", "effusion"), ("Pleural_Thickening", "pleural thickening")):
        p = expected[column].to_numpy()
        np.testing.assert_array_equal(rows[TASK_INDEX[task]], np.log(p / (1 - p)).astype(np.float32))
    assert np.isnan(np.delete(rows, [TASK_INDEX[t] for t in imported.tasks], axis=0)).all()
    with engine.begin() as connection:
        row = connection.execute(text("select * from foreign_models")).mappings().one()
        assert (row["model"], row["format"], row["scored"], row["citation"]) == (
            "theirs",
            None,
            ["a/corrected"],
            "Doe 2026",
        )
        assert row["trained_on"] == ["a", "far-away"]
        stored_models = connection.execute(
            text("select distinct model, seed, trained_on, protocol from predictions")
        )
        assert stored_models.all() == [("theirs", None, "theirs", "corrected")]
        assert connection.scalar(text("select count(*) from missing_evaluations")) == 0
        leak = connection.execute(text("select model, n, n_image from leaking_models")).one()
        assert tuple(leak) == ("theirs", len(images), len(images)), (
            "every test image is of a dataset it knows"
        )
    again = bring(frame)
    assert not again.new
    with pytest.raises(PredictionsError, match="theirs has other scores of the images of a/corrected/test"):
        bring(scores(images, seed=3))
    with pytest.raises(PredictionsError, match="theirs has other tasks in its earlier files: Effusion"):
        bring(scores(images)[["Image_ID", "pleural thickening"]])


def test_every_mismatch_is_counted_and_nothing_is_written(
    engine: Engine, bring: Any, images: list[str]
) -> None:
    frame = scores(images).astype({"effusion": object})
    frame.loc[0, "effusion"] = "high"
    frame.loc[1, "effusion"] = ""
    frame.loc[2, "effusion"] = 1.5
    frame.loc[3, "effusion"] = float("inf")
    frame.loc[4, "Image_ID"] = "nobody"
    twice = frame.iloc[[5]].assign(effusion=0.123)
    before = counts(engine)
    with pytest.raises(PredictionsError) as failure:
        bring(pd.concat([frame, twice]).assign(Efusion=0.5))
    message = str(failure.value)
    for part in (
        "nothing was imported to theirs on a/corrected/test",
        "column 'Efusion' is no task; did you mean 'Effusion'?",
        "1 row(s) name images that a does not have (--ignore-unknown leaves them out): 'nobody' in row 6",
        f"1 image(s) stand in several rows with different scores: {images[5]!r}",
        f"1 score(s) are no numbers: effusion of {images[0]!r} is 'high'",
        "2 score(s) are outside what is expected, probabilities from 0 to 1 (is it --kind logit?): effusion of",
        "1 score(s) are empty or NaN (--missing-as-nan takes them as not scored): effusion of",
        f"1 of the {len(images)} images of a/corrected/test are missing (--missing-as-nan takes them as not scored)",
        repr(images[4]),
    ):
        assert part in message
    assert counts(engine) == before


def test_missing_scores_become_nan_only_on_request(engine: Engine, bring: Any, images: list[str]) -> None:
    frame = scores(images)[2:]
    frame.loc[2, "effusion"] = np.nan
    with pytest.raises(PredictionsError, match="2 of the"):
        bring(frame)
    extra = pd.concat([frame, frame.iloc[[0]].assign(Image_ID="nobody")])
    imported = bring(extra, missing_as_nan=True, ignore_unknown=True)
    assert (imported.n_missing, imported.new) == (2, True)
    assert len(imported.notes) == 3
    rows = stored(engine, "theirs")[TASK_INDEX["Effusion"]]
    assert np.isnan(rows[:3]).all()
    assert np.isfinite(rows[3:]).all()
    with engine.begin() as connection:
        unscored = connection.scalar(text("select count(*) from predictions where logit is null"))
    assert unscored == 5, "two images of two tasks, one of one"


def test_rows_of_other_datasets_or_models_are_recognised(bring: Any, images: list[str]) -> None:
    frame = scores(images)
    other = frame.assign(Image_ID=[f"other {i}" for i in range(len(frame))])
    both = pd.concat([frame.assign(dataset="a"), other.assign(dataset="b")])
    assert bring(both).notes == (f"{len(frame)} row(s) of another dataset left out",)
    with pytest.raises(PredictionsError, match="no row has 'a' as its site; found here"):
        bring(frame.assign(site="here"), "second")
    models = pd.concat([frame.assign(model="one"), frame.assign(model="two", effusion=0.5)])
    with pytest.raises(PredictionsError, match="holds scores of 2 models, one, two: say --from-model"):
        bring(models, "second")
    assert bring(models, "second", from_model="two").new


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Image_ID": "film"}, "expected one column image or image_id"),
        (
            {"effusion": "pleural_thickening"},
            "'pleural_thickening' and 'pleural thickening' are both Pleural",
        ),
        (
            {"effusion": "Hepatitis", "pleural thickening": "Gout"},
            "no column is a task; expected some of Atelec",
        ),
    ],
)
def test_ambiguous_columns_are_refused(
    bring: Any, images: list[str], change: dict[str, str], message: str
) -> None:
    with pytest.raises(PredictionsError, match=re.escape(message)):
        bring(scores(images).rename(columns=change))


def test_names_of_datasets_and_of_other_models_are_refused(
    engine: Engine, bring: Any, images: list[str]
) -> None:
    with pytest.raises(ForeignModelError, match="'a' is the name of a dataset"):
        bring(scores(images), "a")
    with pytest.raises(ForeignModelError, match="expected lower-case letters"):
        bring(scores(images), "Their Model")
    with (
        engine.begin() as connection,
        pytest.raises(DataError, match="no cohort b/corrected/test; frozen: a/corr"),
    ):
        find_cohort(connection, "b", "corrected", "test")
    assert counts(engine)["model"] == 0


def test_logits_that_look_like_probabilities_are_noted(bring: Any, images: list[str]) -> None:
    assert "are they probabilities" in bring(scores(images), kind="logit").notes[0]


def test_unambiguous_column_names_are_recognised_in_any_spelling() -> None:
    names = [task.replace("_", " ").upper() for task in TASKS]
    assert task_columns(names, TASKS) == (dict(zip(TASKS, names, strict=True)), [], [])
    assert task_columns(TASKS, TASKS)[0] == dict(zip(TASKS, TASKS, strict=True))
    assert task_columns(["enlarged_cardiomediastinum", "lungopacity", "Sex"], TASKS)[0].keys() == {
        "Enlarged Cardiomediastinum",
        "Lung Opacity",
    }


def test_logits_of_extreme_probabilities_keep_their_order() -> None:
    p = np.array([0, 5e-324, 1e-300, 1e-9, 0.5, 1 - 1e-9, 1 - 2**-53, 1.0, np.nan])
    logits = to_logits(p)
    assert (np.diff(logits[:-1]) > 0).all()
    assert (logits[0], logits[-2]) == (LOGIT_OF_0, LOGIT_OF_1)
    assert np.isnan(logits[-1])
    assert (np.diff(logits[:-1].astype(np.float32)) > 0).all()
    np.testing.assert_allclose(expit(logits[2:-2]), p[2:-2], rtol=1e-6)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_exported_and_imported_scores_are_identical(
    engine: Engine, bring: Any, images: list[str], tmp_path: Path, ending: str
) -> None:
    """Awkward float32 values, images not scored, and outputs never trained among them."""
    bring(scores(images))
    random = np.random.default_rng(2)
    n = len(images)
    logits = np.full((n, len(TASKS)), np.nan, np.float32)
    trained = np.zeros(len(TASKS), dtype=bool)
    trained[[0, 7, 9, 17]] = True
    logits[:, trained] = (random.normal(size=(n, 4)) * 10.0 ** random.integers(-30, 30, (n, 4))).astype(
        np.float32
    )
    logits[0, 0], logits[1, 7], logits[2, 9] = np.nan, np.float32(1e-45), np.float32(3.4028235e38)
    with engine.begin() as connection:
        cohort = find_cohort(connection, "a", "corrected", "test")
        imported = import_predictions(
            connection,
            _file(tmp_path, images, logits, trained),
            "first",
            cohort,
            "logit",
            missing_as_nan=True,
        )
        assert imported.new
        path = tmp_path / f"out.{ending}"
        frames = list(exported(connection, cohort, ["first"], "logit"))
        if ending == "csv":
            with path.open("w") as file:
                write_csv(frames, file)
        else:
            write_parquet(frames, path)
        import_predictions(connection, path, "second", cohort, "logit", missing_as_nan=True)
        assert [list(f.columns[-18:]) for f in frames] == [list(TASKS)]
    np.testing.assert_array_equal(stored(engine, "second"), logits.T)
    np.testing.assert_array_equal(stored(engine, "first"), stored(engine, "second"))
    with engine.begin() as connection:
        (frame,) = exported(connection, cohort, ["theirs"], "probability")
        with pytest.raises(
            DataError, match="nobody has no scores of a/corrected/test; scored by: theirs, first"
        ):
            list(exported(connection, cohort, ["nobody"], "logit"))
    np.testing.assert_allclose(frame["Effusion"], scores(images)["effusion"], rtol=1e-6)
    assert frame["image"].tolist() == images


def _file(folder: Path, images: list[str], logits: Any, trained: Any) -> Path:
    """A Parquet file that another program wrote: float32 columns, numbers as they are."""
    tasks = np.flatnonzero(trained)
    frame = pd.DataFrame(logits[:, tasks], columns=[TASKS[t] for t in tasks])
    frame.insert(0, "image", images)
    frame.to_parquet(folder / "theirs.parquet")
    return folder / "theirs.parquet"


def test_an_image_may_appear_twice_in_a_cohort(
    engine: Engine, bring: Any, images: list[str], tmp_path: Path
) -> None:
    """Under `paper`, rsna's images stand once per box: equal rows of a file are one."""
    frame = scores(images)
    assert bring(pd.concat([frame, frame])).new


def test_an_unreadable_file_is_refused(engine: Engine, bring: Any, images: list[str], tmp_path: Path) -> None:
    with engine.begin() as connection:
        cohort = find_cohort(connection, "a", "corrected", "test")
        (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
        for name, message in (("broken.parquet", "not a Parquet file"), ("gone.csv", "can't be read")):
            with pytest.raises(PredictionsError, match=message):
                import_predictions(connection, tmp_path / name, "theirs", cohort, "logit")


def test_a_vendors_shapes_and_scales_give_the_same_logits(
    engine: Engine, bring: Any, images: list[str]
) -> None:
    per_cent = pd.DataFrame(
        {"image": images, "Pleural effusion": np.random.default_rng(3).integers(1, 100, len(images))}
    )
    bring(per_cent, "percent", "percent")
    share = per_cent.assign(**{"Pleural effusion": per_cent["Pleural effusion"] / 100})
    bring(share, "share", "probability")
    signed = per_cent.assign(**{"Pleural effusion": per_cent["Pleural effusion"].astype(str) + " %"})
    bring(signed, "signed", "percent")
    bring(share.melt("image", var_name="finding", value_name="score").sample(frac=1, random_state=0), "long")
    expected = stored(engine, "share")
    assert (~np.isnan(expected[TASK_INDEX["Effusion"]])).all()
    for model in ("percent", "signed", "long"):
        np.testing.assert_array_equal(stored(engine, model), expected)


def test_a_file_of_percentages_gets_no_advice_to_use_logits(bring: Any, images: list[str]) -> None:
    frame = pd.DataFrame({"image": images, "Mass": np.linspace(2, 98, len(images))})
    with pytest.raises(PredictionsError, match="are they per cent"):
        bring(frame, "as-shares", "probability")
    assert "percentages" in " ".join(bring(frame, "as-logits", "logit").notes)


def test_calls_of_yes_and_no_are_imported(engine: Engine, bring: Any, images: list[str]) -> None:
    calls = ["yes" if k % 2 else "no" for k in range(len(images))]
    imported = bring(pd.DataFrame({"image": images, "Mass": calls}), "caller", "call")
    assert "single point" in " ".join(imported.notes)
    assert set(stored(engine, "caller")[TASK_INDEX["Mass"]].tolist()) == {LOGIT_OF_0, LOGIT_OF_1}


def test_scores_outside_the_cohort_are_stored_for_the_cohorts_that_they_complete(
    engine: Engine, bring: Any
) -> None:
    with engine.begin() as connection:
        names = [
            name
            for part in ("train", "test")
            for name in find_cohort(connection, "a", "corrected", part).images
        ]
    imported = bring(pd.DataFrame({"image": names, "Mass": np.linspace(0.1, 0.9, len(names))}), "whole")
    assert any("kept for a/corrected/train too" in note for note in imported.notes)
    assert counts(engine)["evaluation"] == 2
