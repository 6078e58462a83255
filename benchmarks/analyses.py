"""The paper's grid at full size: row A6. python -m benchmarks.analyses [--quick] [--json]

60 models (eight datasets alone, all, all but each of six sites; four seeds), 100,000 test images, 18 tasks, all labelled
everywhere, synthetic scores in the embedded PostgreSQL. Half of the datasets have two images per patient, so that their
headline table takes the bootstrap over patients. Measured is `xray analyse all`, in a process of its own: seconds by the
clock, CPU seconds of it, of the processes that draw figures and of the server, and no less than its largest memory: its own
with that of its largest child once for each core, though they share pages and are not there at once. The limits that it is
held to stand as the peer: 180 s on two cores, 4 GB. `equal`: sampled AUCs and kappas are those of scikit-learn.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sqlalchemy import Connection, Engine, create_engine, insert, select, text
from sqlalchemy.pool import NullPool

from benchmarks.homes import scratch_home
from benchmarks.report import Row, arguments, holds, is_equal, judged
from benchmarks.store import server_seconds, store_labels
from db.embedded import acquire, status
from db.migrate import upgrade
from db.schema import (
    Cohort,
    Dataset,
    Model,
    ModelTask,
    Protocol,
    Site,
    Study,
    StudyDataset,
    StudyModel,
    TrainingCohort,
)
from db.store import put_image_list, write_evaluation
from xray.tasks import TASKS

N_TASKS = len(TASKS)
DATASETS = {
    "nih": ("nih", 15_400), "padchest": ("padchest", 31_000), "chexpert": ("chexpert", 28_000),
    "mimic_ch": ("mimic", 17_000), "mimic_nb": ("mimic", 0), "openi": ("openi", 1_600), "google": ("nih", 900),
    "rsna": ("rsna", 6_100),
}  # fmt: skip
"""Dataset → its site and number of test images; 0: those of the dataset before it, under another labeller."""
SEVERAL = ("padchest", "chexpert", "google", "rsna")
"""Datasets with two images per patient."""
SEEDS = 4
SECONDS, GIGABYTES = 180.0, 4.0

MEASURED = """
import json, os, resource, sys, time
from flows.cli import cli
start = time.perf_counter()
cli.main(["analyse", "all", "--output", sys.argv[1]], standalone_mode=False)
wall = time.perf_counter() - start
own, children = (resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps({
    "wall": wall,
    "cpu": sum(used.ru_utime + used.ru_stime for used in (own, children)),
    "kilobytes": own.ru_maxrss + len(os.sched_getaffinity(0)) * children.ru_maxrss,
}))
"""


def configurations() -> dict[str, list[str]]:
    """Each dataset alone, all, all but each site: name → datasets."""
    training_sets = {name: [name] for name in DATASETS}
    sites = dict.fromkeys(site for site, _ in DATASETS.values())
    rest = {f"all-but-{s}": [n for n, (site, _) in DATASETS.items() if site != s] for s in sites}
    return {**training_sets, "all": list(DATASETS), **rest}


def build(engine: Engine, share: float) -> int:
    """The study in the database, with `share` of the images; how many scores."""
    rng = np.random.default_rng(0)
    truth: dict[int, Any] = {}
    with engine.begin() as connection:
        protocol = add(connection, Protocol, name="corrected", version=1, definition={})
        study = add(connection, Study, name="grid", definition={"protocol": "corrected"})
        listed = 0
        for position, (name, (site_name, n_full)) in enumerate(DATASETS.items()):
            n = max(120, int(n_full * share)) if n_full else 0
            site = connection.scalar(select(Site.id).where(Site.name == site_name)) or add(
                connection, Site, name=site_name
            )
            if n:
                listed, length = images(connection, rng, site, name, n), n
                skill = rng.normal(size=(length, N_TASKS)).astype(np.float32)
            labels = (skill + rng.normal(size=skill.shape) * 0.7 > rng.uniform(1.1, 2.8, N_TASKS)).astype(
                np.int16
            )
            described = {"site_id": site, "image_list_id": listed, "source": "manifest", "content_hash": name}
            dataset = add(connection, Dataset, name=name, **described)
            owner = {"dataset_id": dataset, "protocol_id": protocol, "image_list_id": listed}
            add(connection, Cohort, part="train", content_hash=f"{name} train", **owner)
            cohort = add(connection, Cohort, part="test", content_hash=f"{name} test", **owner)
            store_labels(connection, cohort, labels)
            connection.execute(
                insert(StudyDataset).values(study_id=study, dataset_id=dataset, position=position)
            )
            truth[listed] = skill
        models = [
            add_model(connection, study, trained_on, seed)
            for trained_on in configurations()
            for seed in range(SEEDS)
        ]
    n_scores = 0
    for index, model in enumerate(models):
        with engine.begin() as connection:
            for listed, skill in truth.items():
                noise = rng.standard_normal(skill.shape, dtype=np.float32)
                logits = skill * np.float32(0.6 + 0.1 * (index % 7)) + noise - np.float32(2)
                write_evaluation(connection, model, listed, logits, range(N_TASKS))
                n_scores += logits.size
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))
    return n_scores


def add_model(connection: Connection, study: int, trained_on: str, seed: int) -> int:
    """One more model of a configuration in the study; its id."""
    number = connection.scalar(text("select count(*) from model")) or 0
    model = add(
        connection, Model, name=f"grid.{trained_on}/{seed}", key=f"{number}", trained_on=trained_on, seed=seed, network="n",
        image_size=224, protocol_id=connection.scalar(select(Protocol.id)), recipe={}, mlflow_run_id=f"{number}",
        mlflow_model=f"grid.{trained_on}", mlflow_version=seed + 1, best_epoch=0, provenance={},
    )  # fmt: skip
    outputs = [{"model_id": model, "task_id": t, "position": t} for t in range(N_TASKS)]
    connection.execute(insert(ModelTask), outputs)
    cohorts = connection.scalars(
        select(Cohort.id)
        .join(Dataset)
        .where(Cohort.part == "train", Dataset.name.in_(configurations()[trained_on]))
    )
    connection.execute(
        insert(TrainingCohort), [{"model_id": model, "cohort_id": cohort} for cohort in cohorts]
    )
    connection.execute(insert(StudyModel).values(study_id=study, model_id=model, position=number))
    return model


def add(connection: Connection, table: Any, **values: Any) -> int:
    """Insert a row; its id."""
    return int(connection.execute(insert(table).values(**values).returning(table.id)).scalar_one())


def images(connection: Connection, rng: np.random.Generator, site: int, name: str, n: int) -> int:
    """Images with age, sex and view; the id of their list."""
    per_patient = 2 if name in SEVERAL else 1
    connection.execute(
        text(
            "insert into patient (site_id, name, key)"
            " select :site, :name || '-' || n, :name || ' patient ' || n from generate_series(0, :last) as n"
        ),
        {"site": site, "name": name, "last": (n - 1) // per_patient},
    )
    insertion = text(  # as registration says who and what is shown, and not by the guard, row by row
        "insert into image (id, canonical_id, site_id, name, patient, patient_id, age, sex, view)"
        " select one.id, one.id, :site, :name || '-' || one.n, patient.name, patient.id, one.age, one.sex, one.view"
        " from (select nextval('image_id_seq') as id, listed.* from unnest(cast(:ages as real[]), cast(:sexes as text[]),"
        " cast(:views as text[])) with ordinality as listed(age, sex, view, n)) as one"
        " join patient on patient.site_id = :site and patient.name = :name || '-' || ((one.n - 1) / :per) returning id"
    )
    columns = {
        "ages": rng.integers(1, 95, n).tolist(),
        "sexes": rng.choice(["M", "F"], n).tolist(),
        "views": rng.choice(["PA", "AP"], n, p=[0.7, 0.3]).tolist(),
    }
    columns_of = {"site": site, "name": name, "per": per_patient, **columns}
    ids = sorted(connection.scalars(insertion, columns_of))
    return put_image_list(connection, name, np.array(ids, dtype=np.int32))


def agrees(engine: Engine) -> bool:
    """Whether sampled results are those of scikit-learn, from scores that PostgreSQL unnests."""
    with engine.connect() as connection:
        sample = connection.execute(
            text(
                "select * from agreement_results where rule = 'target' and reference <> trained_on and test_dataset in"
                " ('openi', 'google') and task_position in (0, 7, 17) order by position limit 12"
            )
        ).all()
        equal = len(sample) > 0
        for row in sample:
            parameters = {"test": row.test_dataset, "task": row.task}
            labels: Any = None
            scores: list[Any] = []
            for name in (row.reference, row.trained_on):
                predictions = connection.execute(
                    text(
                        "select label, avg(logit::float8) as logit from predictions where test_dataset = :test"
                        " and part = 'test' and task = :task and trained_on = :name group by image, label order by image"
                    ),
                    {**parameters, "name": name},
                ).all()
                labels = np.array([r.label for r in predictions])
                scores.append(np.array([r.logit for r in predictions]))
            stored = connection.scalar(
                text(
                    "select auc from auc_results where seed is null and trained_on = :name and test_dataset = :test"
                    " and task = :task"
                ),
                {**parameters, "name": row.trained_on},
            )
            kappa = cohen_kappa_score(scores[0] >= row.threshold_reference, scores[1] >= row.threshold)
            equal &= (
                abs(float(stored or 0) - roc_auc_score(labels, scores[1])) < 1e-9
                and abs(kappa - row.kappa) < 1e-9
            )
    return bool(equal)


def rows(quick: bool) -> Iterator[Row]:
    """Time and memory of `xray analyse all`, and of a second run, which finds nothing to do."""
    with scratch_home() as folder, acquire(folder) as server:
        running = status(folder)
        assert running is not None
        server.create_database("grid")
        engine = create_engine(server.url("grid"), poolclass=NullPool)
        upgrade(engine)
        n_scores = build(engine, 0.02 if quick else 1.0)
        url = server.url("grid").replace("postgresql+psycopg2", "postgresql")
        environment = {**os.environ, "XRAY_DATABASE_URL": url, "XRAY_HOME": f"{folder}/home"}
        for again in (False, True):
            before, start = server_seconds(running.pid), time.perf_counter()
            process = subprocess.run(
                [sys.executable, "-c", MEASURED, f"{folder}/figures"], env=environment, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            wall = time.perf_counter() - start
            if process.returncode:
                raise SystemExit(process.stderr)
            usage = json.loads(process.stdout.splitlines()[-1])
            if not again:
                print(process.stderr, file=sys.stderr)
            cpu = usage["cpu"] + server_seconds(running.pid) - before
            equal = agrees(engine)
            title = (
                "analyse all, nothing stale"
                if again
                else "analyse all, headline bootstrap of 1,000 replicates included"
            )
            work = f"{title}, figures drawn: {n_scores / 1e6:.3g} M scores; {cpu:.0f} CPU s; peer: the limit"
            yield Row("A6", work, SECONDS, wall, SECONDS / wall, "s by the clock", equal)
            memory = usage["kilobytes"] / 2**20
            yield Row(
                "A6",
                f"{title}: largest memory; peer: the limit",
                GIGABYTES,
                memory,
                GIGABYTES / memory,
                "GB",
                equal,
            )


def main() -> int:
    """Print every row; exit code 1 where a limit is missed or a result differs."""
    options = arguments(__doc__)
    return judged(rows(options.quick), options.json, is_equal if options.quick else holds)


if __name__ == "__main__":
    raise SystemExit(main())
