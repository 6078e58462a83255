"""A model's key changes with all that decides its weights, and with nothing else."""

import dataclasses
import json
import subprocess
import sys

import pytest

from xray.errors import LearningError
from xray.learning import recipe as module
from xray.learning.recipe import Recipe, recipe_of
from xray.pixels.augment import Augmentation

COHORTS = ("a" * 64, "b" * 64)
KEY = Recipe().key("nih", "corrected/1", COHORTS, 0)

OTHERS = {
    "network": "resnet18",
    "image_size": 225,
    "epochs": 161,
    "batch_size": 65,
    "learning_rate": 1.1e-3,
    "weight_decay": 1.1e-5,
    "epoch_images": 1000,
    "selection": "last epoch",
    "heads": "per dataset",
    "penalty": 0.1,
    "precision": "bfloat16",
    "compile": True,
}


def test_every_field_of_the_recipe_is_tested():
    assert {field.name for field in dataclasses.fields(Recipe)} == {*OTHERS, "augmentation", "weights"}


@pytest.mark.parametrize("field", OTHERS)
def test_each_field_changes_the_key(field):
    assert (
        dataclasses.replace(Recipe(), **{field: OTHERS[field]}).key("nih", "corrected/1", COHORTS, 0) != KEY
    )


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Augmentation)])
def test_each_strength_of_the_augmentation_changes_the_key(field):
    augmentation = dataclasses.replace(Augmentation(), **{field: 0.123})
    assert Recipe(augmentation=augmentation).key("nih", "corrected/1", COHORTS, 0) != KEY


def test_protocol_cohorts_their_order_and_seed_change_the_key():
    recipe = Recipe()
    keys = {
        KEY,
        recipe.key("nih", "corrected/2", COHORTS, 0),
        recipe.key("nih", "paper/1", COHORTS, 0),
        recipe.key("nih", "corrected/1", COHORTS[::-1], 0),
        recipe.key("nih", "corrected/1", COHORTS[:1], 0),
        recipe.key("nih", "corrected/1", [COHORTS[0] + COHORTS[1]], 0),
        recipe.key("nih", "corrected/1", COHORTS, 1),
    }
    assert len(keys) == 7


def test_the_selection_from_the_cohorts_changes_the_key():
    selection = {"tasks": ["Mass"], "where": []}
    assert Recipe().key("nih", "corrected/1", COHORTS, 0, selection) != KEY


def test_initial_weights_enter_the_key_by_their_content(tmp_path):
    def key(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        recipe = dataclasses.replace(Recipe(), weights=str(tmp_path / name))
        return recipe.key("nih", "corrected/1", COHORTS, 0)

    assert key("a", b"1") == key("b", b"1") != key("a", b"2")
    recipe = dataclasses.replace(Recipe(), weights=str(tmp_path / "gone"))
    with pytest.raises(LearningError, match="gone: weights to start from can't be read: No such file"):
        recipe.key("nih", "corrected/1", COHORTS, 0)


def test_the_name_of_the_configuration_changes_the_key():
    """One set of data may be "all" in one study and "all but a site" in the next, which has a site more."""
    assert Recipe().key("all-but-openi", "corrected/1", COHORTS, 0) != KEY


def test_a_new_revision_of_the_training_code_changes_the_key(monkeypatch):
    monkeypatch.setattr(module, "REVISION", module.REVISION + 1)
    assert Recipe().key("nih", "corrected/1", COHORTS, 0) != KEY


def test_equal_recipes_have_one_key_in_any_process():
    assert Recipe().key("nih", "corrected/1", list(COHORTS), 0) == KEY
    program = (
        "from xray.learning.recipe import Recipe\n"
        f"print(Recipe(epochs=160).key('nih', 'corrected/1', {COHORTS!r}, 0))"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == KEY


def test_a_recipe_is_read_back_from_plain_data_with_its_key():
    recipe = Recipe("small_convnet", 48, 3, epoch_images=10, augmentation=Augmentation(0, 0.1, 0, 0.5))
    back = recipe_of(json.loads(json.dumps(dataclasses.asdict(recipe))))
    assert back == recipe
    assert back.key("nih", "x", COHORTS, 1) == recipe.key("nih", "x", COHORTS, 1)


def test_the_key_is_a_sha256():
    assert len(KEY) == 64
    assert set(KEY) <= set("0123456789abcdef")
