"""Two bought models judged at one hospital by files alone, to the page. python -m benchmarks.evaluate [--quick] [--json]

Each size starts from an empty home: database, registration, scores, all analyses, figures and page are in the time. Memory
is the largest sum of the proportional set sizes of the command, its processes and PostgreSQL, looked at every half second.
`equal`: AUCs read back are those that scikit-learn gives for the files.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from sklearn.metrics import roc_auc_score

from xray.tasks import TASKS

SIZES = ((10_000, 8, 60), (200_000, 14, 300))
"""Images, findings, and the seconds that are allowed."""
LIMIT_MB = 3000
MODELS = ("northern", "southern")


@dataclass(frozen=True)
class Run:
    """One judgement: seconds on the clock, of processors, and peak memory."""

    images: int
    findings: int
    seconds: float
    limit_seconds: int
    cpu_seconds: float
    megabytes: int
    limit_megabytes: int
    equal: bool


def draw(folder: Path, images: int, findings: int) -> dict[tuple[str, str], float]:
    """Labels and the scores of both models as CSV; model, finding → AUC."""
    random = np.random.default_rng(images)
    names = [f"i{k}" for k in range(images)]
    positive = random.random((images, findings)) < random.uniform(0.02, 0.2, findings)
    patients = random.integers(0, images * 2 // 3, images)
    people = pd.DataFrame(
        {
            "image_id": names,
            "patient_id": [f"p{k}" for k in patients],
            "view": np.where(random.random(images) < 0.6, "PA", "AP"),
            "age": 20 + patients % 70,
            "sex": np.where(patients % 2, "M", "F"),
        }
    )
    labels = pd.DataFrame(positive.astype(int), columns=list(TASKS[:findings]))
    people.join(labels).to_csv(folder / "labels.csv", index=False)
    truth = {}
    for model, shift in zip(MODELS, (1.4, 1.0), strict=True):
        scores = 1 / (1 + np.exp(2 - random.normal(positive * shift, 1.0)))
        frame = pd.DataFrame(np.round(scores, 6), columns=labels.columns)
        frame.insert(0, "image", names)
        frame.to_csv(folder / f"{model}.csv", index=False)
        for finding in labels.columns:
            truth[model, finding] = float(roc_auc_score(labels[finding], frame[finding]))
    return truth


def pss(process: psutil.Process) -> int:
    """Bytes of a process, memory that several share counted by its share; 0 where it has ended."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def tree(home: Path, command: int) -> list[psutil.Process]:
    """The command, everything it started, and the home's PostgreSQL."""
    processes = []
    for pid in (command, *(int(file.read_text().split()[0]) for file in home.rglob("postmaster.pid"))):
        try:
            top = psutil.Process(pid)
            processes += [top, *top.children(recursive=True)]
        except (psutil.Error, ValueError):  # it has ended, or is initdb's, which writes a negative number
            continue
    return list(dict.fromkeys(processes))


def judge(folder: Path) -> tuple[float, float, int, str]:
    """Seconds, seconds of processors of the command's own processes, largest megabytes, and what it printed as JSON."""
    home = folder / "home"
    files = [str(folder / f"{model}.csv") for model in MODELS]
    command = [
        str(Path(sys.executable).with_name("xray")),
        "evaluate",
        *files,
        "--labels",
        str(folder / "labels.csv"),
    ]
    before, peak = os.times(), 0
    began = time.monotonic()
    with (folder / "said.json").open("w") as output:
        running = subprocess.Popen(
            [*command, "--site", "ward", "--json"], stdout=output, env={**os.environ, "XRAY_HOME": str(home)}
        )
        while running.poll() is None:
            peak = max(peak, sum(map(pss, tree(home, running.pid))))
            time.sleep(0.5)
    took, after = time.monotonic() - began, os.times()
    if running.returncode:
        raise SystemExit(f"xray evaluate ended with {running.returncode}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return took, cpu, peak // 10**6, (folder / "said.json").read_text()


def run(images: int, findings: int, limit: int) -> Run:
    """One size, in a folder that goes afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="evaluate "))
    try:
        truth = draw(folder, images, findings)
        seconds, cpu, megabytes, answer = judge(folder)
        aucs = {(row["trained_on"], row["task"]): row["auc"] for row in json.loads(answer)["auc"]}
        same = set(aucs) == set(truth) and all(abs(aucs[key] - truth[key]) < 1e-9 for key in truth)
        return Run(images, findings, seconds, limit, cpu, megabytes, LIMIT_MB, same)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Print a line for each size; 1 where a limit or equality doesn't hold."""
    good = True
    for images, findings, limit in SIZES[: 1 if "--quick" in sys.argv else None]:
        result = run(images, findings, limit)
        holds = result.equal and result.seconds <= limit and result.megabytes <= LIMIT_MB
        good &= holds
        if "--json" in sys.argv:
            print(json.dumps(asdict(result)), flush=True)
            continue
        print(
            f"{result.images} images × {result.findings} findings × {len(MODELS)} models: {result.seconds:.1f} s "
            f"(limit {limit}), {result.cpu_seconds:.1f} s of processors, {result.megabytes} MB (limit {LIMIT_MB}), "
            f"AUCs {'equal' if result.equal else 'DIFFERENT'}: {'holds' if holds else 'DOES NOT HOLD'}",
            flush=True,
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
