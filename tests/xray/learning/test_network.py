"""Networks on disk: the same logits after a round trip, and nothing that isn't ours is taken."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from xray.errors import LearningError
from xray.learning.hashes import WEIGHTS
from xray.learning.network import Network, load, save
from xray.learning.serving import _load_pyfunc
from xray.tasks import TASKS


def network_of(name: str = "small_convnet", size: int = 32, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    network = Network(name, size)
    network.train()
    with (
        torch.no_grad()
    ):  # so that the running statistics of the normalisation are not those of a new network
        network(1024 * torch.randn(8, 1, size, size))
    return network.eval()


def pictures(n: int = 5, size: int = 32) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(1).uniform(-1024, 1024, (n, 1, size, size)).astype(np.float32)
    )


@pytest.mark.parametrize("name", ["small_convnet", "resnet10t", "mobilenetv3_small_050"])
def test_logits_are_equal_after_a_round_trip(name, tmp_path):
    network = network_of(name)
    save(network, tmp_path / "model.safetensors")
    with torch.inference_mode():
        before, after = network(pictures()), load(tmp_path / "model.safetensors")(pictures())
    assert before.shape == (5, len(TASKS))
    assert torch.allclose(before, after, atol=1e-5)


def test_every_weight_is_read_back_bit_for_bit(tmp_path):
    network = network_of().to(memory_format=torch.channels_last)
    save(network, tmp_path / "model.safetensors")
    back = load(tmp_path / "model.safetensors")
    assert (back.name, back.image_size, back.training) == ("small_convnet", 32, False)
    assert back.state_dict().keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name


def test_the_input_is_scaled_to_one(tmp_path):
    network = network_of()
    with torch.inference_mode():
        assert torch.equal(network(pictures()), network.body(pictures() / 1024))


def test_features_are_what_the_classifier_reads():
    network = network_of()
    with torch.inference_mode():
        logits = network.body.get_classifier()(network.features(pictures()))
        assert torch.allclose(logits, network(pictures()), atol=1e-6)


def test_an_unknown_network_is_refused():
    with pytest.raises(LearningError, match=r"timm has no network 'densenet_121'; near names: .*densenet"):
        Network("densenet_121", 32)
    with pytest.raises(LearningError, match="near names: none"):
        Network("qqq", 32)


def test_files_that_are_not_weights_are_refused(tmp_path):
    file = tmp_path / "model.safetensors"
    for content in (b"", b"not weights", pickle.dumps({"weights": 1}), b"\xff" * 64):
        file.write_bytes(content)
        with pytest.raises(LearningError, match="not a safetensors file"):
            load(file)
    with pytest.raises(LearningError, match=r"none\.safetensors: not a safetensors file"):
        load(tmp_path / "none.safetensors")


def test_a_pickle_is_never_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"trap": Trap()}, tmp_path / "model.pt")
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Trap()))
    for file in ("model.pt", "model.pkl"):
        with pytest.raises(LearningError):
            load(tmp_path / file)
    assert not (tmp_path / "sprung").exists()


def weights_with(tmp_path, **changes):
    """A file as `save` writes it, with another header; None takes a key out."""
    about = {"network": "small_convnet", "image_size": "32", "tasks": json.dumps(TASKS)} | changes
    tensors = {name: tensor.contiguous() for name, tensor in network_of().state_dict().items()}
    file = tmp_path / "model.safetensors"
    save_file(tensors, file, metadata={k: v for k, v in about.items() if v is not None})
    return file


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": None}, "does not say which finding each output is of"),
        ({"tasks": json.dumps(["Mass"] * len(TASKS))}, "does not say which finding each output is of"),
        ({"tasks": json.dumps(list(range(len(TASKS))))}, "does not say which finding each output is of"),
        ({"tasks": json.dumps(TASKS[:-1])}, "not a weights file of this platform"),
        ({"tasks": "{"}, "not a weights file of this platform"),
        ({"tasks": "3"}, "not a weights file of this platform"),
        ({"network": None}, "not a weights file of this platform"),
        ({"image_size": None}, "not a weights file of this platform"),
        ({"image_size": "large"}, "not a weights file of this platform"),
        ({"network": "resnet10t"}, "not a weights file of this platform"),
        ({"network": "qqq"}, "timm has no network 'qqq'"),
    ],
)
def test_weights_that_do_not_fit_the_network_are_refused(tmp_path, changes, message):
    with pytest.raises(LearningError, match=message):
        load(weights_with(tmp_path, **changes))


def test_a_weight_file_without_a_list_of_findings_is_read_unchanged(tmp_path):
    network = load(weights_with(tmp_path))
    assert (network.name, network.findings) == ("small_convnet", TASKS)
    with torch.inference_mode():
        assert torch.allclose(network(pictures()), network_of()(pictures()), atol=1e-6)


def test_outputs_follow_the_findings_of_the_header_in_order(tmp_path):
    findings = ("Tuberculosis", *TASKS[:-1])
    assert load(weights_with(tmp_path, tasks=json.dumps(findings))).findings == findings
    torch.manual_seed(0)
    save(Network("small_convnet", 32, findings=("COVID-19", "Effusion")), tmp_path / "two.safetensors")
    network = load(tmp_path / "two.safetensors")
    assert network.findings == ("COVID-19", "Effusion")
    assert network(pictures()).shape[1] == 2


def test_serving_loads_a_folder_or_file_and_returns_numpy(tmp_path):
    network = network_of()
    save(network, tmp_path / WEIGHTS)
    with torch.inference_mode():
        expected = network(pictures()).numpy()
    for path in (tmp_path, tmp_path / WEIGHTS):
        served = _load_pyfunc(str(path))
        assert not served.network.training
        logits = served.predict(pictures().numpy())
        assert isinstance(logits, np.ndarray)
        np.testing.assert_allclose(logits, expected, atol=1e-5)
        other = served.predict(np.asfortranarray(pictures().numpy().astype(np.float64)))
        np.testing.assert_allclose(other, expected, atol=1e-5)
