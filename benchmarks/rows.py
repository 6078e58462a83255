"""Ten million rows in and out by the commands that people type: rows Q3. python -m benchmarks.rows [--quick] [--json]

A model's scores in long form (a row of image, finding, score; 555,556 images × 18 findings; with --quick a fiftieth of the
images) are imported by `xray predictions import`, and every stored score is written by `xray sql --csv`. Time is the
clock's; memory is the largest sum of proportional set sizes of the command and what it started, PostgreSQL included at the
import (it is another program's at the export), looked at every half second. The peers are the limits, and the exit code is 1
where one is broken. `equal`: every score read back is the score of the file.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from benchmarks.evaluate import pss, tree
from benchmarks.report import Row, arguments, judged
from xray.tasks import TASKS

N_IMAGES = 555_556
SECONDS, IMPORT_MB, EXPORT_MB = 60, 2000, 300
XRAY = str(Path(sys.executable).with_name("xray"))
QUERY = "select image, task, probability from predictions where model = 'vendor'"


def draw(folder: Path, n: int) -> pd.DataFrame:
    """Labels and scores as files; the scores in long form (n × 18 rows)."""
    random = np.random.default_rng(n)
    names = np.array([f"i{k:07d}" for k in range(n)])
    labels = pd.DataFrame(random.random((n, len(TASKS))) < 0.1, columns=list(TASKS)).astype(int)
    people = pd.DataFrame({"image_id": names, "patient_id": [f"p{k // 2}" for k in range(n)], "view": "PA"})
    people.join(labels).to_csv(folder / "labels.csv", index=False)
    scores = pd.DataFrame(
        {
            "image": np.repeat(names, len(TASKS)),
            "finding": np.tile(np.array(TASKS), n),
            "score": np.round(random.uniform(0.01, 0.99, n * len(TASKS)), 5),
        }
    )
    scores.to_csv(folder / "scores.csv", index=False)
    return scores


def watched(home: Path, *words: str, output: Path, with_server: bool) -> tuple[float, float]:
    """Seconds and largest megabytes of one command, whose standard output is written to a file."""
    environment = {**os.environ, "XRAY_HOME": str(home)}
    peak, began = 0, time.monotonic()
    with output.open("w") as target:
        command = subprocess.Popen([XRAY, *words], stdout=target, env=environment)
        while command.poll() is None:
            try:
                processes = tree(home, command.pid) if with_server else own(command.pid)
            except psutil.Error:  # it has ended just now
                continue
            peak = max(peak, sum(map(pss, processes)))
            time.sleep(0.5)
    if command.returncode:
        raise SystemExit(f"xray {' '.join(words[:2])} ended with {command.returncode}")
    return time.monotonic() - began, peak / 1e6


def own(command: int) -> list[psutil.Process]:
    """The command and what it started, but not the server, which is another program's to every reader."""
    top = psutil.Process(command)
    return [top, *(child for child in top.children(recursive=True) if "postgres" not in child.name())]


def same(scores: pd.DataFrame, file: Path) -> bool:
    """Whether a CSV of image, task, probability has every score, to what a stored logit (4 bytes) can hold."""
    stored = pd.read_csv(file).sort_values(["image", "task"], ignore_index=True)
    expected = scores.sort_values(["image", "finding"], ignore_index=True)
    return (
        len(stored) == len(expected)
        and bool((stored["image"] == expected["image"]).all())
        and bool((stored["task"] == expected["finding"]).all())
        and bool(np.allclose(stored["probability"], expected["score"], rtol=0, atol=1e-6))
    )


def rows(quick: bool) -> Iterator[Row]:
    """The import and the export, each by the clock and by memory."""
    folder = Path(tempfile.mkdtemp(prefix="rows "))
    home, csv = folder / "home", folder / "rows.csv"
    try:
        n = N_IMAGES // 50 if quick else N_IMAGES
        scores = draw(folder, n)
        output = folder / "said.txt"
        add = (
            "dataset",
            "add",
            "ours",
            "--source",
            "labels",
            "--labels",
            str(folder / "labels.csv"),
            "--site",
            "ward",
        )
        watched(home, *add, "--labels-only", "--protocol", "external", output=output, with_server=True)
        words = ("predictions", "import", str(folder / "scores.csv"), "--model", "vendor", "--cohort", "ours")
        kind = ("--kind", "probability", "--protocol", "external")
        seconds, megabytes = watched(home, *words, *kind, output=output, with_server=True)
        left, export_megabytes = watched(home, "sql", "--csv", QUERY, output=csv, with_server=False)
        equal = same(scores, csv)
        about = f"{len(scores) / 1e6:.3g} M rows; peer: the limit"
        yield Row("Q3", f"xray predictions import, {about}", SECONDS, seconds, SECONDS / seconds, "s", equal)
        yield Row(
            "Q3", f"its memory, {about}", IMPORT_MB, megabytes, IMPORT_MB / megabytes, "MB with server", equal
        )
        work = f"memory of xray sql --csv, {len(scores) / 1e6:.3g} M rows in {left:.0f} s; peer: the limit"
        yield Row("Q3", work, EXPORT_MB, export_megabytes, EXPORT_MB / export_megabytes, "MB", equal)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Print every row; exit code 1 where a limit or equality doesn't hold."""
    options = arguments(__doc__)
    return judged(rows(options.quick), options.json)


if __name__ == "__main__":
    raise SystemExit(main())
