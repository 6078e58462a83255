"""How soon a standing stack acts: from a registration to its results, and from ten events at once to a run.

    python -m benchmarks.standing_soon [--vendors N]

Trains nih and guangzhou of studies/pneumonia.toml for two epochs, on the real pictures, registers covid_idc, and prints the
seconds until its evaluations, its results and its page are there; then tells of ten registrations at once. Exit code 1 where
results take more than 60 s, ten events more than 15 s to a run, or they start more than two runs. With N bought models
(ResNet-18 at 224 pixels as ONNX, random weights) in the study, the results are those of its own models.
"""

import dataclasses
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import psutil

from benchmarks._stack import ROOT, Home, flow_runs, say, wait
from xray.data.request import DatasetRequest
from xray.study import read_study

STUDY = """
name = "soon"
configurations = ["each"]
seeds = [0]
{datasets}
[network]
name = "small_convnet"
image_size = 96
[training]
epochs = 2
epoch_images = 384
batch_size = 32
learning_rate = 3e-3
"""
TIMES = """select
(select extract(epoch from max(evaluation.completed_at))
    from evaluation
    join cohort on cohort.image_list_id = evaluation.image_list_id
    join dataset on dataset.id = cohort.dataset_id
    where dataset.name = '{name}') as evaluations,
(select extract(epoch from max(computed_at)) from analysis) as results,
(select count(*) from evaluation
    join cohort on cohort.image_list_id = evaluation.image_list_id
    join dataset on dataset.id = cohort.dataset_id
    where dataset.name = '{name}') as n_evaluations,
(select count(*) from auc_results where test_dataset = '{name}') as n_results"""
OWN = """select count(*) as n from auc_results
where test_dataset = '{name}' and trained_on in ('nih', 'guangzhou') and auc is not null"""
CARD = 'name = "{name}"\nsize = 224\nrange = [-1024, 1024]\noutput = "logit"\ntasks = ["Pneumonia"]\n'
SOON, TEN_SOON = 60, 15


def vendors(home: Home, folder: Path, n: int) -> list[str]:
    """Import n bought models; their names."""
    import timm
    import torch

    names = [f"vendor-{k}" for k in range(n)]
    for k, name in enumerate(names):
        torch.manual_seed(k)
        network = timm.create_model("resnet18", pretrained=False, in_chans=1, num_classes=1).eval()
        file = folder / f"{name}.onnx"
        axes = {"x": {0: "n"}, "y": {0: "n"}}
        torch.onnx.export(
            network,
            (torch.zeros(2, 1, 224, 224),),
            file,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=axes,
            dynamo=False,
        )
        file.with_suffix(".toml").write_text(CARD.format(name=name))
        home.run("model", "import", str(file))
    return names


def dataset(home: Home, new: DatasetRequest, with_vendors: bool = False) -> float:
    """Register a dataset and wait for its re-evaluation; seconds from the end of the command to the last result.

    with_vendors: to the last result of the study's own models."""
    home.run("dataset", "add", new.name, "--site", new.site, "--manifest", str(new.labels))
    began = time.time()
    load = psutil.getloadavg()[0]
    own = float("inf")
    if with_vendors:
        wait(lambda: home.rows(OWN.format(name=new.name))[0]["n"] >= 2, 600, "results of its own models", 1)
        own = time.time() - began
        say(f"{new.name}: results of its own models after {own:.1f} s at most; load {load:.1f}")
    wait(lambda: bool(flow_runs(home, "reevaluate")), 60, "a re-evaluation")
    run = flow_runs(home, "reevaluate")[0]["id"]
    ends = ("COMPLETED", "FAILED", "CRASHED")
    wait(lambda: home.api().get(f"/flow_runs/{run}")["state_type"] in ends, 1200, "its end")
    seconds = moment(home.api().get(f"/flow_runs/{run}")["end_time"]) - began
    (times,) = home.rows(TIMES.format(name=new.name))
    results = float(times["results"]) - began
    say(
        f"{new.name}: {times['n_evaluations']} evaluations after {float(times['evaluations']) - began:.1f} s, "
        f"{times['n_results']} results after {results:.1f} s, page after {seconds:.1f} s; load {load:.1f}"
    )
    return (own if with_vendors else results) if times["n_results"] else float("inf")


def ten(home: Home) -> tuple[float, int]:
    """Tell of ten registrations at once; seconds to the first run, and how many runs there were."""
    from flows.events import announce

    os.environ["XRAY_HOME"] = str(home.path)
    before = {run["id"] for run in flow_runs(home, "reevaluate")}
    began = time.time()
    with ThreadPoolExecutor(10) as threads:
        assert all(threads.map(lambda number: announce("dataset", f"none-{number}"), range(10)))
    time.sleep(20)
    ends = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    wait(lambda: all(r["state_type"] in ends for r in flow_runs(home, "reevaluate")), 120, "idle")
    runs = [run for run in flow_runs(home, "reevaluate") if run["id"] not in before]
    first = min(moment(run["start_time"]) for run in runs if run["state_type"] == "COMPLETED") - began
    states = sorted(run["state_type"] for run in runs)
    say(f"ten events: a run after {first:.1f} s; runs {states}; load {psutil.getloadavg()[0]:.1f}")
    return first, len(runs)


def moment(text: str) -> float:
    """Seconds since 1970."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def main(folder: Path, n_vendors: int = 0) -> int:
    """Run both; 0 where they are soon enough."""
    datasets = {dataset.name: dataset for dataset in read_study(ROOT / "studies" / "pneumonia.toml").datasets}
    if "XRAY_PICTURES" in os.environ:  # where they don't lie where the study says
        pictures = Path(os.environ["XRAY_PICTURES"])
        datasets = {
            n: dataclasses.replace(d, labels=pictures / n / "labels.csv") for n, d in datasets.items()
        }
    trained = [datasets[name] for name in ("nih", "guangzhou")]
    tables = [f'[[datasets]]\nname = "{d.name}"\nsite = "{d.site}"\nmanifest = "{d.labels}"' for d in trained]
    study = folder / "soon.toml"
    study.write_text(STUDY.format(datasets="\n".join(tables)))
    home = Home(folder / "home")
    if n_vendors:
        names = vendors(home, folder, n_vendors)
        study.write_text(f"foreign = {names}\n" + study.read_text())
    home.run("study", "run", str(study))
    home.run("up")
    try:
        results = dataset(home, datasets["covid_idc"], n_vendors > 0)
        first, n_runs = ten(home)
    finally:
        home.run("down", check=False)
    return 0 if results <= SOON and first <= TEN_SOON and n_runs <= 2 else 1


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(main(Path(scratch), int(sys.argv[2]) if sys.argv[1:2] == ["--vendors"] else 0))
