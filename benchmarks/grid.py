"""One more model, or one more dataset, in the full grid: rows I1 and I2. python -m benchmarks.grid [--quick] [--json]

The study of `benchmarks.analyses` (60 models, 117,000 test images, 18 findings, 108 M scores; with --quick a fiftieth of the
images, and the page once) is computed all anew; then a fifth seed of one dataset's own model joins it, which most other
results are compared with, and then a dataset of 6,000 images that all models scored. Measured by the clock, in a process
of its own from its start on, until all results are current, and until all figures and the page are written. Memory is the
process's own with that of its largest child once for each core, though they share pages and are not there at once.

The peer of a row is its limit, and the exit code is 1 where one is missed (but not with --quick). `equal`: when all is done,
everything is computed anew, and every stored number is what it was. With `--former FOLDER`, a checkout of an earlier tree,
it computes the same study too, in a copy of the database that is taken down to its schema, and is the peer of the row of I2.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from sqlalchemy import Engine, create_engine, insert, select, text
from sqlalchemy.pool import NullPool

from benchmarks.analyses import DATASETS, N_TASKS, add, add_model, build, images
from benchmarks.homes import scratch_home
from benchmarks.report import Row, holds, is_equal, judged
from benchmarks.store import store_labels
from db.embedded import acquire
from db.migrate import downgrade, upgrade
from db.schema import Cohort, Dataset, Model, Protocol, Site, Study, StudyDataset
from db.store import write_evaluation
from xray.analyses.run import ANALYSES

ROOT: Final = Path(__file__).resolve().parents[1]
ANEW, CURRENT, PAGE, GIGABYTES = 60.0, 15.0, 30.0, 2.5
"""Limits in seconds, and of memory."""
N_NEW: Final = 6_000
FORMER: Final = "0024"

HASH: Final = (
    "select md5(string_agg((to_jsonb(r) - 'id' - 'analysis_id')::text, ' ' order by place, r.id)) from {} as r"
    " join analysis on analysis.id = r.analysis_id where analysis.name = :name"
)
MEASURED: Final = """
import time
start = time.perf_counter()
import inspect, json, os, resource, sys
import flows  # with which every program of ours begins: it has garbage looked for seldom
from pathlib import Path
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool
from db.migrate import upgrade
from xray.analyses.report import write_report
from xray.analyses.run import ANALYSES, run
from xray.analyses.shown import drawn_in_processes
from xray.data.request import DatasetRequest
from xray.learning.recipe import Recipe
from xray.study import Study
engine = create_engine(sys.argv[1], poolclass=NullPool)
upgrade(engine)
run(engine, "grid", ANALYSES, **{"in_parts": True} if "in_parts" in inspect.signature(run).parameters else {})
current, cpu = time.perf_counter() - start, sum(os.times()[:4])
asked = tuple(DatasetRequest(*each.split("/"), "labels", None, None, None) for each in sys.argv[3].split(","))
kinds = ("each", "all", "all-but-site")
study = Study(Path("grid.toml"), "grid", "Grid", "Why?", "corrected", asked, kinds, (0, 1, 2, 3), Recipe())
if sys.argv[2]:
    with engine.begin() as connection:
        write_report(connection, study, Path(sys.argv[2]), [], drawn_in_processes)
whole, children = (resource.getrusage(which).ru_maxrss for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps({
    "current": current, "cpu": cpu, "page": time.perf_counter() - start,
    "gigabytes": (whole + len(os.sched_getaffinity(0)) * children) / 2**20,
}))
"""


@dataclass(frozen=True)
class Took:
    """Seconds until results were current, CPU seconds of the process and its children by then, seconds until the page was;
    GB of memory.
    """

    current: float
    cpu: float
    page: float
    gigabytes: float


def run(url: str, folder: Path, page: bool, tree: Path = ROOT) -> Took:
    """Bring results, and the page where it is asked for, up to date by the code of a tree."""
    sites = ",".join(f"{name}/{site}" for name, (site, _) in DATASETS.items())
    figures = str(folder / "figures") if page else ""
    process = subprocess.run(
        [sys.executable, "-c", MEASURED, url, figures, sites], cwd=tree, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(tree), "XRAY_HOME": str(folder / "home")},
    )  # fmt: skip
    if process.returncode:
        raise SystemExit(process.stderr)
    return Took(**json.loads(process.stdout.splitlines()[-1]))


def one_more_model(engine: Engine) -> int:
    """A fifth seed of nih's own model, scored everywhere; how many scores."""
    with engine.begin() as connection:
        study = connection.scalar(select(Study.id)) or 0
        model = add_model(connection, study, "nih", 4)
    return _score(engine, [model], select_lists(engine))


def one_more_dataset(engine: Engine, n: int) -> int:
    """A dataset of n images, registered later and tested on only, that all models have scored; how many scores."""
    rng = np.random.default_rng(1)
    with engine.begin() as connection:
        site = add(connection, Site, name="ward")
        listed = images(connection, rng, site, "ward", n)
        dataset = add(
            connection, Dataset, name="ward", site_id=site, image_list_id=listed, source="manifest", content_hash="ward"
        )  # fmt: skip
        protocol = connection.scalar(select(Protocol.id))
        cohort = add(
            connection, Cohort, part="test", content_hash="ward test", dataset_id=dataset, protocol_id=protocol,
            image_list_id=listed,
        )  # fmt: skip
        store_labels(connection, cohort, (rng.random((n, N_TASKS)) < 0.1).astype(np.int16))
        study = connection.scalar(select(Study.id))
        row = {"study_id": study, "dataset_id": dataset, "position": len(DATASETS), "guest": True}
        connection.execute(insert(StudyDataset).values(row))
        models = list(connection.scalars(select(Model.id).order_by(Model.id)))
    return _score(engine, models, {listed: n})


def select_lists(engine: Engine) -> dict[int, int]:
    """Image list of each test cohort → its length."""
    query = (
        "select distinct image_list.id, length from image_list join cohort on cohort.image_list_id = image_list.id"
        " where part = 'test'"
    )
    with engine.connect() as connection:
        return {row.id: row.length for row in connection.execute(text(query))}


def _score(engine: Engine, models: list[int], lists: Mapping[int, int]) -> int:
    rng = np.random.default_rng(2)
    n_scores = 0
    for model in models:
        with engine.begin() as connection:
            for listed, n in lists.items():
                logits = rng.standard_normal((n, N_TASKS), dtype=np.float32)
                write_evaluation(connection, model, listed, logits, range(N_TASKS))
                n_scores += logits.size
    return n_scores


def stored(engine: Engine) -> dict[str, str | None]:
    """Analysis → hash of every stored number of it, in order."""
    with engine.connect() as connection:
        return {
            analysis.name: connection.scalar(
                text(HASH.format(analysis.table.__tablename__)), {"name": analysis.name}
            )
            for analysis in ANALYSES
        }


def forget(engine: Engine) -> None:
    """Make all results stale."""
    with engine.begin() as connection:
        connection.execute(text("update analysis set fingerprint = ''"))
        connection.execute(text("delete from partial_result"))


def rows(quick: bool, former: Path | None) -> Iterator[Row]:
    """All anew, one more model, one more dataset, and all anew again, which says whether the results are the same."""
    with scratch_home() as folder, acquire(folder) as server:
        server.create_database("grid")
        engine = create_engine(server.url("grid"), poolclass=NullPool)
        upgrade(engine)
        n_scores = build(engine, 0.02 if quick else 1.0)
        before = None
        if former is not None:
            with create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT").connect() as connection:
                connection.execute(text("create database former template grid"))
            downgrade(create_engine(server.url("former"), poolclass=NullPool), FORMER)
            before = run(server.url("former"), folder, not quick, former)
        anew = run(server.url("grid"), folder, page=not quick)
        model_scores = one_more_model(engine)
        model = run(server.url("grid"), folder, page=True)
        dataset_scores = one_more_dataset(engine, N_NEW // 50 if quick else N_NEW)
        dataset = run(server.url("grid"), folder, page=not quick)
        left = stored(engine)
        forget(engine)
        again = run(server.url("grid"), folder, page=False)
        equal = left == stored(engine)
    about = f"{n_scores / 1e6:.3g} M scores"
    peer = Took(ANEW, 0, ANEW, GIGABYTES) if before is None else before
    work = f"all anew, {about}: {{}}; peer: {'the limit' if before is None else 'the former tree'}"
    of_cpu = f"{anew.cpu:.0f} CPU s" + (f" against {before.cpu:.0f}" if before else "")
    yield _row("I2", work.format(f"results, {of_cpu}"), peer.current, anew.current, equal)
    if not quick:
        yield _row("I2", work.format("page and figures"), peer.page, anew.page, equal)
    yield _row("I2", work.format("largest memory"), peer.gigabytes, anew.gigabytes, equal, "GB")
    for noun, took, n in (("model", model, model_scores), ("dataset", dataset, dataset_scores)):
        added = f"one more {noun} ({n / 1e6:.3g} M scores) in {about}"
        of_cpu = f"{took.cpu:.0f} CPU s of {again.cpu:.0f}"
        yield _row("I1", f"{added}: results, {of_cpu}; peer: all anew", again.current, took.current, equal)
        yield _row("I1", f"{added}: results; peer: the limit", CURRENT, took.current, equal)
        if took is model or not quick:
            yield _row("I1", f"{added}: page and figures; peer: the limit", PAGE, took.page, equal)


def _row(
    number: str, work: str, peer: float, product: float, equal: bool, unit: str = "s by the clock"
) -> Row:
    return Row(number, work, peer, product, peer / product, unit, equal)


def main() -> int:
    """Print every row; exit code 1 where a limit is missed or a result differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the images")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    parser.add_argument("--former", type=Path, help="a checkout of an earlier tree, to be the peer of I2")
    options = parser.parse_args()
    return judged(rows(options.quick, options.former), options.json, is_equal if options.quick else holds)


if __name__ == "__main__":
    raise SystemExit(main())
