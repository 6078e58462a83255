"""Training on pictures that are drawn here: a bright spot in one of two corners, a task each."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from xray.errors import LearningError
from xray.learning import train as module
from xray.learning.infer import score
from xray.learning.network import Network
from xray.learning.progress import Progress
from xray.learning.recipe import Recipe
from xray.learning.train import Epoch, Part, Trained, train
from xray.pixels.augment import Augmentation
from xray.pixels.pool import Pool
from xray.tasks import TASKS

SIZE = 16
LEFT, RIGHT, NEVER, ONE_CLASS = (TASKS.index(t) for t in ("Atelectasis", "Mass", "Hernia", "Edema"))
RECIPE = Recipe(
    "small_convnet",
    SIZE,
    epochs=3,
    batch_size=16,
    learning_rate=3e-3,
    augmentation=Augmentation(0, 0.07, 0, 0.1),
)


def part(n: int, seed: int) -> Part:
    """n pictures. LEFT and RIGHT are labelled, ONE_CLASS is always negative, the others are not labelled."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(60, 130, (n, SIZE, SIZE)).astype(np.uint8)
    labels = np.full((n, len(TASKS)), np.nan, np.float32)
    for task, corner in ((LEFT, slice(2, 6)), (RIGHT, slice(10, 14))):
        labels[:, task] = rng.random(n) < 0.4
        pixels[labels[:, task] == 1, 2:6, corner] += 60
    labels[rng.random(n) < 0.2, LEFT] = np.nan
    labels[:, ONE_CLASS] = 0
    return Part(pixels, np.arange(n), labels)


TRAINING, VALIDATION = part(96, 1), part(64, 2)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights(trained: Trained) -> dict[str, torch.Tensor]:
    return trained.network.state_dict()


def same(first: Trained, second: Trained) -> bool:
    return all(torch.equal(weights(first)[name], weights(second)[name]) for name in weights(first))


@pytest.fixture(scope="module")
def trained() -> Trained:
    torch.set_num_threads(1)
    return train(TRAINING, VALIDATION, RECIPE, seed=0)


def test_the_same_seed_gives_the_same_weights_bit_for_bit(trained):
    torch.manual_seed(99)  # what was drawn before does not matter
    assert same(trained, train(TRAINING, VALIDATION, RECIPE, seed=0))


def test_another_seed_gives_other_weights_from_the_start_and_another_order(trained):
    other = train(TRAINING, VALIDATION, RECIPE, seed=1)
    assert not same(trained, other)
    still = dataclasses.replace(RECIPE, epochs=1, learning_rate=0.0)
    assert not same(train(TRAINING, VALIDATION, still, 0), train(TRAINING, VALIDATION, still, 1))


def test_the_order_of_the_pixels_on_disk_does_not_matter(trained):
    """Positions say which picture is meant: a pool of two caches gives the weights of one array."""
    pool = Pool([TRAINING.pixels[:30], TRAINING.pixels[30:]])
    assert same(trained, train(dataclasses.replace(TRAINING, pixels=pool), VALIDATION, RECIPE, seed=0))


def test_training_learns_to_tell_the_classes_apart():
    result = train(TRAINING, VALIDATION, dataclasses.replace(RECIPE, epochs=12), seed=0)
    assert result.best.mean_auc > 0.95


def test_untrained_outputs_are_recorded(trained):
    assert np.flatnonzero(trained.outputs).tolist() == [LEFT, RIGHT]
    defined = ~np.isnan(trained.best.validation_auc)
    assert np.flatnonzero(defined).tolist() == [LEFT, RIGHT]


def test_a_task_with_one_class_in_training_is_neither_learned_nor_validated(trained):
    labels = VALIDATION.labels.copy()
    labels[:, ONE_CLASS] = np.arange(len(labels)) % 2
    result = train(TRAINING, dataclasses.replace(VALIDATION, labels=labels), RECIPE, seed=0)
    assert not result.outputs[ONE_CLASS]
    assert np.isnan(result.best.validation_auc[ONE_CLASS])
    assert same(result, trained)  # its negatives in the training part did not count either


def test_the_network_has_the_weights_of_the_best_epoch():
    """Against labels that are drawn at random AUC goes up and down: there is a run whose last epoch is not its best."""
    recipe = dataclasses.replace(RECIPE, epochs=4)
    labels = VALIDATION.labels.copy()
    labels[:, [LEFT, RIGHT]] = np.random.default_rng(0).integers(0, 2, (len(labels), 2))
    validation = dataclasses.replace(VALIDATION, labels=labels)
    for seed in range(10):
        epochs: list[Epoch] = []
        result = train(TRAINING, validation, recipe, seed, epochs.append)
        means = [epoch.mean_auc for epoch in epochs]
        if max(means) > means[-1] + 0.01:
            break
    else:
        pytest.fail("the last epoch was always the best: this test needs other labels")
    assert [epoch.number for epoch in epochs] == list(range(4))
    assert result.best.number == int(np.argmax(means))
    assert result.best.mean_auc == max(means)
    logits = score(result.network, VALIDATION.pixels, VALIDATION.positions)
    for task in (LEFT, RIGHT):
        expected = roc_auc_score(labels[:, task], logits[:, task])
        assert result.best.validation_auc[task] == pytest.approx(expected, abs=1e-12)
    assert result.best.mean_auc == pytest.approx(np.nanmean(result.best.validation_auc))


def test_of_equal_epochs_the_first_is_kept():
    still = dataclasses.replace(RECIPE, learning_rate=0.0, weight_decay=0.0, epochs=3)
    labels = np.full_like(VALIDATION.labels, np.nan)
    labels[:2, LEFT] = 0, 1
    result = train(TRAINING, dataclasses.replace(VALIDATION, labels=labels), still, seed=0)
    seen_auc = result.best.mean_auc
    assert seen_auc in (0.0, 1.0)
    assert result.best.number == 0


def test_without_any_defined_validation_auc_the_last_epoch_is_kept():
    labels = np.full_like(VALIDATION.labels, np.nan)
    epochs: list[Epoch] = []
    result = train(TRAINING, dataclasses.replace(VALIDATION, labels=labels), RECIPE, 0, epochs.append)
    assert np.isnan(result.best.mean_auc)
    assert result.best.number == epochs[-1].number == RECIPE.epochs - 1


def test_a_training_set_with_nothing_to_learn_is_an_error():
    labels = np.where(TRAINING.labels == 1, np.float32(np.nan), TRAINING.labels)
    with pytest.raises(LearningError, match="nothing to learn: no task has both"):
        train(dataclasses.replace(TRAINING, labels=labels), VALIDATION, RECIPE, seed=0)


def test_a_loss_that_is_not_finite_is_an_error():
    recipe = dataclasses.replace(RECIPE, learning_rate=1e30, epochs=5)
    with pytest.raises(
        LearningError, match=r"the loss is not finite in epoch \d: lower the learning rate \(1e\+30\)"
    ):
        train(TRAINING, VALIDATION, recipe, seed=0)


def test_a_loss_that_only_grows_is_an_error_before_it_overflows():
    """Finite losses, but far beyond those of guessing, over many steps."""
    steps = dataclasses.replace(RECIPE, batch_size=2, epochs=4, learning_rate=1e4, weight_decay=0.0)
    with pytest.raises(
        LearningError, match=r"over 50 times that of guessing, and stays there, in epoch \d: lower"
    ):
        train(TRAINING, VALIDATION, steps, seed=0)


def test_weights_that_are_not_finite_never_replace_the_last_checkpoint(tmp_path):
    network = Network("small_convnet", SIZE)
    batches = module.Batches(TRAINING.pixels, TRAINING.positions, 8, 0)
    progress = Progress(network, torch.optim.Adam(network.parameters()), batches)
    progress.save(tmp_path / "checkpoint.safetensors")
    good = (tmp_path / "checkpoint.safetensors").read_bytes()
    with torch.no_grad():
        network.classifier()[1][3] = float("nan")
    progress.save(tmp_path / "checkpoint.safetensors")
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == good


def test_the_last_epoch_is_kept_if_the_recipe_says_so():
    epochs: list[Epoch] = []
    recipe = dataclasses.replace(RECIPE, selection="last epoch")
    assert train(TRAINING, VALIDATION, recipe, 0, epochs.append).best is epochs[-1]


def test_training_in_bfloat16_learns():
    recipe = dataclasses.replace(RECIPE, epochs=12, precision="bfloat16")
    result = train(TRAINING, VALIDATION, recipe, seed=0)
    assert result.best.mean_auc > 0.95
    assert all(tensor.dtype != torch.bfloat16 for tensor in weights(result).values())


def test_a_last_batch_of_one_image_can_be_trained_on():
    one_more = part(33, 5)
    assert len(one_more.positions) % RECIPE.batch_size == 1
    result = train(one_more, VALIDATION, dataclasses.replace(RECIPE, epochs=1), seed=0)
    assert np.isfinite(result.best.loss)


@pytest.mark.parametrize("limit", [None, 20, 1000])
def test_a_limited_epoch_shows_other_pictures_each_time(limit, monkeypatch):
    batches: list[list[int]] = []

    class Watched(module.Batches):
        def __iter__(self):
            batches.append([])
            for batch in super().__iter__():
                batches[-1] += batch.positions.tolist()
                yield batch

    monkeypatch.setattr(module, "Batches", Watched)
    train(TRAINING, VALIDATION, dataclasses.replace(RECIPE, epoch_images=limit), seed=0)
    assert len(batches) == RECIPE.epochs
    for positions in batches:
        assert len(positions) == len(set(positions)) == min(limit or 96, 96)
    assert batches[0] != batches[1]
    if limit == 20:
        assert set(batches[0]) != set(batches[1])


def test_labels_stay_with_their_pictures_when_positions_are_not_in_order():
    order = np.random.default_rng(0).permutation(96)
    shuffled = Part(TRAINING.pixels, order, TRAINING.labels[order])
    result = train(shuffled, VALIDATION, dataclasses.replace(RECIPE, epochs=12), seed=0)
    assert result.best.mean_auc > 0.95


def test_scores_do_not_depend_on_the_batch_size(trained):
    positions = np.arange(64)[::-1]
    together = score(trained.network, VALIDATION.pixels, positions)
    assert together.shape == (64, len(TASKS))
    assert together.dtype == np.float32
    for k in (0, 17, 63):
        alone = score(trained.network, VALIDATION.pixels, positions[k : k + 1])
        np.testing.assert_allclose(alone[0], together[k], atol=1e-4)
    assert score(trained.network, VALIDATION.pixels, positions[:0]).shape == (0, len(TASKS))


def test_more_than_one_batch_is_scored(trained):
    positions = np.resize(np.arange(64), 300)
    many = score(trained.network, VALIDATION.pixels, positions)
    np.testing.assert_allclose(many[256:], many[:44], atol=1e-4)
