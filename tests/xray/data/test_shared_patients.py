"""rsna's images are nih's under other names: whoever asks sees the same patients, on published and on small label files."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score
from sqlalchemy import Engine, create_engine, text

from db.embedded import Server
from db.store import StoredCohort, read_cohort
from tests.conftest import copy_template
from tests.xray.data.conftest import write_family
from xray.analyses import images_or_labels, stored
from xray.analyses.shared import labels_of_shared
from xray.analyses.stored import Scored, StoredStudy
from xray.data.labeller_agreement import labeller_agreement
from xray.data.prepare import freeze_all
from xray.data.register import register
from xray.data.sources.base import SourceTable, sources
from xray.data.sources.datasets import dataset
from xray.tasks import TASK_INDEX, TASKS

PNEUMONIA = TASK_INDEX["Pneumonia"]
NAMES = ("nih", "rsna")


@dataclass(frozen=True)
class Family:
    """nih and rsna in a database, and the rows of their label files."""

    engine: Engine
    rows: dict[str, pd.DataFrame]

    def cohort(self, name: str, protocol: str = "corrected", part: str = "test") -> StoredCohort:
        with self.engine.begin() as connection:
            number = connection.scalar(
                text("select cohort.id from cohort join dataset on dataset.id = dataset_id join protocol on"
                     " protocol.id = protocol_id where (dataset.name, protocol.name, part) = (:d, :p, :part)"),
                {"d": name, "p": protocol, "part": part},
            )  # fmt: skip
            return read_cohort(connection, int(number or 0), range(len(TASKS)))

    def predictions(self, name: str, protocol: str = "corrected", part: str = "test") -> pd.DataFrame:
        """By the label files alone: NIH's image and patient of every row of a cohort, in order; None where unknown."""
        with self.engine.connect() as connection:
            ids = self.cohort(name, protocol, part).images.tolist()
            names = {row.id: row.name for row in connection.execute(text("select id, name from image"))}
        rows = self.rows[name].set_index("image").loc[[names[k] for k in ids]].reset_index()
        own = rows["image"] if name == "nih" else rows["original"].where(rows["original"] != "", None)
        return pd.DataFrame({"picture": own, "patient": rows["patient"]})


@pytest.fixture(scope="module", params=["written", pytest.param("published", marks=pytest.mark.slow)])
def family(
    request: pytest.FixtureRequest, server: Server, _template: str, tmp_path_factory: pytest.TempPathFactory
) -> Family:
    tables: dict[str, SourceTable]
    if request.param == "published":
        published = request.getfixturevalue("published")
        tables = {"nih": published["nih"], "rsna": request.getfixturevalue("rsna_of_nih")}
    else:
        folder = tmp_path_factory.mktemp("family")
        write_family(folder, 200)
        files = {"nih": "Data_Entry_2017.csv", "rsna": "stage_2_train_labels.csv"}
        tables = {name: sources()[name](folder / file, None) for name, file in files.items()}
    engine = create_engine(copy_template(server, _template, f"shared_{request.param}"))
    with engine.begin() as connection:
        for name in NAMES:
            register(connection, name, dataset(name).site, name, tables[name], None)
        freeze_all(connection, ["paper", "corrected"])
    return Family(engine, {name: tables[name].rows for name in NAMES})


def test_shared_patients_and_pictures_of_cohorts_are_counted(family: Family) -> None:
    nih, rsna = (family.cohort(name) for name in NAMES)
    tables = {name: family.predictions(name) for name in NAMES}
    for column, own, other in (
        ("patient", nih.identities.patients, rsna.identities.patients),
        ("picture", nih.identities.pictures, rsna.identities.pictures),
    ):
        expected = tables["rsna"][column].isin(set(tables["nih"][column].dropna())).to_numpy()
        np.testing.assert_array_equal(np.isin(other, own), expected)
        assert expected.sum() > 50


def test_labels_of_shared_pictures_are_aligned(family: Family) -> None:
    nih, rsna = (family.cohort(name) for name in NAMES)
    one, two = labels_of_shared(nih, rsna)
    frames = []
    for name, cohort in zip(NAMES, (nih, rsna), strict=True):
        frames.append(family.predictions(name).assign(label=cohort.labels[:, PNEUMONIA]).dropna())
    both = frames[0].merge(frames[1], on="picture", suffixes=("_nih", "_rsna"))
    pairs = [tuple(pair) for pair in both[["label_nih", "label_rsna"]].to_numpy().tolist()]
    assert sorted(zip(one[:, PNEUMONIA].tolist(), two[:, PNEUMONIA].tolist(), strict=True)) == sorted(pairs)


def test_labellers_are_compared_on_shared_pictures(family: Family) -> None:
    with family.engine.connect() as connection:
        (row,) = [row for row in labeller_agreement(connection, "rsna", "nih") if row.task == "Pneumonia"]
    nih = family.rows["nih"].set_index("image")["Finding Labels"].str.contains("Pneumonia")
    rsna = family.rows["rsna"]
    rsna = rsna[rsna["original"].isin(nih.index)]
    assert row.n == len(rsna)
    calls = nih.loc[rsna["original"]].to_numpy(int)
    assert row.kappa.value == pytest.approx(
        cohen_kappa_score((rsna["Target"] == "1").to_numpy(int), calls), abs=1e-12
    )


def test_the_split_keeps_shared_patients_in_one_part(family: Family) -> None:
    with family.engine.connect() as connection:
        leaks = connection.execute(
            text("select protocol, train_part, n, n_image, n_patient from leaking_cohorts"
                 " where task is null and (train_dataset, test_dataset) = ('nih', 'rsna')")
        ).all()  # fmt: skip
    train, test = family.predictions("nih", "paper", "train"), family.predictions("rsna", "paper")
    n_image = int(test["picture"].isin(set(train["picture"].dropna())).sum())
    n_patient = int(test["patient"].isin(set(train["patient"].dropna())).sum())
    assert n_image > 10
    assert [tuple(leak) for leak in leaks] == [("paper", "train", len(test), n_image, n_patient)]


def test_the_verdict_uses_shared_patients_and_both_labels(family: Family) -> None:
    """Models whose scores are of the picture: patients are the units at both, and both labels of a picture are compared."""
    rng = np.random.default_rng(0)
    cohorts = {name: family.cohort(name) for name in NAMES}
    number = {name: index for index, name in enumerate(NAMES)}
    score = rng.normal(size=(2, max(int(cohort.images.max()) for cohort in cohorts.values()) + 1))
    tests, evaluations = [], []
    for name, cohort in cohorts.items():
        rows_of_model = []
        logits = {}
        for model in NAMES:
            scored = Scored(10 * number[name] + number[model], model, 0, cohort.id, frozenset({PNEUMONIA}))
            whole = np.full((len(TASKS), len(cohort.images)), np.nan, np.float32)
            whole[PNEUMONIA] = score[number[model], cohort.identities.pictures] + cohort.labels[:, PNEUMONIA]
            logits[scored.evaluation_id] = whole
            rows_of_model.append(scored)
        evaluations += rows_of_model
        tests.append(stored.TestSet(name, "nih-cc", cohort, tuple(rows_of_model), logits))
    configurations = {name: (name,) for name in NAMES}
    study = StoredStudy(1, "s", dict.fromkeys(NAMES, "nih-cc"), configurations, tuple(evaluations))
    forward, back = images_or_labels.compute(study, tests)
    one, two = labels_of_shared(*cohorts.values())
    assert forward["n_shared"] == back["n_shared"] == len(one) > 50
    expected = cohen_kappa_score(one[:, PNEUMONIA].astype(int), two[:, PNEUMONIA].astype(int))
    assert forward["kappa"] == pytest.approx(expected, abs=1e-12)
    # as if no patient were at both: what images have in common falls away, and the interval is another one
    apart = [
        tests[0],
        stored.TestSet("rsna", "nih-cc", _apart(cohorts["rsna"]), tests[1].evaluations, tests[1].logits),
    ]
    without, _ = images_or_labels.compute(study, apart)
    assert without["n_shared"] == 0
    assert without["auc_drop"] == forward["auc_drop"]
    wide = without["drop_upper"] - without["drop_lower"]
    assert abs((forward["drop_upper"] - forward["drop_lower"]) / wide - 1) > 0.01


def _apart(cohort: StoredCohort) -> StoredCohort:
    identities = cohort.identities
    away = replace(
        identities, pictures=identities.pictures + 10_000_000, patients=identities.patients + 10_000_000
    )
    return replace(cohort, identities=away)


def test_listings_count_each_patient_once(family: Family) -> None:
    with family.engine.connect() as connection:
        one = connection.scalar(text("select count(*) from patient where name is not null"))
    patients = pd.concat([rows["patient"] for rows in family.rows.values()]).dropna()
    assert one == patients.nunique()
