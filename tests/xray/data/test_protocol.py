import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from xray.data.protocol import load_protocol, protocol_from
from xray.data.sources.datasets import dataset, published_datasets
from xray.errors import StudyError

OWN = {"base": "corrected", "name": "own"}


def test_the_two_named_protocols_have_their_rules() -> None:
    paper, corrected = load_protocol("paper"), load_protocol("corrected")
    assert (paper.split.method, corrected.split.method) == ("permutation", "patient")
    assert (paper.threshold.comparison, corrected.threshold.comparison) == (">", ">=")
    assert (paper.augmentation.scale, corrected.augmentation.scale) == (0.15, 0.10)
    assert (paper.preprocessing.crop, corrected.preprocessing.crop) == ("none", "centre")
    for name in published_datasets():
        assert name in paper.datasets
        assert corrected.rule(name).per_patient == "first"
        assert corrected.rule(name).views == ("PA",)


def test_protocols_are_immutable() -> None:
    protocol = load_protocol("paper")
    with pytest.raises(dataclasses.FrozenInstanceError):
        protocol.name = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        protocol.datasets["nih"] = protocol.rule("nih")  # type: ignore[index]


@pytest.mark.parametrize("name", ["paper", "corrected"])
def test_a_protocol_is_read_back_from_json_unchanged(name: str) -> None:
    protocol = load_protocol(name)
    plain = json.loads(json.dumps(protocol.as_dict()))
    assert protocol_from(plain, "database") == protocol


def test_a_protocol_is_read_from_a_toml_file(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        'base = "corrected"\nname = "own"\n[labels]\nuncertain = "positive"\n'
        '[augmentation]\nrotation = 10\n[datasets.mine]\nviews = ["AP"]\n'
    )
    own, base = load_protocol(path), load_protocol("corrected")
    assert own.labels.uncertain == "positive"
    assert own.augmentation.rotation == 10.0
    assert own.rule("mine").views == ("AP",)
    assert own.rule("nih") == base.rule("nih")
    assert own.rule("another") == base.rule("default")
    assert dataclasses.replace(own, name="corrected", labels=base.labels) != own


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"base": "corected"}, ["base", "paper, corrected"]),
        ({"base": "corrected"}, ["name", "of its own"]),
        ({"name": "x"}, ["missing"]),
        (OWN | {"label": {}}, ["label", "did you mean 'labels'"]),
        (OWN | {"labels": {"uncertian": "missing"}}, ["labels.uncertian", "did you mean 'uncertain'"]),
        (OWN | {"labels": {"uncertain": "maybe"}}, ["labels.uncertain", "'maybe'", "negative"]),
        (OWN | {"labels": {"no_finding": "yes"}}, ["labels.no_finding", "'yes'"]),
        (OWN | {"datasets": {"nih": {"view": ["PA"]}}}, ["datasets.nih.view", "did you mean 'views'"]),
        (OWN | {"datasets": {"nih": {"views": "PA"}}}, ["datasets.nih.views", "'PA'"]),
        (OWN | {"datasets": {"nih": {"per_patient": "last"}}}, ["datasets.nih.per_patient", "stitched"]),
        (OWN | {"split": {"train": 0.9}}, ["split", "add up"]),
        (OWN | {"split": {"train": 0.6, "validation": -0.1}}, ["split", "negative"]),
        (OWN | {"split": 3}, ["split", "table"]),
        (OWN | {"label_rules": "other"}, ["label_rules", "'other'"]),
    ],
)
def test_mistakes_in_a_protocol_are_named(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(StudyError) as failure:
        protocol_from(values, "own.toml")
    for word in ["own.toml", *words]:
        assert word in str(failure.value)


def test_an_unknown_or_damaged_protocol_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="papr"):
        load_protocol("papr")
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(StudyError, match=r"bad\.toml"):
        load_protocol(tmp_path / "bad.toml")


def test_published_datasets_have_their_known_sites() -> None:
    assert {dataset(name).site for name in ("nih", "google", "rsna")} == {"nih-cc"}
    assert dataset("mimic_ch").site == dataset("mimic_nb").site
    assert len({dataset.site for dataset in published_datasets().values()}) == 5
    assert (dataset("padchest").maximum, dataset("nih").maximum) == (65535, 255)
    assert (dataset("mine").site, dataset("mine", "general").site) == ("mine", "general")
