"""Registration of label files, from the file to frozen cohorts. python -m benchmarks.register [--quick] [--json]

nih: the real Data_Entry_2017.csv(.gz) in the folder XRAY_LABELS where that is set, else a drawn file of the same size.
chexpert: drawn, of the size of train.csv. Each runs in a process of its own, so that its peak memory is its own. `equal`:
the counts read back from the database are those of the file, counted by pandas.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

NIH_ROWS, CHEXPERT_ROWS = 112_120, 223_414
LIMIT_SECONDS = {"nih": 15, "chexpert": 30}
LIMIT_MB = 1500
FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia",
    "Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax",
)  # fmt: skip
CHEXPERT = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One registration: seconds on the clock, peak memory, and the limits."""

    id: str
    work: str
    rows: int
    seconds: float
    cpu_seconds: float
    megabytes: int
    limit_seconds: int
    limit_megabytes: int
    equal: bool


def draw_nih(path: Path, rows: int) -> None:
    """A file with the columns and the variety of Data_Entry_2017.csv."""
    rng = np.random.default_rng(0)
    patient = np.sort(rng.integers(1, 30_806, rows))
    present = rng.random((rows, len(FINDINGS))) < 0.05
    names = np.array(FINDINGS)
    pd.DataFrame(
        {
            "Image Index": [f"{p:08d}_{i:06d}.png" for i, p in enumerate(patient)],
            "Finding Labels": ["|".join(names[row]) or "No Finding" for row in present],
            "Follow-up #": rng.integers(0, 180, rows),
            "Patient ID": patient,
            "Patient Age": [f"{age:03d}Y" for age in rng.integers(1, 95, rows)],
            "Patient Gender": rng.choice(["M", "F"], rows),
            "View Position": rng.choice(["PA", "AP"], rows),
        }
    ).to_csv(path, index=False)


def draw_chexpert(path: Path, rows: int) -> None:
    """A file with the columns and the variety of train.csv."""
    rng = np.random.default_rng(1)
    patient = np.sort(rng.integers(1, 64_541, rows))
    frame = pd.DataFrame(
        {
            "Path": [
                f"CheXpert-v1.0-small/train/patient{p:05d}/study{i % 9 + 1}/view{i}_frontal.jpg"
                for i, p in enumerate(patient)
            ],
            "Sex": rng.choice(["Male", "Female"], rows),
            "Age": rng.integers(18, 91, rows),
            "Frontal/Lateral": rng.choice(["Frontal", "Frontal", "Frontal", "Lateral"], rows),
            "AP/PA": rng.choice(["AP", "PA"], rows),
        }
    )
    for column in CHEXPERT:
        frame[column] = rng.choice(["", "", "1.0", "0.0", "-1.0"], rows)
    frame.to_csv(path, index=False)


def measure(name: str, path: Path) -> Run:
    """Register one label file in a new database, cohorts of `corrected` included."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    from benchmarks.homes import scratch_home
    from db.embedded import acquire
    from db.migrate import upgrade
    from xray.data.counts import count_states
    from xray.data.prepare import register_request
    from xray.data.request import DatasetRequest
    from xray.data.sources.datasets import dataset

    with scratch_home() as home, acquire(home) as server:
        server.create_database("benchmark")
        engine = create_engine(server.url("benchmark"), poolclass=NullPool)
        upgrade(engine)
        request = DatasetRequest(name, dataset(name).site, name, path, None, None, labels_only=True)
        clock, cpu = time.perf_counter(), time.process_time()
        registration = register_request(engine, request, "corrected")
        clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        with engine.begin() as connection:
            tasks = count_states(connection, name)["tasks"]
    positives_of = {task: states["positive"] for task, states in tasks.items()}
    work = f"{registration.n_images:,} label rows of {name}, from {path.name} to frozen cohorts"
    return Run(
        f"R-{name}",
        work,
        registration.n_images,
        round(clock, 2),
        round(cpu, 2),
        memory,
        LIMIT_SECONDS[name],
        LIMIT_MB,
        positives_of == positives(name, path),
    )


def positives(name: str, path: Path) -> dict[str, int]:
    """Positive rows per task, counted by pandas alone."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if name == "nih":
        labels = frame["Finding Labels"]
        return {task: int(labels.str.contains(task, regex=False).sum()) for task in FINDINGS}
    dropped = ("No Finding", "Pleural Other", "Support Devices")
    return {
        column.replace("Pleural Effusion", "Effusion"): int((frame[column] == "1.0").sum())
        for column in CHEXPERT
        if column not in dropped
    }


def main() -> None:
    """Measure each dataset in a process of its own; exit code 1 where a limit is broken."""
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(asdict(measure(sys.argv[2], Path(sys.argv[3])))))
        return
    quick, as_json = "--quick" in sys.argv, "--json" in sys.argv
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for name, path in _files(Path(folder), 20 if quick else 1).items():
            command = [sys.executable, "-m", "benchmarks.register", "measure", name, str(path)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            runs.append(Run(**json.loads(answer.splitlines()[-1])))
    for run in runs:
        print(json.dumps(asdict(run)) if as_json else _line(run))
    if any(not run.equal or run.seconds > run.limit_seconds or run.megabytes > LIMIT_MB for run in runs):
        sys.exit(1)


def _files(folder: Path, part: int) -> dict[str, Path]:
    published = sorted(Path(os.environ.get("XRAY_LABELS") or "/nowhere").glob("Data_Entry_2017.csv*"))
    nih, chexpert = folder / "Data_Entry_2017.csv", folder / "train.csv"
    if not published or part > 1:
        draw_nih(nih, NIH_ROWS // part)
    draw_chexpert(chexpert, CHEXPERT_ROWS // part)
    return {"nih": published[0] if published and part == 1 else nih, "chexpert": chexpert}


def _line(run: Run) -> str:
    return (
        f"{run.id}  {run.work}: {run.seconds:.1f} s (at most {run.limit_seconds}), {run.cpu_seconds:.1f} s CPU, "
        f"{run.megabytes} MB (at most {run.limit_megabytes}), counts {'equal' if run.equal else 'DIFFER'}"
    )


if __name__ == "__main__":
    main()
