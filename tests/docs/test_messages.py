"""Each error message of docs/your-own-study.md is one that a user gets."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sqlalchemy import Engine

from xray.configuration import Condition
from xray.data.prepare import prepare, register_request
from xray.data.request import DatasetRequest, Phantom
from xray.errors import XrayError
from xray.learning.initial import start_from
from xray.learning.network import Network
from xray.learning.recipe import Recipe
from xray.learning.request import ModelRequest, part_cohorts
from xray.learning.train import Part, train
from xray.study import read_study

pytestmark = pytest.mark.filterwarnings(
    "ignore:The Result.tuples"
)  # deprecated in SQLAlchemy 2.1, needed for the types of 2.0

ROOT = Path(__file__).resolve().parents[2]
HEADER = "image_id,patient_id,path,Effusion\n"

DOCUMENTED = re.findall(
    r"^\| `([^|]+)` \|",
    (ROOT / "docs/your-own-study.md").read_text(encoding="utf-8").split("## Errors")[1],
    re.M,
)


def request(
    folder: Path, name: str = "ours", site: str = "here", phantom: Phantom | None = None
) -> DatasetRequest:
    labels = None if phantom else folder / "labels.csv"
    return DatasetRequest(name, site, "manifest", labels, None, phantom)


def bad_manifest(text: str) -> Callable[[Path, Engine], None]:
    def run(folder: Path, engine: Engine) -> None:
        (folder / "labels.csv").write_text(text)
        register_request(engine, request(folder), "corrected")

    return run


def bad_study(text: str) -> Callable[[Path, Engine], None]:
    def run(folder: Path, engine: Engine) -> None:
        (folder / "study.toml").write_text(text)
        read_study(folder / "study.toml")

    return run


def pictures(folder: Path, n: int, view: str = "PA", seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    rows = ["image_id,patient_id,path,view,Effusion"]
    for number in range(n):
        Image.fromarray(random.integers(0, 255, (16, 16), dtype=np.uint8)).save(folder / f"{number}.png")
        rows.append(f"{number},p{number},{number}.png,{view},{number % 2}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


def text_for_a_picture(folder: Path, engine: Engine) -> None:
    (folder / "a.png").write_text("not a picture")
    bad_manifest(HEADER + "a,p,a.png,1\n")(folder, engine)


def changed_labels(folder: Path, engine: Engine) -> None:
    pictures(folder, 20)
    register_request(engine, request(folder), "corrected")
    pictures(folder, 21)
    register_request(engine, request(folder), "corrected")


def other_pictures(folder: Path, engine: Engine) -> None:
    pictures(folder, 20)
    register_request(engine, request(folder), "corrected")
    pictures(folder, 20, seed=1)
    register_request(engine, request(folder, "theirs"), "corrected")


def drawn_and_real(folder: Path, engine: Engine) -> None:
    pictures(folder, 20)
    register_request(engine, request(folder), "corrected")
    register_request(
        engine, request(folder, "drawn", phantom=Phantom("alpha", 20, 16)), "corrected", home=folder
    )


def never_registered(folder: Path, engine: Engine) -> None:
    prepare(engine, folder, DatasetRequest("ours", "here", "manifest", None, None, None), "corrected", 16)


def one_class(folder: Path, engine: Engine) -> None:
    part = Part(np.zeros((8, 16, 16), np.uint8), np.arange(8), np.zeros((8, 18), np.float32))
    train(part, part, Recipe(network="small_convnet", image_size=16), 0)


def too_fast(folder: Path, engine: Engine, rate: float = 1e30, batch: int = 4) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 16, 16), dtype=np.uint8)
    labels = np.tile(np.float32([[0], [1]]), (16, 18))
    part = Part(pixels, np.arange(32), labels)
    train(
        part,
        part,
        Recipe(network="small_convnet", image_size=16, batch_size=batch, epochs=9, learning_rate=rate),
        0,
    )


def nobody(folder: Path, engine: Engine, context: dict[str, str]) -> None:
    pictures(folder, 30)
    register_request(engine, request(folder), "corrected")
    conditions = tuple(Condition(column, (value,)) for column, value in context.items())
    request_of = ModelRequest("s", "some", ("ours",), "corrected", Recipe(), 0, (), conditions)
    with engine.begin() as connection:
        part_cohorts(connection, request_of, "train")


def other_weights(folder: Path, engine: Engine) -> None:
    save_file({"weight": torch.zeros(1)}, folder / "other.safetensors")
    start_from(Network("small_convnet", 16), folder / "other.safetensors")


def pickled_weights(folder: Path, engine: Engine) -> None:
    torch.save({}, folder / "model.pt")
    start_from(Network("small_convnet", 16), folder / "model.pt")


CAUSES: dict[str, Callable[[Path, Engine], None]] = {
    "required column 'patient_id' is missing": bad_manifest("image_id,path\n"),
    "unknown column 'Efusion': did you mean 'Effusion'?": bad_manifest("image_id,patient_id,path,Efusion\n"),
    "expected 1, 0, u (uncertain) or nothing": bad_manifest(HEADER + "a,p,a.png,-1\n"),
    "this image already appears in an earlier row": bad_manifest(HEADER + "a,p,,1\na,p,,1\n"),
    "no such picture under": bad_manifest(HEADER + "a,p,gone.png,1\n"),
    "the path points outside the image folder": bad_manifest(HEADER + "a,p,../a.png,1\n"),
    "not a PNG, JPEG or DICOM file": text_for_a_picture,
    "registered with other content or another site": changed_labels,
    "registered before at this site with another picture or patient": other_pictures,
    "can't share a site": drawn_and_real,
    "unknown key 'epoch'; did you mean 'epochs'?": bad_study(
        'name = "s"\n[[datasets]]\nname = "d"\n[training]\nepoch = 3\n'
    ),
    "expected lower-case letters, digits, - or _": bad_study('name = "My Study"\n[[datasets]]\nname = "d"\n'),
    "is named twice": bad_study('name = "s"\n[[datasets]]\nname = "d"\n[[datasets]]\nname = "d"\n'),
    "timm has no network 'resnet19'": lambda folder, engine: Network("resnet19", 32) and None,
    "no task has both positives and negatives in the training part": one_class,
    "the loss is not finite": too_fast,
    "times that of guessing, and stays there": partial(too_fast, rate=1e4, batch=2),
    "there is no column 'Sex' to choose images by": partial(nobody, context={"Sex": "M"}),
    "image of ours fits": partial(nobody, context={"view": "LL"}),
    "is the same as configuration": bad_study(
        'name = "s"\n[[datasets]]\nname = "d"\n[[configuration]]\nname = "e"\n'
    ),
    "not weights of small_convnet": other_weights,
    "Pickled weights (.pt, .pth) are not read": pickled_weights,
    "there is no dataset 'ours'": never_registered,
}


def test_every_documented_message_has_its_cause():
    assert list(CAUSES) == DOCUMENTED


@pytest.mark.parametrize("message", CAUSES)
def test_each_documented_message_is_the_one_that_a_user_gets(message, tmp_path, engine):
    with pytest.raises(XrayError, match=re.escape(message)):
        CAUSES[message](tmp_path, engine)
