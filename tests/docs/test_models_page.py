"""docs/models-from-elsewhere.md: its commands run on the demo, its card and study are read, its messages have causes."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from sqlalchemy import Engine
from torch import nn

from flows.cli import cli
from tests.attacks.bombs import looping
from xray.data.foreign_models import get_foreign
from xray.data.named_cohorts import find_cohort
from xray.data.prediction_files import import_predictions
from xray.data.prepare import prepare
from xray.data.request import DatasetRequest, Phantom
from xray.errors import XrayError
from xray.learning.foreign_card import card_of, read_card
from xray.learning.foreign_network import ForeignNetwork, build, load_foreign, probe, read_state
from xray.learning.foreign_safety import ONNX, STATE, check_file
from xray.study import read_study

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/models-from-elsewhere.md"
DOCUMENTED = re.findall(
    r"^\| `([^|]+)` \|", (ROOT / PAGE).read_text(encoding="utf-8").split("## Errors")[1], re.M
)


def test_the_commands_and_queries_of_the_page_run(blocks, installation, tmp_path, monkeypatch):
    """In this process, which saves a start of Python for each; the last ones remove what the others brought."""
    monkeypatch.chdir(tmp_path)
    outputs = []
    queries = [block.text for block in blocks(PAGE, "sql")]
    for block in (block for block in blocks(PAGE, "sh") if block.run):
        if "remove" in block.text:
            (rows,) = (installation.ask(query) for query in queries)
            assert {"phantom-a", "phantom-d", "their-model"} <= {row["trained_on"] for row in rows}
            by = {(row["trained_on"], row["task"]): row["auc"] for row in rows}
            assert by["their-model", "Effusion"] != by["phantom-a", "Effusion"]
        for line in block.text.splitlines():
            result = CliRunner().invoke(
                cli, shlex.split(line)[1:], env={"XRAY_HOME": installation.environment["XRAY_HOME"]}
            )
            assert result.exit_code == 0, f"{line}\n{result.output}{result.exception}"
            outputs.append(result.stdout)
    output = "\n".join(outputs)
    assert re.search(
        r"their-model: imported \d+ tasks of (\d+) of the \1 images of phantom-a/corrected/test", output
    )
    assert "ours-again: imported (onnx)" in output
    assert re.search(r"^ours-again +foreign +phantom-a ", output, re.M)
    leaks = re.findall(r"^(their-model|ours-again) +\1 +corrected +(\S+) ", output, re.M)
    assert sorted(leaks) == [("ours-again", "phantom-a"), ("their-model", "phantom-d")], "what they know"
    left = installation.ask("select count(*) as n from model where kind = 'foreign'")
    assert left == [{"n": "0"}]


def test_the_card_and_the_study_of_the_page_are_read(blocks, tmp_path):
    card, study = (block.text for block in blocks(PAGE, "toml"))
    (tmp_path / "card.toml").write_text(card)
    card_read = read_card(tmp_path / "card.toml")
    assert set(re.findall(r"^(\w+) =", card, re.M)) == {*card_read.plain(), "name"}
    (tmp_path / "study.toml").write_text(study)
    assert read_study(tmp_path / "study.toml").foreign == ("their-model", "ours-again")


Context = dict[str, Any]
CARD = {"name": "t", "size": 16, "range": [0, 1], "output": "logit", "tasks": ["Mass", "Effusion"]}


def scores(**changes: Any) -> Callable[[Context], None]:
    """Import a file of scores, changed; `rows` says how many."""

    def run(context: Context) -> None:
        options = dict(changes)
        rows, twice = options.pop("rows", None), options.pop("twice", False)
        name, model = options.pop("rename", {}), options.pop("model", "theirs")
        frame = (
            pd.DataFrame({"image": context["images"], "Effusion": 0.5})
            .assign(**options)[:rows]
            .rename(columns=name)
        )
        if twice:
            frame = pd.concat([frame, frame.assign(Effusion=0.25)])
        frame.to_csv(context["folder"] / "scores.csv", index=False)
        cohort = find_cohort(context["connection"], "a", "corrected", "test")
        import_predictions(
            context["connection"], context["folder"] / "scores.csv", model, cohort, "probability"
        )

    return run


def two_times(context: Context) -> None:
    scores()(context)
    scores(Effusion=0.25)(context)


def saved(save: Callable[[Path], object], name: str = "m.pt") -> Callable[[Context], None]:
    def run(context: Context) -> None:
        path = context["folder"] / name
        save(path)
        kind = check_file(path)
        if kind == STATE:
            read_state(path, trust=False)
        else:
            load_foreign(path, kind, card_of(CARD, "card"), trust=False)

    return run


def exported(path: Path) -> None:
    torch.export.save(torch.export.export(nn.Flatten(), (torch.zeros(2, 1, 4, 4),)), path)


def training_mode(context: Context) -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).train()
    probe(ForeignNetwork(network, card_of(CARD, "card")))


def endless(context: Context) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XRAY_MODEL_SECONDS", "0.5")
        card = card_of({**CARD, "size": 8, "tasks": ["Mass"]}, "card")
        load_foreign(looping(context["folder"] / "m.onnx"), ONNX, card, trust=False)(torch.zeros(1, 1, 8, 8))


def answers_above_1(context: Context) -> None:
    network = ForeignNetwork(
        lambda x: torch.full((len(x), 2), 3.0), card_of({**CARD, "output": "probability"}, "c")
    )
    network(torch.zeros(1, 1, 16, 16))


CAUSES: dict[str, Callable[[Context], object]] = {
    "expected one column image or image_id": scores(rename={"image": "film"}),
    "no column is a task": scores(rename={"Effusion": "Gout"}),
    "is no task; did you mean 'Effusion'?": scores(Efusion=0.5),
    "name images that a does not have": scores(image="nobody"),
    "are missing (--missing-as-nan": scores(rows=3),
    "stand in several rows with different scores": scores(twice=True),
    "are outside what is expected, probabilities from 0 to 1": scores(Effusion=1.5),
    "there is no cohort b/corrected/test": lambda context: find_cohort(
        context["connection"], "b", "corrected", "test"
    ),
    "has other scores of the images of": two_times,
    "is the name of a dataset": scores(model="a"),
    "there is no foreign model 'nobody'": lambda context: get_foreign(context["connection"], "nobody"),
    "a pickle that is more than weights": saved(lambda path: torch.save(nn.Linear(2, 2), path)),
    "runs its author's code": saved(lambda path: torch.jit.script(nn.Flatten()).save(str(path))),
    "a torch.export program runs its author's code": saved(exported, "m.pt2"),
    "has not answered for": endless,
    "the model's name: expected lower-case letters": scores(model="their/model"),
    "size is missing; expected pixels along a side": lambda _: card_of(
        {"name": "t"} | {k: CARD[k] for k in ("range", "output", "tasks")}, "c"
    ),
    "the card must name their network (network": lambda _: build(card_of(CARD, "c"), {}),
    "are not those of densenet121 with 1 channel(s)": lambda _: build(
        card_of({**CARD, "network": "densenet121"}, "c"), {"weight": torch.zeros(1)}
    ),
    "its card says probability, but its outputs": answers_above_1,
    "saved in training mode": training_mode,
}


def test_every_documented_message_has_its_cause():
    assert list(CAUSES) == DOCUMENTED


def test_each_documented_message_is_the_one_that_a_user_gets(tmp_path: Path, engine: Engine):
    home = tmp_path / "home"
    home.mkdir()
    prepare(
        engine,
        home,
        DatasetRequest("a", "a", "manifest", None, None, Phantom("alpha", 30, 16)),
        "corrected",
        16,
    )
    with engine.begin() as connection:
        images = find_cohort(connection, "a", "corrected", "test").images
    for message, cause in CAUSES.items():
        with engine.connect() as connection, pytest.raises(XrayError, match=re.escape(message)):
            cause({"connection": connection, "folder": tmp_path, "images": images})
