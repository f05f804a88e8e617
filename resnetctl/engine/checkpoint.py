"""A training state as bytes and back, bit for bit: one safetensors blob with a digest of its content.

Tensors: `model/…`, `ema/…`, `best/…`, `optimizer/<parameter>/<key>`, `sums/…`. Everything else is JSON under one key
of the header (the order of two keys would vary between runs), with a SHA-256 over all of it. No pickle, no files:
`runs` decides where the bytes go.
"""

import io
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from resnetctl import __version__
from resnetctl.engine.average import averages
from resnetctl.engine.hardware.precision import arithmetic_facts
from resnetctl.engine.loop import Best, EpochSums, TrainState
from resnetctl.errors import WeightsError
from resnetctl.system.safetensors import digest, read_layout

KEY = "resnetctl.checkpoint"
SCHEMA = 1
MAX_HEADER = 1 << 24  # bytes; the tensors of a ResNet-1202 (net, best net, EMA, moments) need 4 MB
MAX_TENSORS = 100_000


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A verified checkpoint. `card` describes the model, `machine` the computer that wrote it."""

    tensors: Mapping[str, Tensor]
    body: Mapping[str, Any]

    @property
    def step(self) -> int:
        return int(self.body["step"])

    @property
    def epochs(self) -> int:
        return int(self.body["epochs"])

    @property
    def trained(self) -> dict[str, Tensor]:
        """Tensors of the network that the next step trains, by their names in its state dict."""
        return _part(self, "model")

    @property
    def card(self) -> Mapping[str, Any]:
        return dict(self.body["card"])

    def shipped(self, *, last: bool) -> dict[str, Tensor]:
        """Return the weights of the last step (their average, if there is one) or of the best epoch."""
        if not last:
            return _part(self, "best")
        start = "ema/module."
        ema = {name.removeprefix(start): value for name, value in self.tensors.items() if name.startswith(start)}
        return ema or _part(self, "evaluated") or _part(self, "model")

    @property
    def machine(self) -> Mapping[str, Any]:
        return dict(self.body["machine"])


def machine_facts(world_size: int = 1, *, device: str = "cpu", precision: str = "fp32") -> dict[str, Any]:
    """Return the facts that must not change for a bit-exact resume.

    Args:
        world_size: `Team.world_size`.
        device: that of the training; a CUDA device adds its name.
        precision: that of the training; bf16 on a CPU adds the instructions that it needs.
    """
    return {
        "resnetctl": __version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "world_size": world_size,
        "precision": precision,
        **arithmetic_facts(device, precision),
    }


def to_bytes(state: TrainState, card: Mapping[str, Any], *, world_size: int = 1) -> bytes:
    """Serialise `state`, with the `card` that rebuilds the model. Raises `NonFinite`: no NaN is ever saved.

    `world_size` is the number of processes, if the result depends on it.
    """
    state.require_finite()
    tensors = {f"model/{name}": value for name, value in state.model.state_dict().items()}
    if state.ema is not None:
        tensors |= {f"ema/{name}": value for name, value in state.ema.state_dict().items()}
    tensors |= {f"best/{name}": value for name, value in state.best.weights.items()}
    if state.ema is None and averages(state.optimizer):
        tensors |= {f"evaluated/{name}": value for name, value in state.shipped.state_dict().items()}
    tensors |= {"sums/loss": state.sums.loss, "sums/correct": state.sums.correct}
    optimizer = state.optimizer.state_dict()
    scalars: dict[str, dict[str, Any]] = {}
    for number, values in optimizer["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{number}/{key}"] = value
            else:
                scalars.setdefault(str(number), {})[key] = value
    whole = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    body = {
        "schema": SCHEMA,
        "step": state.step,
        "epochs": state.epochs,
        "patience": state.patience,
        "images": state.sums.images,
        "best": {"epoch": state.best.epoch, "top1": state.best.top1, "loss": state.best.loss.hex()},
        "groups": optimizer["param_groups"],
        "scalars": scalars,
        "card": dict(card),
        "machine": machine_facts(world_size, device=str(state.sums.loss.device), precision=state.precision),
    }
    if state.scale is not None:
        body["loss_scale"] = vars(state.scale)
    text = json.dumps(body, sort_keys=True)
    header = json.dumps({"body": text, "sha256": digest(whole, text=text)})
    return safetensors.torch.save(whole, metadata={KEY: header})


def expected_bytes(state: TrainState) -> int:
    """Estimate the size of a checkpoint in bytes: net, best net, EMA, one or two moments."""
    net: int = sum(value.nbytes for value in state.model.state_dict().values())
    moments = 1 if isinstance(state.optimizer, torch.optim.SGD) else 2
    return net * (2 + (state.ema is not None) + moments)


def from_bytes(data: bytes) -> Snapshot:
    """Return the verified checkpoint in `data`. Raises `WeightsError` unless `to_bytes` wrote these values."""
    try:
        layout = read_layout(io.BytesIO(data), "checkpoint", max_header=MAX_HEADER, max_tensors=MAX_TENSORS)
        envelope = json.loads(layout.metadata[KEY])
        tensors = safetensors.torch.load(data)
        if envelope["sha256"] != digest(tensors, text=envelope["body"]):
            raise WeightsError("its content does not match its digest")
        body = json.loads(envelope["body"])
    except WeightsError as error:
        raise WeightsError(f"the checkpoint is corrupt: {error.message}") from None
    except (SafetensorError, KeyError, TypeError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        raise WeightsError(f"the checkpoint is corrupt: {type(error).__name__}") from None
    if body["schema"] != SCHEMA:
        raise WeightsError(f"the checkpoint has schema {body['schema']}, this version reads {SCHEMA}")
    return Snapshot(tensors=tensors, body=body)


def restore(state: TrainState, snapshot: Snapshot) -> None:
    """Load a checkpoint into `state`. Raises `WeightsError` if it belongs to another network or optimizer."""
    body = snapshot.body
    try:
        state.model.load_state_dict(_part(snapshot, "model"))
        if state.ema is not None:
            state.ema.load_state_dict(_part(snapshot, "ema"))
        state.optimizer.load_state_dict(_optimizer_state(snapshot))
        _lay_out_like_parameters(state.optimizer)
        if state.scale is not None:
            vars(state.scale).update(body["loss_scale"])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"the checkpoint belongs to another network: {reason}") from None
    device = state.sums.loss.device
    best = body["best"]
    state.best = Best(best["epoch"], best["top1"], float.fromhex(best["loss"]), _part(snapshot, "best"))
    state.sums = EpochSums(
        snapshot.tensors["sums/loss"].to(device), snapshot.tensors["sums/correct"].to(device), body["images"]
    )
    state.step, state.epochs, state.patience = body["step"], body["epochs"], body["patience"]


def _part(snapshot: Snapshot, prefix: str) -> dict[str, Tensor]:
    start = prefix + "/"
    return {name.removeprefix(start): value for name, value in snapshot.tensors.items() if name.startswith(start)}


def _optimizer_state(snapshot: Snapshot) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {
        int(number): dict(values) for number, values in snapshot.body["scalars"].items()
    }
    for name, value in _part(snapshot, "optimizer").items():
        number, _, key = name.partition("/")
        state.setdefault(int(number), {})[key] = value
    return {"state": state, "param_groups": snapshot.body["groups"]}


def _lay_out_like_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Give momentum and moments their parameter's strides: fused kernels read both in memory order."""
    for parameter, values in optimizer.state.items():
        for key, value in values.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                values[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
