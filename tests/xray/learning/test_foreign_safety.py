"""Files from elsewhere: what would run code of their author's is refused, and nothing of it has run then."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from xray.errors import ForeignModelError, UntrustedError
from xray.learning.foreign_card import card_of
from xray.learning.foreign_network import load_foreign, read_state
from xray.learning.foreign_safety import (
    EXPORTED,
    ONNX,
    SAFETENSORS,
    STATE,
    TORCHSCRIPT,
    check_file,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
CARD = card_of({"name": "t", "size": 8, "range": [0, 1], "output": "logit", "tasks": ["Mass", ""]}, "t")


class Evil:
    """A pickle that makes a file when it is opened."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch '{self.file}'",)


class Writer(nn.Module):
    """TorchScript that writes a file when it is called, for which it needs no pickle."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, self.file)
        return x.mean((2, 3)).expand(-1, 2)


class AtLoading(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = 1

    @torch.jit.export
    def __getstate__(self) -> tuple[int, bool]:
        return (self.a, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[int, bool]) -> None:
        self.a = state[0]
        self.training = state[1]

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def with_evil(path: Path, member: str, evil: Evil) -> Path:
    """A TorchScript archive, one of whose pickles is the evil one."""
    torch.jit.script(network()).save(str(path))
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, pickle.dumps(evil, 2) if name.endswith(f"/{member}") else data)
    return path


def plain_pickle(path: Path, evil: Evil) -> None:
    path.write_bytes(pickle.dumps(evil))


MALICIOUS: dict[str, Callable[[Path, Evil], object]] = {
    "a plain pickle": plain_pickle,
    "torch's archive": lambda path, evil: torch.save({"weight": evil}, path),
    "torch's older format": lambda path, evil: torch.save(
        {"weight": evil}, path, _use_new_zipfile_serialization=False
    ),
    "TorchScript's data.pkl": lambda path, evil: with_evil(path, "data.pkl", evil),
    "TorchScript's constants.pkl": lambda path, evil: with_evil(path, "constants.pkl", evil),
}


def load(path: Path, trust: bool = False) -> None:
    """Opens a file as an import does."""
    kind = check_file(path, trust)
    if kind == STATE:
        read_state(path, trust)
    else:
        load_foreign(path, kind, CARD, trust)


@pytest.mark.parametrize("kind", MALICIOUS)
def test_a_malicious_pickle_is_not_opened(kind: str, tmp_path: Path) -> None:
    marker = tmp_path / "made by the pickle"
    MALICIOUS[kind](tmp_path / "model.pt", Evil(marker))
    message = "a TorchScript file" if "TorchScript" in kind else r"more than weights|names posix\.system"
    with pytest.raises(UntrustedError, match=message) as refused:
        load(tmp_path / "model.pt")
    assert "--trust" in str(refused.value)
    assert not marker.exists()
    if kind == "torch's archive":  # the test can fail: the same file, opened
        with pytest.raises(ForeignModelError, match="expected weights by name"):
            load(tmp_path / "model.pt", trust=True)
        assert marker.exists()


def test_an_archive_with_two_entries_of_one_name_is_refused(tmp_path: Path) -> None:
    """zipfile reads the last, torch the first: what an inspector of the archive sees is harmless."""
    path, marker = tmp_path / "model.pt", tmp_path / "made by the pickle"
    with_evil(path, "data.pkl", Evil(marker))
    with zipfile.ZipFile(path) as archive:
        (pickled,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(pickled, pickle.dumps({}, 2))
    with zipfile.ZipFile(path) as archive:
        assert archive.read(pickled) == pickle.dumps({}, 2)
    with pytest.raises(UntrustedError, match="a TorchScript file runs its author's code"):
        load(path)
    assert not marker.exists()


def test_a_whole_module_needs_trust(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "whole.pt")
    with pytest.raises(UntrustedError, match=r"names torch\.nn\.modules"):
        load(tmp_path / "whole.pt")
    assert check_file(tmp_path / "whole.pt", trust=True) == STATE
    assert set(read_state(tmp_path / "whole.pt", trust=True)) == set(network().state_dict())


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_alone_need_no_trust(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "state.pt"
    torch.save({"state_dict": network().state_dict()}, path, _use_new_zipfile_serialization=zipped)
    assert check_file(path) == STATE
    assert set(read_state(path, trust=False)) == set(network().state_dict())


def test_torchscript_always_needs_trust(tmp_path: Path) -> None:
    """One that computes, one that writes a file when it is called, and one whose code runs when it is loaded."""
    path, marker = tmp_path / "m.pt", tmp_path / "written"
    for module in (network(), Writer(str(marker)), AtLoading()):
        torch.jit.script(module).save(str(path))
        with pytest.raises(UntrustedError, match=r"runs its author's code; say --trust .* as ONNX"):
            check_file(path)
        with pytest.raises(UntrustedError, match="runs its author's code"):
            load_foreign(path, TORCHSCRIPT, CARD, trust=False)  # whoever checked before
    assert not marker.exists()
    torch.jit.script(Writer(str(marker))).save(str(path))
    assert check_file(path, trust=True) == TORCHSCRIPT
    load_foreign(path, TORCHSCRIPT, CARD, trust=True)(torch.zeros(1, 1, 8, 8))
    assert marker.exists(), "it would have written"


def test_an_exported_program_needs_trust(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(network(), (torch.zeros(2, 1, 8, 8),)), tmp_path / "m.pt2")
    with pytest.raises(UntrustedError, match=r"a torch.export program runs its author's code"):
        check_file(tmp_path / "m.pt2")
    assert check_file(tmp_path / "m.pt2", trust=True) == EXPORTED
    loaded = load_foreign(tmp_path / "m.pt2", EXPORTED, CARD, trust=True)
    with torch.inference_mode():
        assert loaded(torch.zeros(5, 1, 8, 8)).shape == (5, 1), "its batch of 2 is filled up"


def test_an_onnx_file_needs_no_trust(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    import numpy as np

    weight = numpy_helper.from_array(np.ones((64, 2), np.float32), "w")
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["f"]),
            helper.make_node("MatMul", ["f", "w"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", 1, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("y", 1, ["n", 2])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    assert check_file(path) == ONNX
    answer = load_foreign(path, ONNX, CARD, trust=False)(torch.zeros(3, 1, 8, 8))
    torch.testing.assert_close(answer[:, 0], torch.full((3,), 32.0))  # mid-grey is 0.5 of its range
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(ForeignModelError, match="keeps weights in other files"):
        check_file(path)
    model.graph.initializer.pop()  # and hidden in a node: what onnxruntime would read from /etc
    hidden = onnx.TensorProto(name="w", data_type=1, dims=[64, 2], data_location=onnx.TensorProto.EXTERNAL)
    hidden.external_data.add(key="location", value="../../../../etc/passwd")
    node = helper.make_node("Constant", [], ["w"])
    node.attribute.append(helper.make_attribute("value", hidden))
    model.graph.node.insert(0, node)
    onnx.save(model, path)
    with pytest.raises(ForeignModelError, match="keeps weights in other files"):
        check_file(path)
    path.write_bytes(b"\x08\x07 nothing of ONNX")
    with pytest.raises(ForeignModelError, match="not an ONNX file"):
        check_file(path)


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ForeignModelError, match="neither ONNX"):
        check_file(tmp_path / "a.txt")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(ForeignModelError, match="an archive without a torch model"):
        check_file(tmp_path / "a.zip")
    (tmp_path / "a.pt").write_bytes(b"PK\x03\x04" + b"PK\x05\x06" + bytes(18))
    with pytest.raises(ForeignModelError, match=r"without a torch model|neither ONNX|damaged archive"):
        check_file(tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(b"\x80\x02}q\x00K\x01")
    with pytest.raises(ForeignModelError, match=r"can't be opened|more than weights"):
        read_state(tmp_path / "b.pt", trust=False)


def test_a_compressed_torch_archive_is_refused(tmp_path: Path) -> None:
    """torch unpacks it, entry by entry, and allocates what they say to hold; it writes none itself."""
    path = tmp_path / "state.pt"
    torch.save({"w": torch.zeros(1_000_000)}, path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    assert path.stat().st_size < 20_000
    with pytest.raises(ForeignModelError, match="an archive that torch did not write"):
        read_state(path, trust=False)
    assert SAFETENSORS != STATE
