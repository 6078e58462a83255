"""A model from elsewhere behind the interface of our own networks: the platform's pixels in, the platform's logits out."""

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xray import limits
from xray.data.score_files import LOGIT_OF_0, LOGIT_OF_1
from xray.data.score_tables import Scale, doubt
from xray.errors import ForeignModelError
from xray.learning.foreign_card import Card
from xray.learning.foreign_safety import (
    EXPORTED,
    ONNX,
    SAFETENSORS,
    TORCHSCRIPT,
    check_sizes,
    check_trust,
    not_weights,
    sort_file,
)
from xray.learning.network import FULL_SCALE
from xray.learning.onnx_program import open_session
from xray.learning.overtime import Overtime, within
from xray.learning.transitions import pool_first

Run = Callable[[Tensor], Tensor]
PROBABILITY: Final = 'output = "probability" in its card'
_TOLERANCE: Final = 1e-3


class ForeignNetwork(nn.Module):
    """forward: (n, 1, size, size) float32 in [-1024, 1024] → logits (n, n_findings), in its own order."""

    mean: Tensor
    std: Tensor

    def __init__(self, run: Run, card: Card, concurrent: bool = False) -> None:
        """concurrent: whether several threads may run it at once, each on one core."""
        super().__init__()
        self.run, self.card, self.concurrent = run, card, concurrent
        self.image_size = card.size
        self.outputs = [index for index, task in enumerate(card.tasks) if task is not None]
        self.findings = card.findings
        low, high = card.range
        self.scale, self.middle = (high - low) / 2, (high + low) / 2
        per_channel = (1, card.channels, 1, 1)
        self.register_buffer("mean", torch.tensor(card.mean or (0.0,) * card.channels).view(per_channel))
        self.register_buffer("std", torch.tensor(card.std or (1.0,) * card.channels).view(per_channel))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (n, n_findings) of pixels (n, 1, size, size) in [-1024, 1024].

        Raises `ForeignModelError` where the model's answer is not what its card says.
        """
        outputs = self.answers(pixels)[:, self.outputs].to(torch.float64)
        if self.card.output == "probability":
            if bool(((outputs < 0) | (outputs > 1)).any()):
                raise ForeignModelError(
                    f"{self.card.name}: its card says probability, but its outputs range from {outputs.min():.3g} to "
                    f'{outputs.max():.3g}; should the card say output = "logit"?'
                )
            outputs = torch.logit(outputs).clamp(LOGIT_OF_0, LOGIT_OF_1)
        logits = outputs.to(torch.float32)
        if bool(torch.isinf(logits).any()):
            raise ForeignModelError(f"{self.card.name}: returns an infinite logit")
        return logits

    def answers(self, pixels: Tensor) -> Tensor:
        """The model's own outputs (n, n_outputs) for pixels as in `forward`."""
        values = pixels / FULL_SCALE * self.scale + self.middle
        inputs = (values.expand(-1, self.card.channels, -1, -1) - self.mean) / self.std
        outputs = self.run(inputs.contiguous())
        if outputs.shape != (len(pixels), len(self.card.tasks)):
            raise ForeignModelError(
                f"{self.card.name}: its card names {len(self.card.tasks)} outputs, but it returns {tuple(outputs.shape)} "
                f"for {len(pixels)} images"
            )
        return outputs


def load_foreign(path: Path, format: str, card: Card, trust: bool) -> ForeignNetwork:
    """The network of a file that `check_file` has let pass, on the CPU. Raises `ForeignModelError` where it is none."""
    run = _onnx(path) if format == ONNX else _torch(path, format, card, trust)
    return ForeignNetwork(run, card, concurrent=format == ONNX).eval()


def probe(network: ForeignNetwork) -> list[str]:
    """Try a model on pictures of noise, together and alone: it must answer, and each picture by itself.

    Gives notes on what its card may have wrong. Raises `ForeignModelError` where it fails, or where an answer depends on
    the rest of the batch.
    """
    random = np.random.default_rng(0)
    size = network.card.size
    least = FULL_SCALE * np.array([-1, -1, -1, 0.9]).reshape(4, 1, 1, 1)
    most = FULL_SCALE * np.array([1, 1, -0.9, 1]).reshape(4, 1, 1, 1)
    pixels = torch.from_numpy(random.uniform(least, most, (4, 1, size, size)).astype(np.float32))
    name = network.card.name
    try:
        with torch.inference_mode():
            both = network(pixels)
            alone = torch.cat([network(one[None]) for one in pixels])
    except ForeignModelError:
        raise
    except Exception as error:
        raise ForeignModelError(
            f"{name}: fails on pictures of {network.card.channels} x {size} x {size}: {str(error).strip()[:200]}"
        ) from None
    if not bool(torch.isfinite(both).all()):
        raise ForeignModelError(f"{name}: returns NaN for pictures of noise")
    if not torch.allclose(both, alone, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise ForeignModelError(
            f"{name}: returns other values for a picture alone than in a batch: it was saved in training mode "
            "(call eval() first)"
        )
    scale: Scale = "logit" if network.card.output == "logit" else "probability"
    notes = doubt(both.to(torch.float64).numpy(), scale, PROBABILITY)
    return [f"{name}: {note}" for note in notes]


def read_state(path: Path, trust: bool) -> dict[str, Tensor]:
    """Weights by name, from safetensors or from a file of torch.save; a whole module gives its state dict, if trusted.

    Without trust a pickle is read by torch's restricted reader, which calls nothing but the makers of tensors. Raises
    `UntrustedError` where that does not suffice.
    """
    from safetensors.torch import load_file

    try:
        if sort_file(path) == SAFETENSORS:
            limits.check_header(path, ForeignModelError)
            return load_file(path)
        check_sizes(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=not trust)
    except ForeignModelError:
        raise
    except Exception as error:  # safetensors', zipfile's, torch's, and whatever a pickle met
        if isinstance(error, pickle.UnpicklingError) and not trust:
            raise not_weights(path.name, error) from None
        raise ForeignModelError(f"{path.name}: can't be opened: {str(error).strip()[:200]}") from None
    if isinstance(content, nn.Module):
        content = content.state_dict()
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(v, Tensor) for v in content.values())
    ):
        raise ForeignModelError(
            f"{path.name}: expected weights by name (a state dict), found {type(content).__name__}"
        )
    return dict(content)


def build(card: Card, state: dict[str, Tensor]) -> nn.Module:
    """The torchvision network that the card names, with the card's channels and outputs, and these weights.

    Raises `ForeignModelError` where the card names none, or the weights are another's.
    """
    import torchvision

    if card.network is None:
        raise ForeignModelError(
            f'{card.name}: the file has only weights: the card must name their network (network = "densenet121")'
        )
    if card.network not in torchvision.models.list_models(module=torchvision.models):
        raise ForeignModelError(f"{card.name}: network: torchvision has no classifier {card.network!r}")
    network = torchvision.models.get_model(card.network, weights=None, num_classes=len(card.tasks))
    if card.channels == 1:
        _one_channel(network)
    own = network.state_dict()
    # saved from within a wrapper: module.features…, model.conv1…
    for prefix in ("module.", "model."):
        if not set(state) & set(own):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    tensors = {name: tensor for name, tensor in state.items() if name in own}
    wrong = sorted(
        {name for name in own if name not in tensors}
        | {n for n in tensors if tensors[n].shape != own[n].shape}
    )
    if wrong:
        raise ForeignModelError(
            f"{card.name}: its weights are not those of {card.network} with {card.channels} channel(s) and "
            f"{len(card.tasks)} outputs: {', '.join(wrong[:3])} missing or of another shape"
        )
    network.load_state_dict(tensors)
    return pool_first(network.eval())


def _one_channel(network: nn.Module) -> None:
    """Replace the first convolution by one that takes one channel."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            parent = network.get_submodule(name.rpartition(".")[0])
            layer = nn.Conv2d(
                1,
                module.out_channels,
                module.kernel_size,  # type: ignore[arg-type]
                module.stride,  # type: ignore[arg-type]
                module.padding,  # type: ignore[arg-type]
                bias=module.bias is not None,
            )
            setattr(parent, name.rpartition(".")[2], layer)
            return


def _torch(path: Path, format: str, card: Card, trust: bool) -> Run:
    if not trust:
        check_trust(card.name, format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls TorchScript deprecated
        try:
            if format == TORCHSCRIPT:
                module: Any = torch.jit.load(str(path), map_location="cpu")
                return _first(module.eval())
            if format == EXPORTED:
                program = torch.export.load(str(path))
                return _batched(_first(program.module()), _fixed_batch(program))
        except RuntimeError as error:
            raise ForeignModelError(f"{path.name}: can't be loaded: {str(error).strip()[:200]}") from None
    assert format == SAFETENSORS
    return build(card, read_state(path, trust=False))


def _first(module: Any) -> Run:
    """The first output of a module that may have several."""

    def run(pixels: Tensor) -> Tensor:
        answer = module(pixels)
        first: Tensor = answer[0] if isinstance(answer, tuple | list) else answer
        return first

    return run


def _fixed_batch(program: Any) -> int | None:
    (name, *_) = program.graph_signature.user_inputs
    (node,) = [node for node in program.graph.nodes if node.name == name]
    n = node.meta["val"].shape[0]
    return n if isinstance(n, int) else None


def _batched(run: Run, batch: int | None) -> Run:
    """A model that takes batches of one size only, as one that takes any: the last batch is filled up with blanks."""
    if batch is None:
        return run

    def padded(pixels: Tensor) -> Tensor:
        outputs = []
        for part in pixels.split(batch):
            blank = torch.zeros((batch - len(part), *part.shape[1:]), dtype=part.dtype)
            outputs.append(run(torch.cat([part, blank]))[: len(part)])
        return torch.cat(outputs)

    return padded


def _onnx(path: Path) -> Run:
    try:
        import onnxruntime
    except ImportError:
        raise ForeignModelError(f"{path.name}: ONNX needs its extra: pip install 'xray[onnx]'") from None
    try:
        session = within(
            limits.model_seconds(), lambda: open_session(str(path), torch.get_num_threads()), lambda: None
        )
    except Overtime:
        raise _too_slow(f"{path.name}: is not loaded") from None
    except Exception as error:
        raise ForeignModelError(f"{path.name}: can't be loaded: {str(error).strip()[:200]}") from None
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise ForeignModelError(
            f"{path.name}: expected one input (n, channels, size, size), found {[entry.shape for entry in inputs]}"
        )

    def run(pixels: Tensor) -> Tensor:
        options = onnxruntime.RunOptions()
        options.log_severity_level = 4
        feed = {inputs[0].name: pixels.numpy()}
        try:
            answers: list[NDArray[np.float32]] = within(
                limits.model_seconds(),
                lambda: session.run(None, feed, options),
                lambda: setattr(options, "terminate", True),
            )
        except Overtime:
            raise _too_slow(f"{path.name}: has not answered for {len(pixels)} picture(s)") from None
        return torch.from_numpy(np.asarray(answers[0]))

    n = inputs[0].shape[0]
    return _batched(run, n if isinstance(n, int) else None)


def _too_slow(failure: str) -> ForeignModelError:
    return ForeignModelError(
        f"{failure} within {limits.model_seconds():g} s, and was stopped; a slow model needs a larger XRAY_MODEL_SECONDS "
        "(seconds for a batch of up to 128 pictures)"
    )
