"""Models from elsewhere beside our own: taken in, scored by the same steps, with the same numbers."""

import dataclasses
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import mlflow
import numpy as np
import pytest
import torch
import torchvision
from sklearn.metrics import roc_auc_score
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from torch import nn

from db.store import image_ids, read_cohort, read_logits
from xray.data.cohorts import freeze
from xray.data.protocol import load_protocol
from xray.data.registered import read_named
from xray.errors import ForeignModelError, LearningError, UntrustedError
from xray.learning.evaluate import evaluate
from xray.learning.export_model import export_model
from xray.learning.foreign_card import Card, card_of, read_card
from xray.learning.foreign_import import import_model
from xray.learning.foreign_network import ForeignNetwork, probe
from xray.learning.missing import missing, own_first
from xray.learning.models import ensure_model
from xray.learning.request import ModelRequest
from xray.tasks import TASK_INDEX, TASKS

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
PLAIN = {
    "name": "theirs",
    "size": 16,
    "range": [-1024, 1024],
    "output": "logit",
    "tasks": ["Mass", "Effusion"],
}


def card(**changes: Any) -> Card:
    return card_of({**PLAIN, **changes}, "card.toml")


def scores(engine: Engine, model_id: int) -> Any:
    """Logits (n_tasks, n_images) of a model's only evaluation."""
    with engine.begin() as connection:
        evaluation = connection.scalar(text("select id from evaluation where model_id = :m"), {"m": model_id})
        return read_logits(connection, evaluation, range(len(TASKS)))


def aucs(engine: Engine, logits: Any) -> dict[str, float]:
    with engine.begin() as connection:
        cohort = connection.scalar(text("select id from cohort where part = 'test'"))
        labels = read_cohort(connection, cohort, range(len(TASKS))).labels
    aucs_by_task = {}
    for task, name in enumerate(TASKS):
        usable = ~np.isnan(labels[:, task]) & ~np.isnan(logits[task])
        if len(set(labels[usable, task])) == 2:
            aucs_by_task[name] = float(roc_auc_score(labels[usable, task], logits[task][usable]))
    return aucs_by_task


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    ).eval()


def scripted(path: Path, module: nn.Module | None = None) -> Path:
    torch.jit.script(module or network()).save(str(path))
    return path


def test_an_exported_and_imported_model_gives_the_same_logits(
    engine, tracker, home, draw, quick, tmp_path, request
):
    """As ONNX and as TorchScript: through file, card, MLflow and the normal evaluate step, AUCs to 1e-6."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    draw("a")
    recipe = dataclasses.replace(quick, epochs=2)
    own, _ = ensure_model(engine, tracker, home, ModelRequest("s", "a", ("a",), "corrected", recipe, 0))
    with engine.begin() as connection:
        name = connection.scalar(text("select name from model where id = :own"), {"own": own})
    models = {}
    for kind in ("onnx", "torchscript"):
        path = tmp_path / f"Our {kind}.{kind}"
        exported = read_card(export_model(engine, tracker, name, kind, path))
        assert (exported.name, exported.size, exported.trained_on) == (f"our-{kind}", 16, ("a",))
        trust = kind == "torchscript"  # a program, even where it is our own
        imported = import_model(engine, tracker, path, exported, trust=trust)
        assert (imported.new, imported.format) == (True, kind)
        assert not import_model(engine, tracker, path, exported, trust=trust).new
        models[kind] = imported.model_id
    with engine.begin() as connection:
        lists_missing = missing(connection)
    assert set(lists_missing) == {own, *models.values()}
    for model_id, lists in lists_missing.items():
        assert evaluate(engine, tracker, home, model_id, lists) == 1
    with engine.begin() as connection:
        assert missing(connection) == {}
        leaks = connection.execute(text("select model, n_image from leaking_models")).all()
        assert {row.model for row in leaks} == {"our-onnx", "our-torchscript"}, (
            "trained on a: which part, who knows"
        )
        by = dict(
            connection.execute(text("select model, scored_versions ->> 'runtime' from provenance")).all()
        )
    assert [by[k].split()[0] for k in ("our-onnx", "our-torchscript", name)] == [
        "onnxruntime",
        "torch",
        "torch",
    ]
    own_scores = scores(engine, own)
    expected = aucs(engine, own_scores)
    assert len(expected) >= 3
    for model_id in models.values():
        imported_scores = scores(engine, model_id)
        np.testing.assert_allclose(imported_scores, own_scores, atol=1e-5)
        assert aucs(engine, imported_scores) == pytest.approx(expected, abs=1e-6)
    served = mlflow.pyfunc.load_model("models:/foreign.our-onnx/1")
    pixels = np.random.default_rng(0).uniform(-1024, 1024, (3, 1, 16, 16)).astype(np.float32)
    assert served.predict(pixels).shape == (3, len(exported.findings)), (
        "its own outputs, those that were trained"
    )
    with pytest.raises(LearningError, match="our-onnx was imported"):
        export_model(engine, tracker, "our-onnx", "onnx", tmp_path / "again.onnx")


def _xrv():
    return pytest.importorskip("torchxrayvision", reason="torchxrayvision is not installed (extra xrv)")


def test_a_densenet_of_torchxrayvision_round_trips(engine, tracker, home, draw, tmp_path):
    """Random weights, saved by their class: as a state dict, and as the whole module that their files are."""
    xrv = _xrv()
    from xray.learning.foreign_xrv import xrv_card

    draw("a", patients=24)
    torch.manual_seed(3)
    original = xrv.models.DenseNet(num_classes=18, in_channels=1).eval()
    own_card = xrv_card("densenet121-res224-nih", "xrv-nih")
    assert own_card.trained_on == ("nih",)
    assert own_card.findings == TASKS[:14]
    assert "Effusion 0.03874" in (own_card.note or "")
    torch.save(original, tmp_path / "whole.pt")
    torch.save(original.state_dict(), tmp_path / "state.pt")
    with pytest.raises(UntrustedError, match=r"torchxrayvision.models.DenseNet|more than weights"):
        import_model(engine, tracker, tmp_path / "whole.pt", own_card)
    imported = import_model(engine, tracker, tmp_path / "state.pt", own_card)
    assert (imported.format, imported.new) == ("safetensors", True)
    whole = dataclasses.replace(own_card, name="xrv-whole")
    again = import_model(engine, tracker, tmp_path / "whole.pt", whole, trust=True)
    with engine.begin() as connection:
        stored = connection.execute(
            text("select count(*), count(distinct card ->> 'sha256') from model")
        ).one()
        assert tuple(stored) == (2, 1), "of either file the same weights are kept"
        assert connection.scalar(text("select count(*) from missing_evaluations")) == 0, (
            "drawn images, a real model"
        )
        connection.execute(text("delete from model where id = :whole"), {"whole": again.model_id})
        connection.execute(
            text("insert into study (name, definition, protocol_id) select 's', '{}', id from protocol")
        )
        connection.execute(
            text("insert into study_dataset select study.id, dataset.id, 0 from study, dataset")
        )
        connection.execute(text("insert into study_model select study.id, model.id, 0 from study, model"))
        lists_missing = missing(connection, "s")
    assert lists_missing.keys() == {imported.model_id}
    evaluate(engine, tracker, home, imported.model_id, lists_missing[imported.model_id])
    scores_found = scores(engine, imported.model_id)
    from xray.data.pictures import pixel_cache
    from xray.data.registered import read_named
    from xray.pixels.scale import to_network_range

    with engine.begin() as connection:
        dataset = read_named(connection, "a")
        ids = connection.scalar(
            text(
                "select image_ids from image_list join cohort on image_list.id = image_list_id"
                " where part = 'test'"
            )
        )
    cache = pixel_cache(dataset, home, 224, "centre")
    pixels = to_network_range(cache.pixels[dataset.places(np.array(ids, np.int32))])[:, None]
    with torch.inference_mode():
        expected = original(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(scores_found[:14].T, expected[:, :14], atol=1e-4, rtol=1e-4)
    assert np.isnan(scores_found[14:]).all()
    assert aucs(engine, scores_found) == pytest.approx(
        aucs(engine, np.where(np.isnan(scores_found), np.nan, expected.T)), abs=1e-6
    )


def test_scale_range_channels_and_order_follow_the_card(tmp_path):
    """Answers by hand: a model of three channels in [0, 1], normalised, that gives the mean of each channel's picture."""
    own_card = card(
        range=[1, 0], channels=3, mean=[0.5, 0.5, 0.25], std=[1, 2, 4], tasks=["Mass", "", "Hernia"], size=8
    )
    logits_found = ForeignNetwork(lambda x: x.mean((2, 3)), own_card)(torch.full((2, 1, 8, 8), 512.0))
    np.testing.assert_allclose(logits_found, [[0.25 - 0.5, 0], [0.25 - 0.5, 0]])
    answers = torch.tensor([[0.9, 0.0], [0.2, 1.0]])
    told_two = card().findings
    by_hand = ForeignNetwork(lambda x: answers, card(output="probability"))(torch.zeros(2, 1, 16, 16))
    np.testing.assert_allclose(by_hand[:, told_two.index("Mass")], np.log([9, 0.25]), rtol=1e-6)
    assert by_hand[:, told_two.index("Effusion")].tolist() == [-746.0, 37.5]
    with pytest.raises(ForeignModelError, match="its card says probability, but its outputs"):
        ForeignNetwork(lambda x: answers * 3, card(output="probability"))(torch.zeros(2, 1, 16, 16))
    with pytest.raises(ForeignModelError, match="its card names 2 outputs, but it returns"):
        ForeignNetwork(lambda x: answers[:, :1], card())(torch.zeros(2, 1, 16, 16))


def test_a_model_in_training_mode_is_detected():
    trained = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).train()
    with pytest.raises(ForeignModelError, match="saved in training mode"):
        probe(ForeignNetwork(trained, card()).requires_grad_(False))
    with pytest.raises(ForeignModelError, match="fails on pictures of 1 x 16 x 16"):
        probe(ForeignNetwork(nn.Conv2d(3, 2, 3), card()))


def test_a_name_cannot_be_used_for_another_model(engine, tracker, tmp_path):
    path = scripted(tmp_path / "m.pt")
    first = import_model(engine, tracker, path, card(), trust=True)
    assert (first.new, import_model(engine, tracker, path, card(), trust=True).model_id) == (
        True,
        first.model_id,
    )
    with pytest.raises(ForeignModelError, match="theirs is the name of another foreign model"):
        import_model(engine, tracker, path, card(range=[0, 1]), trust=True)
    with pytest.raises(ForeignModelError, match="expected lower-case letters"):
        import_model(engine, tracker, path, card(name="Their Model"))
    with engine.begin() as connection:
        assert connection.scalar(text("select count(*) from model")) == 1


def test_a_file_that_was_changed_in_the_registry_is_not_run(engine, tracker, home, draw, tmp_path):
    draw("a")
    own_card = card(trained_on=["a"])
    imported = import_model(engine, tracker, scripted(tmp_path / "m.pt"), own_card, trust=True)
    kept_in = tracker.client.get_experiment_by_name("foreign").artifact_location
    files = Path(unquote(urlparse(kept_in).path)).rglob("model.torchscript")
    newest = max(files, key=lambda file: file.stat().st_mtime_ns)
    scripted(newest, nn.Sequential(nn.AvgPool2d(16), nn.Flatten()))
    with engine.begin() as connection:
        (lists,) = missing(connection).values()
    with pytest.raises(ForeignModelError, match="is not the one that was imported"):
        evaluate(engine, tracker, home, imported.model_id, lists)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": "224"}, "size: expected pixels along a side"),
        ({"range": [0]}, "range: expected 2 number"),
        ({"range": [1, 1]}, "black and white can't both be 1"),
        ({"output": "softmax"}, "output: expected one of 'logit', 'probability'"),
        ({"tasks": ["Mass", "Efusion"]}, "tasks: 'Efusion' is no known finding; did you mean 'Effusion'"),
        ({"tasks": ["Mass", "mass"]}, "tasks: 'Mass' is declared twice"),
        ({"tasks": ["", ""]}, "tasks: expected one finding or more"),
        ({"channels": 2}, "channels: expected one of 1, 3"),
        ({"crop": "middle"}, "crop: expected one of 'centre', 'none'"),
        ({"mean": [0.5, 0.5]}, "mean: expected 1 number"),
        ({"sizes": 3}, "unknown key 'sizes'"),
    ],
)
def test_an_impossible_card_is_refused(change, message):
    with pytest.raises(ForeignModelError, match=message):
        card(**change)


def test_all_mistakes_of_a_card_are_reported_at_once():
    with pytest.raises(ForeignModelError) as caught:
        card(sizes=3, channels=2, output="softmax", mean="no")
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == [
        "output: expected one of 'logit', 'probability', found 'softmax'",
        "channels: expected one of 1, 3, found 2",
        "mean: expected a list of numbers, found 'no'",
        "unknown key 'sizes'; did you mean 'size'?",
    ]


def test_a_row_of_model_is_either_trained_here_or_foreign(engine, tracker, tmp_path):
    imported = import_model(engine, tracker, scripted(tmp_path / "m.pt"), card(), trust=True)
    for change in (
        "seed = 0",
        "card = null",
        "mlflow_run_id = null",
        "kind = 'trained'",
        "kind = 'bought'",
        "trained_on = 'x'",
    ):
        with engine.begin() as connection, pytest.raises(IntegrityError, match="ck_model_"):
            connection.execute(text(f"update model set {change} where id = {imported.model_id}"))


def test_a_resnet_of_torchxrayvision_is_built(tmp_path):
    """Random weights in the file that their class reads, and its network's logits."""
    xrv = _xrv()
    from xray.learning.foreign_network import build
    from xray.learning.foreign_xrv import xrv_card

    name = "resnet50-res512-all"
    torch.manual_seed(4)
    state = torchvision.models.resnet50(num_classes=18).state_dict()
    state["conv1.weight"] = torch.randn(64, 1, 7, 7) / 7
    file = tmp_path / Path(xrv.models.model_urls[name]["weights_url"]).name
    torch.save(state, file)
    original = xrv.models.ResNet(weights=name, cache_dir=f"{tmp_path}/").eval()
    own_card = xrv_card(name, "xrv-resnet")
    assert (own_card.size, own_card.network, len(own_card.tasks)) == (512, "resnet50", 18)
    pixels = torch.rand(2, 1, 512, 512) * 2048 - 1024
    with torch.inference_mode():
        torch.testing.assert_close(build(own_card, state)(pixels), original.model(pixels))


def test_a_card_that_declares_probabilities_as_logits_is_questioned(engine, tracker, tmp_path):
    path = scripted(tmp_path / "m.pt", nn.Sequential(network(), nn.Sigmoid()).eval())
    (note,) = import_model(engine, tracker, path, card(), trust=True).notes
    assert note.startswith("theirs: every logit is between 0 and 1: are they probabilities (output = ")
    right = card(name="right", output="probability")
    assert not import_model(engine, tracker, path, right, trust=True).notes
    loud = scripted(tmp_path / "loud.pt")
    assert not import_model(engine, tracker, loud, card(name="loud"), trust=True).notes


def test_no_picture_is_scored_twice_for_two_protocols(engine, tracker, home, draw, tmp_path, monkeypatch):
    """The test cohort of one is a part of the other's: its scores are taken over, the rest is scored."""
    from xray.learning import scorer as module

    draw("a")
    own_card = card(trained_on=["a"])
    imported = import_model(engine, tracker, scripted(tmp_path / "m.pt"), own_card, trust=True)
    with engine.begin() as connection:
        assert own_first(connection, {imported.model_id: [1]}) == ({}, {imported.model_id: [1]})
    numbers: list[int] = []
    score = module.score

    def counting(network, cache, positions, *rest):
        numbers.append(len(positions))
        return score(network, cache, positions, *rest)

    monkeypatch.setattr(module, "score", counting)
    with engine.begin() as connection:
        (first,) = missing(connection)[imported.model_id]
    assert evaluate(engine, tracker, home, imported.model_id, [first]) == 1
    with engine.begin() as connection:
        freeze(connection, read_named(connection, "a"), load_protocol("external"))
        (second,) = missing(connection)[imported.model_id]
    assert evaluate(engine, tracker, home, imported.model_id, [second]) == 1
    with engine.begin() as connection:
        lists = [image_ids(connection, list_id) for list_id in (first, second)]
        stored = [
            read_logits(
                connection,
                connection.scalar(
                    text("select id from evaluation where model_id = :m and image_list_id = :i"),
                    {"m": imported.model_id, "i": list_id},
                ),
                [TASK_INDEX["Mass"], TASK_INDEX["Effusion"]],
            )
            for list_id in (first, second)
        ]
    assert len(lists[0]) < len(lists[1])
    assert numbers == [len(lists[0]), len(lists[1]) - len(lists[0])]
    assert not np.isnan(stored[1]).any()
    by_image = dict(zip(lists[0].tolist(), stored[0].T.tolist(), strict=True))
    again = dict(zip(lists[1].tolist(), stored[1].T.tolist(), strict=True))
    assert {image: again[image] for image in by_image} == by_image
    with engine.begin() as connection:
        connection.execute(text("delete from evaluation where image_list_id = :i"), {"i": first})
        connection.execute(text("delete from evaluation where image_list_id = :i"), {"i": second})
    evaluate(engine, tracker, home, imported.model_id, [second])
    with engine.begin() as connection:
        evaluation = connection.scalar(
            text("select id from evaluation where model_id = :m"), {"m": imported.model_id}
        )
        anew = read_logits(connection, evaluation, [TASK_INDEX["Mass"], TASK_INDEX["Effusion"]])
    np.testing.assert_allclose(stored[1], anew, rtol=1e-5, atol=1e-6)
