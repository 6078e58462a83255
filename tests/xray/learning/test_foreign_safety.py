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
    check_graph,
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
        return x.mean((2, 3))


class Reader(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        seen = torch.from_file("/etc/hostname", False, 2, dtype=torch.uint8)
        if bool(x.sum() > 1e9):
            return x.mean((2, 3)) + seen
        return x.mean((2, 3))


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
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in held.items():
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


@pytest.mark.parametrize("how", MALICIOUS)
def test_a_malicious_pickle_is_not_opened(how: str, tmp_path: Path) -> None:
    made = tmp_path / "made by the pickle"
    MALICIOUS[how](tmp_path / "model.pt", Evil(made))
    with pytest.raises(UntrustedError, match=r"names posix\.system") as refused:
        check_file(tmp_path / "model.pt")
    assert "--trust" in str(refused.value)
    assert not made.exists()
    if how == "torch's archive":  # the test can fail: the same file, opened
        assert check_file(tmp_path / "model.pt", trust=True) == STATE
        with pytest.raises(ForeignModelError, match="expected weights by name"):
            read_state(tmp_path / "model.pt", trust=True)
        assert made.exists()


def test_a_whole_module_needs_trust(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "whole.pt")
    with pytest.raises(UntrustedError, match=r"names .*torch.nn.modules"):
        check_file(tmp_path / "whole.pt")
    assert check_file(tmp_path / "whole.pt", trust=True) == STATE
    assert set(read_state(tmp_path / "whole.pt", trust=True)) == set(network().state_dict())


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_alone_need_none(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "state.pt"
    torch.save({"state_dict": network().state_dict()}, path, _use_new_zipfile_serialization=zipped)
    assert check_file(path) == STATE
    assert set(read_state(path, trust=False)) == set(network().state_dict())


def test_torchscript_that_computes_needs_none(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    for made in (torch.jit.script(network()), torch.jit.trace(network(), torch.zeros(1, 1, 8, 8))):
        made.save(str(path))
        assert check_file(path) == TORCHSCRIPT
        load_foreign(path, TORCHSCRIPT, CARD, trust=False)


def test_torchscript_that_touches_files_needs_trust(tmp_path: Path) -> None:
    written = tmp_path / "written"
    for module, called in ((Writer(str(written)), "aten::save"), (Reader(), "aten::from_file")):
        torch.jit.script(module).save(str(tmp_path / "m.pt"))
        assert check_file(tmp_path / "m.pt") == TORCHSCRIPT
        with pytest.raises(UntrustedError, match=f"its code calls {called}"):
            load_foreign(tmp_path / "m.pt", TORCHSCRIPT, CARD, trust=False)
    assert not written.exists()
    torch.jit.script(Writer(str(written)))(torch.zeros(1, 1, 8, 8))
    assert written.exists(), "it would have written"


def test_torchscript_that_runs_when_it_is_loaded_needs_trust(tmp_path: Path) -> None:
    torch.jit.script(AtLoading()).save(str(tmp_path / "m.pt"))
    with pytest.raises(UntrustedError, match="__setstate__"):
        check_file(tmp_path / "m.pt")
    check_graph("m", torch.jit.script(network()))


def test_an_exported_program_needs_trust(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(network(), (torch.zeros(2, 1, 8, 8),)), tmp_path / "m.pt2")
    with pytest.raises(UntrustedError, match=r"torch.export program is opened by unpickling"):
        check_file(tmp_path / "m.pt2")
    assert check_file(tmp_path / "m.pt2", trust=True) == EXPORTED
    loaded = load_foreign(tmp_path / "m.pt2", EXPORTED, CARD, trust=True)
    with torch.inference_mode():
        assert loaded(torch.zeros(5, 1, 8, 8)).shape == (5, 18), "its batch of 2 is filled up"


def test_onnx_of_one_file_needs_none(tmp_path: Path) -> None:
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
    torch.testing.assert_close(answer[:, 12], torch.full((3,), 32.0))  # mid-grey is 0.5 of its range
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(ForeignModelError, match="keeps weights in other files"):
        check_file(path)
    path.write_bytes(b"\x08\x07 nothing of ONNX")
    with pytest.raises(ForeignModelError, match="not an ONNX file"):
        check_file(path)


def test_files_that_are_no_models(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ForeignModelError, match="neither ONNX"):
        check_file(tmp_path / "a.txt")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(ForeignModelError, match="an archive that holds no model"):
        check_file(tmp_path / "a.zip")
    assert SAFETENSORS != STATE
