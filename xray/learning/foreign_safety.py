"""What a model file from elsewhere would do when it is loaded, found out without loading it.

A pickle is a program: to open it is to run it. So a file is sorted by its content before anything reads it:

* ONNX and safetensors hold numbers and a graph: taken, if all of it is in the file itself.
* weights saved by torch (a state dict) are read by torch's restricted unpickler (`weights_only=True`), which calls nothing
  but the makers of tensors: taken where it agrees.
* whole modules saved by torch, and torch.export programs, whose reader unpickles freely (`torch.export.load` warns of it):
  only where the user says that the author is trusted.
* TorchScript is read by a C++ unpickler that knows no Python, but its code may run when it is loaded (`__setstate__`) and
  may touch files when it is called (`aten::save`, `aten::from_file`): taken where its pickles name nothing of Python's, it
  has no such method, and its compiled graph, looked at before it is first called, holds tensor arithmetic only.
"""

import io
import pickletools
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from xray.errors import ForeignModelError, UntrustedError

ONNX, SAFETENSORS, STATE, TORCHSCRIPT, EXPORTED = (
    "onnx",
    "safetensors",
    "state dict",
    "torchscript",
    "exported",
)

_TOUCH_FILES: Final = ("aten::save", "aten::from_file")
_ARITHMETIC: Final = ("aten::", "prim::", "quantized::")
_CALLS_OUT: Final = (
    "prim::PythonOp",
    "prim::CallMethod",
    "prim::CallFunction",
    "prim::awaitable",
    "prim::fork",
)
_OF_CPP: Final = "__torch__.torch.classes"
"""Classes of C++ extensions, whose own code runs when they are opened."""
_PLAIN: Final = {("collections", "OrderedDict"), ("torch._utils", "_rebuild_tensor_v2"), ("torch", "device")}


def sort_file(path: Path) -> str:
    """The format of a model file by its content: one of the names above. Raises `ForeignModelError` where it is none."""
    with path.open("rb") as file:
        head = file.read(16)
    if zipfile.is_zipfile(path):
        return _sort_archive(path)
    if head[:1] == b"\x80":
        return STATE
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return SAFETENSORS
    if path.suffix == ".onnx" and head:
        return ONNX
    raise ForeignModelError(
        f"{path.name}: neither ONNX (.onnx), TorchScript, a torch.export program, safetensors nor weights saved by torch"
    )


def check_file(path: Path, trust: bool = False) -> str:
    """The format of a file that is safe to load, or that the user trusts. Nothing of the file has run then.

    Raises `UntrustedError`, which says what the file would do, or `ForeignModelError` where it is no model file.
    """
    kind = sort_file(path)
    if kind == ONNX:
        _check_onnx(path)
    elif trust:
        return kind
    elif kind == EXPORTED:
        raise UntrustedError(
            f"{path.name}: a torch.export program is opened by unpickling, which runs whatever code its author put in; "
            f"{_WAY_OUT}, or have it as ONNX"
        )
    elif kind == STATE:
        _check_state(path)
    elif kind == TORCHSCRIPT:
        _check_archive(path)
    return kind


def check_graph(name: str, module: Any) -> None:
    """Refuse a loaded TorchScript module whose forward would do more than arithmetic. Raises `UntrustedError`."""
    for kind in sorted(set(_kinds(module.inlined_graph))):
        if kind in _TOUCH_FILES or kind in _CALLS_OUT or not kind.startswith(_ARITHMETIC):
            raise UntrustedError(
                f"{name}: its code calls {kind}, which may reach beyond the model; {_WAY_OUT}"
            )


_WAY_OUT: Final = "say --trust if you trust its author as you would a program's"


def _sort_archive(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/data.pkl") for name in names):
        return TORCHSCRIPT if any("/code/" in name for name in names) else STATE
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        return EXPORTED
    raise ForeignModelError(f"{path.name}: an archive that holds no model of torch's")


def _check_onnx(path: Path) -> None:
    try:
        import onnx
    except ImportError:
        raise ForeignModelError(f"{path.name}: ONNX needs its extra: pip install 'xray[onnx]'") from None
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own
        raise ForeignModelError(f"{path.name}: not an ONNX file: {str(error).strip()[:200]}") from None
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model.graph)):
        raise ForeignModelError(
            f"{path.name}: keeps weights in other files; save it as one file (external_data=False)"
        )
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ForeignModelError(f"{path.name}: not an ONNX file: {str(error).strip()[:200]}") from None


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in [attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs:
                yield from _tensors(inner)


def _check_state(path: Path) -> None:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        called = sorted(_named(path))
        what = f"it names {', '.join(called[:4])}" if called else type(error).__name__
        raise UntrustedError(
            f"{path.name}: a pickle that is more than weights ({what}): to open it is to run whatever code its author put "
            f"in; have the weights alone (torch.save(model.state_dict(), …)), or {_WAY_OUT}"
        ) from None


def _named(path: Path) -> set[str]:
    """What a pickle would look up when opened, but for tensors' own makers; by reading its opcodes, not by running them."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            data = next(archive.read(name) for name in archive.namelist() if name.endswith("/data.pkl"))
    else:
        data = path.read_bytes()
    return {f"{module}.{name}" for module, name in _globals_of_all(data) if not _is_plain(module, name)}


def _is_plain(module: str, name: str) -> bool:
    """Whether a global is one of those that tensors are made with."""
    return (module, name) in _PLAIN or (module == "torch" and name.endswith("Storage"))


def _globals_of_all(data: bytes) -> Iterator[tuple[str, str]]:
    """As `_globals`, of the several pickles that a file of torch's older format is; up to where it is none any more."""
    stream = io.BytesIO(data)
    try:
        while stream.tell() < len(data):
            yield from _globals(stream)
    except ValueError:
        return


def _globals(data: "bytes | io.BytesIO") -> Iterator[tuple[str, str]]:
    """(module, name) of every global that a pickle names; ("?", "?") where it computes one."""
    strings: list[str] = []
    for opcode, argument, _ in pickletools.genops(data):
        if isinstance(argument, str) and opcode.name not in ("GLOBAL", "INST"):
            strings.append(argument)
        if opcode.name in ("GLOBAL", "INST"):
            module, name = str(argument).split(" ", 1)
            yield module, name
        elif opcode.name == "STACK_GLOBAL":
            yield (strings[-2], strings[-1]) if len(strings) > 1 else ("?", "?")


def _check_archive(path: Path) -> None:
    """The archive of a TorchScript file: its pickles and its code, unread by torch."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".pkl") and not name.endswith("debug_pkl"):
                _check_pickle(path.name, name, archive.read(name))
            if "/code/" in name and name.endswith(".py") and b"__setstate__" in archive.read(name):
                raise UntrustedError(
                    f"{path.name}: its code has a __setstate__, which runs when it is loaded; {_WAY_OUT}"
                )


def _check_pickle(file: str, name: str, data: bytes) -> None:
    try:
        found = list(_globals(data))
    except ValueError:
        raise ForeignModelError(f"{file}: {name} in it is damaged") from None
    for module, what in found:
        if (
            not _is_plain(module, what)
            and not (module.split(".")[0] == "__torch__" and not module.startswith(_OF_CPP))
            and module != "torch.jit._pickle"
        ):
            raise UntrustedError(
                f"{file}: a pickle in it names {module}.{what}, which is no part of TorchScript: to open it may run "
                f"whatever code its author put in; {_WAY_OUT}"
            )


def _kinds(graph: Any) -> Iterator[str]:
    for node in graph.nodes():
        yield node.kind()
        for block in node.blocks():
            yield from _kinds(block)
