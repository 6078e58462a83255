"""The commands of datasets, labels, protocols, cohorts and audits, as users type them."""

import json
import re
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flows.cli import cli
from xray.data.sources.datasets import published_datasets
from xray.errors import XrayError

Run = Callable[..., Result]
ROOT = Path(__file__).parents[3]
WriteNih = Callable[..., Path]


@pytest.fixture
def run(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command against a new database; its exit code must be the expected one."""
    monkeypatch.setenv("XRAY_DATABASE_URL", database.replace("+psycopg2", ""))
    monkeypatch.setenv("XRAY_HOME", str(tmp_path / "home"))

    def call(*words: str | Path, code: int = 0) -> Result:
        result = CliRunner().invoke(cli, [str(word) for word in words])
        if result.exception and not isinstance(result.exception, SystemExit | XrayError):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return call


def test_commands_lead_from_label_files_to_an_audit(run: Run, tmp_path: Path, write_nih: WriteNih) -> None:
    labels = write_nih(tmp_path, 40, *[f"x{i}.png,Cough,0,7,058Y,M,PA" for i in range(12)])
    added = run("dataset", "add", "nih", "--labels", labels, "--labels-only")
    assert "registered 80 images of 40 patients" in added.stdout
    assert "12 row(s) or picture(s) set aside" in added.stderr
    assert "row 82, image x0.png: column 'Finding Labels': 'Cough'" in added.stderr
    assert "and 2 more" in added.stderr
    assert "release of 2017" in added.stderr
    assert len(run("dataset", "quarantine", "nih", "--json").stdout.splitlines()) == 12
    counts = json.loads(run("dataset", "counts", "nih", "--protocol", "paper", "--json").stdout)
    assert counts["tasks"]["Mass"] == {"positive": 13, "negative": 27, "uncertain": 0, "not mentioned": 0}
    explained = run("labels", "explain", "nih", "00000003_000.png").stdout
    assert re.search(r"under paper(.|\n)*Mass +positive +1 +Finding Labels +Mass\|Nodule", explained)
    assert "under corrected" in explained
    diff = json.loads(run("protocol", "diff", "paper", "corrected", "nih", "--json").stdout)
    assert diff["images"]["both"] == 40
    assert "datasets.nih.views" in run("protocol", "diff", "paper", "corrected", "nih").stdout
    assert "rows, test" in run("protocol", "diff", "paper", "corrected", "nih").stdout
    assert json.loads(run("protocol", "show", "paper", "--json").stdout)["split"]["method"] == "permutation"
    split = tmp_path / "split.csv"
    run("cohort", "export", "nih", "--output", split)
    assert run("cohort", "export", "nih").stdout == split.read_text()
    assert "were frozen already, with the same hashes" in run("cohort", "import", split).stdout
    assert len(run("cohort", "list", "--json").stdout.splitlines()) == 5
    report = json.loads(
        run("audit", "leakage", "--protocol", "paper", "--protocol", "corrected", "--json").stdout
    )
    assert report == {"cohorts": [], "models": [], "not_split": []}
    assert "no cohort shares" in run("audit", "leakage").stderr
    add_again = run("dataset", "add", "nih_2", "--source", "nih", "--labels", labels, "--labels-only")
    assert "registered 80 images" in add_again.stdout
    (task,) = [
        json.loads(line)
        for line in run("labels", "agreement", "nih", "nih_2", "--json").stdout.splitlines()
        if '"Mass"' in line
    ]
    assert (task["n"], task["kappa"]["value"]) == (80, 1.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nih", "--labels", "F"], "--images DIR"),
        (["mine", "--labels", "F", "--labels-only"], "--source: expected one of"),
        (["mine", "--manifest", "F"], "--site SITE"),
        (["nih", "--labels", "F", "--manifest", "F"], "or --manifest"),
        (["nih", "--labels", "F", "--images", "D", "--labels-only"], "choose one of"),
    ],
)
def test_a_usage_error_names_the_option(
    tmp_path: Path, write_nih: WriteNih, words: list[str], message: str
) -> None:
    stands_for = {"F": str(write_nih(tmp_path)), "D": str(tmp_path)}
    result = CliRunner().invoke(cli, ["dataset", "add", *(stands_for.get(word, word) for word in words)])
    assert result.exit_code == 2
    assert message in result.output


def test_table_a1_names_the_cells_that_differ(run: Run, tmp_path: Path, write_nih: WriteNih) -> None:
    write_nih(tmp_path / "labels/nih")
    result = run("verify", "table-a1", "--labels", tmp_path / "labels", "--json", code=1)
    report = json.loads(result.stdout)
    assert report["datasets"]["nih"] == {"equal": 0, "cells": 14, "there": True}
    assert report["datasets"]["rsna"] == {"equal": 0, "cells": 2, "there": False}
    (mass,) = [cell for cell in report["cells"] if (cell["dataset"], cell["task"]) == ("nih", "Mass")]
    assert (mass["found_positive"], mass["found_negative"], mass["equal"]) == (13, 27, False)
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(cli, ["verify", "table-a1", "--labels", str(tmp_path / "empty")])
    assert isinstance(result.exception, XrayError)


def test_table_a1_of_the_published_files_is_equal(run: Run) -> None:
    folder = ROOT / "../shared/data/labels"
    if not folder.is_dir():
        pytest.skip("the published label files are not there")
    report = json.loads(run("verify", "table-a1", "--labels", folder, "--json").stdout)["datasets"]
    equal = {name: its["equal"] for name, its in report.items() if its["there"]}
    assert equal == {"nih": 14, "google": 3, "openi": 16, "rsna": 2}
    assert all(report[name]["cells"] == n for name, n in equal.items())
    assert set(report) == set(published_datasets())


@pytest.mark.slow
def test_counts_of_the_published_files_are_reproduced(run: Run) -> None:
    """The fourteen numbers of the released code's NIH test half (protocol §6, seen in its output).

    Of the same files without commands and database: `test_table_a1.py`.
    """
    file = ROOT / "../shared/data/labels/Data_Entry_2017.csv.gz"
    if not file.is_file():
        pytest.skip("the published label files are not there")
    run("dataset", "add", "nih", "--labels", file, "--labels-only")
    counts = json.loads(
        run("dataset", "counts", "nih", "--protocol", "paper", "--part", "test", "--json").stdout
    )
    assert counts["images"] == 15_403
    assert {task: states["positive"] for task, states in counts["tasks"].items() if states["positive"]} == {
        "Atelectasis": 866, "Consolidation": 203, "Infiltration": 1809, "Pneumothorax": 136, "Edema": 41,
        "Emphysema": 126, "Fibrosis": 292, "Effusion": 656, "Pneumonia": 87, "Pleural_Thickening": 379,
        "Cardiomegaly": 399, "Nodule": 806, "Mass": 614, "Hernia": 39,
    }  # fmt: skip


def test_the_custom_reader_of_the_docs_works(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worked example of docs/add-a-dataset.md, installed as pip would: module and entry point."""
    page = (ROOT / "docs/add-a-dataset.md").read_text(encoding="utf-8")
    code, project = (re.search(rf"```{kind}\n(.*?)```", page, re.S) for kind in ("python", "toml"))
    assert code
    assert project
    about = tomllib.loads(project[1])["project"]
    site = tmp_path / "site"
    installed = site / f"clinic_reader-{about['version']}.dist-info"
    installed.mkdir(parents=True)
    (site / "clinic_reader.py").write_text(code[1])
    (installed / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    )
    ((group, points),) = about["entry-points"].items()
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (installed / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(site)
    rows = [f"p{i};f{i};{['yes', 'no', 'maybe', ''][i % 4]}" for i in range(40)]
    (tmp_path / "films.csv").write_text("\n".join(["pupil;film;mass", *rows, "p99;f99;perhaps"]))
    command = re.search(r"xray (dataset add clinic .*)", page)
    assert command
    words = [str(tmp_path / word) if word == "films.csv" else word for word in command[1].split()]
    result = run(*words)
    assert "registered 40 images" in result.stdout
    assert "films.csv, row 42, image f99: column 'mass': 'perhaps'" in result.stderr
    counts = json.loads(run("dataset", "counts", "clinic", "--json").stdout)["tasks"]["Mass"]
    assert counts == {"positive": 10, "negative": 10, "uncertain": 10, "not mentioned": 10}
    assert "yes" in run("labels", "explain", "clinic", "f0").stdout
    sys.modules.pop("clinic_reader", None)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the events that commands send to the address of PREFECT_API_URL."""
    names: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            names.extend(event["event"] + " " + event["payload"]["name"] for event in body)
            self.send_response(204)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
        yield names
        server.shutdown()


def test_an_import_of_scores_is_announced_once(
    run: Run, tmp_path: Path, write_nih: WriteNih, events: list[str]
) -> None:
    run("dataset", "add", "nih", "--labels", write_nih(tmp_path, 40), "--labels-only")
    lines = run("cohort", "export", "nih").stdout.splitlines()
    images = [line.split(",")[1] for line in lines if line.startswith("test,")]
    scores = tmp_path / "scores.csv"
    scores.write_text("image,Mass\n" + "".join(f"{image},0.{n % 9}5\n" for n, image in enumerate(images)))
    words = ["predictions", "import", scores, "--model", "vendor", "--cohort", "nih", "--kind", "probability"]
    run(*words)
    assert events == ["xray.dataset.registered nih", "xray.model.registered vendor"]
    run(*words)
    assert len(events) == 2
