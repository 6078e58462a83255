"""Real hospitals for planted causes: pictures and labels of ../shared/data, and networks trained on some of their patients.

    nih         1,000 pictures, 682 patients: the five findings with 50 positives; NIH's own age, sex and view
    guangzhou   2,500 pictures of children, 1,511 patients, of whom nothing else is known. A site labels one finding:
                pneumonia, bacterial or viral. What share is ill was the collector's choice: at a site 25 to 60 % are
    records     4,376 images, 1,695 patients, whose pictures are not here, labelled twice: by NIH's program and by Google's
                readers. A logistic model of age, sex, view, follow-up and size of the image stands for the network

The collection of covid_idc has too few patients without COVID-19 for a network and two sites with 30 of either class; RSNA's
labels name no image of NIH's.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks._planted import Hospital, Inputs
from benchmarks._truth import Flags, Floats
from xray.learning.infer import score
from xray.learning.recipe import Recipe
from xray.learning.train import Part, train
from xray.pixels.augment import Augmentation
from xray.pixels.decode import read_grey
from xray.pixels.looks import Pictures
from xray.pixels.preprocess import prepare
from xray.stats.logistic import fit_logistic

DATA: Final = Path(__file__).resolve().parents[2] / "shared" / "data"
NAMES: Final = ("nih", "guangzhou", "records")
SIZE: Final = 64
FEWEST: Final = 50
"""Positive pictures that make a finding of nih one that a network can learn."""
TRAINED_ON: Final = 0.4
"""Share of the patients that the network is trained on; nobody of them is at either site."""
EPOCHS: Final = {"nih": 30, "guangzhou": 10}
OPACITY: Final = ("Infiltration", "Consolidation", "Pneumonia", "Edema")
GOOGLE: Final = {
    "Pneumothorax": ("Pneumothorax",),
    "Nodule or mass": ("Nodule", "Mass"),
    "Airspace opacity": OPACITY,
}
"""Google's findings, and NIH's for the same."""
ALSO: Final = ("Effusion", "Atelectasis")
BROADER: Final = {
    "Infiltration": ("Consolidation", "Edema"),
    "Atelectasis": ("Effusion",),
    "Edema": ("Infiltration",),
    "Effusion": ("Pleural_Thickening",),
}
"""What another convention calls by the finding's name too."""

Score = Callable[[Inputs], Floats]


def hospital(name: str, data: Path = DATA) -> Hospital:
    """One of NAMES. Raises FileNotFoundError where its files are not there."""
    return {"nih": _nih, "guangzhou": _guangzhou, "records": _records}[name](data)


def split(of: Hospital, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images of the patients that a network is trained on, and of all others."""
    names, index = np.unique(of.patients, return_inverse=True)
    order = np.random.default_rng([30, seed]).permutation(names.size)
    is_training = (order < TRAINED_ON * names.size)[index]
    return np.flatnonzero(is_training), np.flatnonzero(~is_training)


def network(of: Hospital, seed: int) -> tuple[Hospital, Score]:
    """The hospital without the patients of training, and what scores its pictures: logits (n_images, n_tasks)."""
    training, unseen = split(of, seed)
    rest = of.take(unseen)
    if of.inputs.ndim == 2:
        return rest, _logistic(of, training)
    recipe = Recipe(
        "small_convnet", SIZE, EPOCHS[of.name], 32, 3e-3, selection="last epoch",
        augmentation=Augmentation(rotation=5, translation=0.05, scale=0.05, intensity=0.1),
    )  # fmt: skip
    torch.set_num_threads(1)
    part = Part(of.inputs, training, of.labels[training].astype(np.float32))
    trained = train(part, part, recipe, seed, findings=of.tasks).network
    return rest, lambda pictures: score(trained, pictures, np.arange(len(pictures))).astype(np.float64)


def _logistic(of: Hospital, training: NDArray[np.int64]) -> Score:
    centre, spread = of.inputs[training].mean(axis=0), of.inputs[training].std(axis=0)

    def design(pictures: Inputs) -> Floats:
        x = (pictures - centre) / spread
        several = [len(np.unique(column)) > 2 for column in of.inputs.T]
        return np.column_stack([np.ones(len(x)), x, x[:, several] ** 2])

    fitted = np.column_stack(
        [
            fit_logistic(design(of.inputs[training]), of.labels[training, k]).coefficients
            for k in range(len(of.tasks))
        ]
    )
    return lambda pictures: design(pictures) @ fitted


def _pictures(folder: Path, paths: pd.Series) -> Pictures:
    return np.stack([prepare(read_grey(folder / path), SIZE) for path in paths]).astype(np.uint8)


def _numbered(patients: pd.Series) -> NDArray[np.int64]:
    return np.unique(patients, return_inverse=True)[1].astype(np.int64)


def _groups(table: pd.DataFrame) -> dict[str, tuple[Flags, Flags]]:
    """Views, sexes, and younger and older than the median, of a table of NIH's."""
    young = (table["age"] < table["age"].median()).to_numpy()
    ap, female = (table["view"] == "AP").to_numpy(), (table["sex"] == "F").to_numpy()
    return {"age": (young, ~young), "sex": (female, ~female), "view": (ap, ~ap)}


def _mixed(table: pd.DataFrame) -> Floats:
    """Age, female sex and AP view, as `xray.analyses.causes` has them."""
    return np.column_stack([table["age"], table["sex"] == "F", table["view"] == "AP"]).astype(np.float64)


def _nih(data: Path) -> Hospital:
    folder = data / "images" / "nih"
    table = pd.read_csv(folder / "labels.csv")
    findings = table.loc[:, "Atelectasis":"Pneumothorax"].dropna(axis=1)
    tasks = tuple(name for name in findings if findings[name].sum() >= FEWEST)
    labels = findings[list(tasks)].to_numpy(np.float64)
    several = findings.sum(axis=1).to_numpy()
    others = np.full(labels.shape, np.nan)
    google = np.full(labels.shape, np.nan)
    for k, task in enumerate(tasks):
        also = BROADER.get(task, ())
        others[:, k] = findings[[task, *also]].max(axis=1) if also else (labels[:, k] == 1) & (several > 1)
    google[:, tasks.index("Infiltration")] = _as_google_calls(data, findings)
    ill = {task: labels[:, k] == 1 for k, task in enumerate(tasks)}
    return Hospital(
        "nih",
        tasks,
        labels,
        _numbered(table["patient_id"]),
        _pictures(folder, table["path"]),
        _mixed(table),
        _groups(table),
        {
            task: positive & (several <= (1 if task == "Pneumonia" else 2))
            for task, positive in ill.items()
            if task in ("Pneumonia", "Infiltration")
        },
        several == 0,
        {"redefined": others, "Google's rates": google},
        ("Pneumonia", "Infiltration"),
        _pictures(data / "images" / "guangzhou", _first(data / "images" / "guangzhou", 400)),
    )


def _first(folder: Path, n: int) -> pd.Series:
    return pd.read_csv(folder / "labels.csv")["path"].sample(n, random_state=0)


def _as_google_calls(data: Path, findings: pd.DataFrame) -> Floats:
    """How often Google's readers see an opacity where NIH's program says Infiltration, another one, something, nothing."""
    twice = pd.read_csv(data / "labels" / "google2019_nih-chest-xray-labels.csv.gz")
    labels = twice["Finding Labels"].str.get_dummies("|").drop(columns="No Finding")
    rates = (twice["Airspace opacity"] == "YES").groupby(_kinds(labels)).mean()
    return rates.reindex(_kinds(findings)).to_numpy(np.float64)


def _kinds(labels: pd.DataFrame) -> NDArray[np.str_]:
    flags = [labels["Infiltration"], labels[list(OPACITY)].max(axis=1), labels.max(axis=1)]
    return np.select([of == 1 for of in flags], ["infiltration", "other opacity", "something"], "nothing")


def _guangzhou(data: Path) -> Hospital:
    folder = data / "images" / "guangzhou"
    table = pd.read_csv(folder / "labels.csv")
    kind = np.array([re.sub(r".*/(\w+) .*", r"\1", of) for of in table["raw_label"]])
    bacterial, viral = kind == "bacteria", kind == "virus"
    ill = bacterial | viral
    labels = np.column_stack([ill, bacterial, viral]).astype(np.float64)
    other = np.column_stack([bacterial, ill, ill]).astype(np.float64)
    return Hospital(
        "guangzhou",
        ("Pneumonia", "Bacterial pneumonia", "Viral pneumonia"),
        labels,
        _numbered(table["patient_id"]),
        _pictures(folder, table["path"]),
        None,
        {},
        {"Pneumonia": viral},
        ~ill,
        {"redefined": other},
        ("Pneumonia", "Bacterial pneumonia", "Viral pneumonia"),
        _pictures(data / "images" / "nih", _first(data / "images" / "nih", 400)),
        ill=(0.25, 0.6),
        alone=True,
    )


def _records(data: Path) -> Hospital:
    twice = pd.read_csv(data / "labels" / "google2019_nih-chest-xray-labels.csv.gz")
    twice = twice.rename(columns={"Patient Age": "age", "Patient Gender": "sex", "View Position": "view"})
    dummies = twice["Finding Labels"].str.get_dummies("|").drop(columns="No Finding")
    nih = [dummies[list(of)].max(axis=1) for of in GOOGLE.values()] + [dummies[task] for task in ALSO]
    labels = np.column_stack(nih).astype(np.float64)
    google = np.full(labels.shape, np.nan)
    for k, task in enumerate(GOOGLE):
        google[:, k] = twice[task] == "YES"
    late = (twice["Follow-up #"] >= 5).to_numpy()
    sizes = twice[["OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x"]].to_numpy(np.float64)
    inputs = np.column_stack([_mixed(twice), np.log1p(twice["Follow-up #"]), sizes])
    several = dummies.sum(axis=1).to_numpy()
    ill = {task: labels[:, k] == 1 for k, task in enumerate(GOOGLE)}
    return Hospital(
        "records",
        (*GOOGLE, *ALSO),
        labels,
        _numbered(twice["Patient ID"]),
        inputs,
        _mixed(twice),
        {**_groups(twice), "follow-up": (late, ~late)},
        {task: positive & (several == 1) for task, positive in ill.items()},
        several == 0,
        {"Google's readers": google},
        tuple(GOOGLE),
    )
