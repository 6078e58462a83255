"""Which model files from elsewhere may be opened: those whose format holds numbers and a graph, and no code.

* ONNX and safetensors: taken, if all of it is in the file itself.
* weights saved by torch (a state dict): read by torch's restricted unpickler (`weights_only=True`), which calls nothing but
  the makers of tensors.
* TorchScript, torch.export programs and whole modules hold code of their author's: only where the user says that the author
  is trusted. Nothing looks into such a file to find out whether it is harmless: an inspector that reads a file otherwise
  than its loader does (of two archive entries of one name, say) protects nobody.
"""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from xray import limits
from xray.errors import ForeignModelError, UntrustedError

ONNX, SAFETENSORS, STATE, TORCHSCRIPT, EXPORTED = (
    "onnx",
    "safetensors",
    "state dict",
    "torchscript",
    "exported",
)
RUN_CODE: Final = {TORCHSCRIPT: "a TorchScript file", EXPORTED: "a torch.export program"}
"""Formats that run what their author wrote when they are loaded or called."""
FILES: Final = {
    ONNX: "model.onnx",
    TORCHSCRIPT: "model.torchscript",
    EXPORTED: "model.pt2",
    SAFETENSORS: "model.safetensors",
}
"""Format → the name under which a file is kept. Weights are kept as safetensors, whatever they came as."""
_WAY_OUT: Final = "say --trust if you trust its author as you would a program's"


def sort_file(path: Path) -> str:
    """The format of a model file by its content: one of the names above. Raises `ForeignModelError` where it is none."""
    with limits.open_file(path) as file:
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
    """The format of a file that the loader of its format may open: one that runs no code, or that the user trusts.

    Nothing of the file has run then. Raises `UntrustedError` for a format that runs code, or `ForeignModelError` where it is
    no model file. Weights saved by torch are for `read_state` to judge, whose reader is a restricted one.
    """
    kind = sort_file(path)
    if kind == ONNX:
        _check_onnx(path)
    elif not trust:
        check_trust(path.name, kind)
    return kind


def check_trust(name: str, format: str) -> None:
    """Raise `UntrustedError` for a format that runs code; asked again by the loader, whoever checked before."""
    if format in RUN_CODE:
        raise UntrustedError(
            f"{name}: {RUN_CODE[format]} runs its author's code; {_WAY_OUT}, or get the model as ONNX"
        )


def _sort_archive(path: Path) -> str:
    names = [entry.filename for entry in _entries(path)]
    if any(name.endswith("/data.pkl") for name in names):
        return TORCHSCRIPT if any("/code/" in name for name in names) else STATE
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        return EXPORTED
    raise ForeignModelError(f"{path.name}: an archive without a torch model")


def _check_onnx(path: Path) -> None:
    try:
        import onnx
    except ImportError:
        raise ForeignModelError(f"{path.name}: ONNX needs its extra: pip install 'xray[onnx]'") from None
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own
        raise ForeignModelError(f"{path.name}: not an ONNX file: {str(error).strip()[:200]}") from None
    if any(tensor.external_data or tensor.data_location == tensor.EXTERNAL for tensor in _tensors(model)):
        raise ForeignModelError(
            f"{path.name}: keeps weights in other files; save it as one file (external_data=False)"
        )
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ForeignModelError(f"{path.name}: not an ONNX file: {str(error).strip()[:200]}") from None


def _tensors(message: Any) -> Iterator[Any]:
    """Every tensor of an ONNX model, wherever it stands: in graphs, nodes, functions, sparse ones, training."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in [value] if hasattr(value, "ListFields") else value:
            if field.message_type.name == "TensorProto":
                yield part
            else:
                yield from _tensors(part)


def _entries(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except zipfile.BadZipFile as error:
        raise ForeignModelError(f"{path.name}: a damaged archive: {error}") from None


def check_sizes(path: Path) -> None:
    """Raise `ForeignModelError` for an archive of torch's that is packed: torch never packs, and a bomb has to."""
    if not zipfile.is_zipfile(path):
        return
    entries = _entries(path)
    names = {entry.filename for entry in entries}
    size = sum(entry.file_size for entry in entries)
    if len(names) < len(entries) or size > path.stat().st_size:
        raise ForeignModelError(
            f"{path.name}: an archive that torch did not write: it is compressed, or has an entry twice"
        )


def not_weights(name: str, error: Exception) -> UntrustedError:
    """What to say of a pickle that torch's restricted reader refused with `error`."""
    match = re.search(r"GLOBAL (\S+)", str(error))
    code = f" (it names {match[1].rstrip('.,')})" if match else ""
    return UntrustedError(
        f"{name}: a pickle that is more than weights{code}: to open it is to run whatever code its author put in; have the "
        f"weights alone (torch.save(model.state_dict(), …)), or {_WAY_OUT}"
    )
