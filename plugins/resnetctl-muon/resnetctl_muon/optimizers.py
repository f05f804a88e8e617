"""Muon: momentum whose update is made orthogonal, for convolutions; AdamW for everything else."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, from Jordan's page
ITERATIONS = 5
RMS = 0.2  # root mean square of an update of AdamW, arXiv:2502.16982, section 2.2
EPS = 1e-7


def muon(
    groups: list[dict[str, Any]],
    *,
    lr: float,
    momentum: float = 0.95,
    nesterov: bool = True,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> torch.optim.Optimizer:
    """Return Muon, by Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/.

    Convolutions are read as matrices, output channels by the rest. Their updates have the size of AdamW's (Liu et al.
    2025, arXiv:2502.16982), so one learning rate serves both: about the one for AdamW. The head, norms and biases get
    AdamW.
    """
    settings = {"momentum": momentum, "nesterov": nesterov, "beta1": beta1, "beta2": beta2, "eps": eps}
    return Muon(groups, {"lr": lr, **settings})


class Muon(torch.optim.Optimizer):
    """Muon for weights of convolutions `(out, in, h, w)`, AdamW for the others. `muon` says more."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient by one step. `closure` is not used."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update = self._orthogonal if parameter.ndim == 4 else self._adam
                    change = update(parameter, group)
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(change, alpha=group["lr"])

    def _orthogonal(self, parameter: nn.Parameter, group: dict[str, Any]) -> Tensor:
        state, gradient = self.state[parameter], _gradient(parameter)
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        average = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        ahead = torch.lerp(gradient, average, group["momentum"]) if group["nesterov"] else average
        matrix = orthogonalised(ahead.flatten(1))
        return matrix.view_as(parameter) * (RMS * max(matrix.shape) ** 0.5)

    def _adam(self, parameter: nn.Parameter, group: dict[str, Any]) -> Tensor:
        state, gradient = self.state[parameter], _gradient(parameter)
        if not state:
            state |= {"step": 0, "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
        state["step"] += 1
        mean = state["mean"].lerp_(gradient, 1 - group["beta1"]) / (1 - group["beta1"] ** state["step"])
        square = state["square"].lerp_(gradient.square(), 1 - group["beta2"]) / (1 - group["beta2"] ** state["step"])
        return mean / (square.sqrt() + group["eps"])


def orthogonalised(matrix: Tensor) -> Tensor:
    """Return a matrix with the same singular vectors and singular values near 1, between .7 and 1.2.

    Args:
        matrix: float `(rows, columns)`.

    Newton-Schulz iteration with the coefficients of Jordan et al. 2024. They are tuned for speed, so the values do not
    reach 1. In float32, unlike Jordan's bfloat16, because that is slow on a CPU.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.T if is_tall else matrix
    wide = wide / (wide.norm() + EPS)  # the largest singular value is now at most 1, as the iteration needs
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide.T if is_tall else wide


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
