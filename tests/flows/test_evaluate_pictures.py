"""`xray evaluate --model FILE --dataset NAME`: a bought network scores a hospital's own pictures, and is judged by them.

And `xray intervene`: what it loses on pictures of one hospital that are made to look like the other's.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from flows.cli.intervene import KINDS
from tests.flows.conftest import Typed
from tests.homes import Home
from xray.pixels import changes

onnx = pytest.importorskip("onnx")
N = 60
CARD = 'name = "vendor"\nsize = 32\nrange = [-1024, 1024]\noutput = "logit"\ntasks = ["Mass", "Effusion"]\n'

pytestmark = pytest.mark.timeout(600)


def write_network(path: Path) -> None:
    """Its logits: the mean of the pixels / 100, and that with the other sign."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    weights = numpy_helper.from_array(np.array([[0.01, -0.01]], np.float32), "w")
    axes = numpy_helper.from_array(np.array([2, 3]), "axes")
    graph = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
            helper.make_node("MatMul", ["mean", "w"], ["y"]),
        ],
        "mean",
        [helper.make_tensor_value_info("x", 1, ["n", 1, 32, 32])],
        [helper.make_tensor_value_info("y", 1, ["n", 2])],
        [weights, axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)


def write_hospital(folder: Path, seed: int) -> pd.DataFrame:
    """Pictures whose brightness knows Mass and little of Effusion, and their manifest; rows with brightness."""
    draw = np.random.default_rng(seed)
    folder.mkdir()
    rows = []
    for k in range(N):
        mass, effusion = int(draw.random() < 0.4), int(draw.random() < 0.4)
        level = np.clip(draw.normal(110 + 40 * mass, 30), 20, 230)
        pixels = np.clip(draw.normal(level, 10, (32, 32)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
        rows.append((f"{seed}-{k}", f"p{k}", f"{k}.png", mass, effusion, pixels.mean()))
    frame = pd.DataFrame(rows, columns=["image_id", "patient_id", "path", "Mass", "Effusion", "brightness"])
    frame.drop(columns="brightness").to_csv(folder / "manifest.csv", index=False)
    return frame


def test_a_file_scores_the_pictures_of_two_hospitals(empty_home: Home, typed: Callable[..., Typed]) -> None:
    folder = empty_home.path.parent
    write_network(folder / "vendor.onnx")
    (folder / "vendor.toml").write_text(CARD)
    hospitals = {name: write_hospital(folder / name, seed) for seed, name in enumerate(("ours", "theirs"))}
    for name in hospitals:
        manifest = str(folder / name / "manifest.csv")
        words = ("dataset", "add", name, "--manifest", manifest, "--site", name, "--protocol", "external")
        code, _, error = typed(empty_home, *words)
        assert code == 0, error

    code, _, error = typed(empty_home, "evaluate", "--model", "vendor.onx", "--dataset", "ours")
    assert (code, "there is no foreign model 'vendor.onx'" in error) == (1, True)
    code, _, error = typed(empty_home, "evaluate", "--model", str(folder / "vendor.onnx"))
    assert (code, "give SCORES" in error) == (2, True)

    process = empty_home.run("evaluate", "--model", "vendor.onnx", "--dataset", "ours", "--dataset", "theirs")
    assert process.stdout.rstrip().endswith("reports/evaluation/report.html")
    rows = typed(empty_home, "analyse", "performance", "--json")[1].splitlines()
    results = {(row["test_dataset"], row["task"]): row for row in map(json.loads, rows)}
    assert len(results) == len(rows) == 4
    for name, frame in hospitals.items():
        for task, sign in (("Mass", 1), ("Effusion", -1)):
            row = results[name, task]
            assert row["auc"] == pytest.approx(
                roc_auc_score(frame[task], sign * frame["brightness"]), abs=1e-9
            )
            assert (row["n"], row["trained_on"]) == (N, "vendor")

    again = empty_home.run("evaluate", "--model", "vendor", "--dataset", "ours", "--json")
    assert json.loads(again.stdout)["evaluated"] == 0

    about = json.loads(typed(empty_home, "provenance", "vendor", "--json")[1])
    digest = hashlib.sha256((folder / "vendor.onnx").read_bytes()).hexdigest()
    assert (about["model_file"], about["model_file_sha256"], about["weights_sha256"]) == (
        "vendor.onnx",
        digest,
        digest,
    )
    assert about["import_command"].startswith("xray evaluate --model vendor.onnx")
    assert about["card"]["output"] == "logit"
    assert [evaluation["test_datasets"] for evaluation in about["evaluations"]] == [["ours"], ["theirs"]]
    words = typed(empty_home, "explain", "evaluation/vendor/ours/Mass")[1]
    for line in (
        f"file vendor.onnx  sha256 {digest}",
        "from elsewhere (onnx)",
        "card: 32 pixels, crop centre, range -1024 to 1024, output logit",
    ):
        assert line in words
    intervene(empty_home, typed, {name: results[name, "Mass"]["auc"] for name in hospitals})


COUNTS = (
    "select (select count(*) from predictions) as scores, (select count(*) from evaluation) as evaluations"
)


def intervene(home: Home, typed: Callable[..., Typed], aucs: dict[str, float]) -> None:
    """By one command, once; apart from all that was there."""
    assert KINDS == changes.KINDS
    (before,) = home.sql(COUNTS)
    command = ("intervene", "run", "evaluation", "--from", "ours", "--kinds", "noise,histogram", "--json")
    code, printed, _ = typed(home, *command, "--dry-run")
    assert (code, [json.loads(line) for line in printed.splitlines()]) == (
        0,
        [{"model": "vendor", "seed": None, "from": "ours", "to": "theirs", "kinds": "noise, histogram"}],
    )
    code, _, error = typed(home, "intervene", "run", "evaluation", "--kinds", "noize")
    assert (code, "there is no kind 'noize'; did you mean 'noise'?" in error) == (1, True)

    rows = [json.loads(line) for line in home.run(*command).stdout.splitlines()]
    assert [(row["from"], row["to"], row["task"], row["kind"]) for row in rows] == [
        ("ours", "theirs", task, kind) for task in ("Effusion", "Mass") for kind in ("histogram", "noise")
    ]
    assert rows[2]["before"] == pytest.approx(aucs["ours"])
    assert home.sql(COUNTS) == [before]
    assert "Images changed on purpose" in (home.path / "reports/evaluation/report.html").read_text()
    words = typed(home, "explain", "evaluation/vendor/theirs/Mass")[1]
    assert "ours's pictures made to look like theirs's in" in words
    code, printed, error = typed(
        home, *command
    )  # in this process, without Prefect: there is nothing left to do
    assert (code, [json.loads(line) for line in printed.splitlines()]) == (0, rows)
    assert json.loads(typed(home, "db", "check", "--json")[1])["clean"]
