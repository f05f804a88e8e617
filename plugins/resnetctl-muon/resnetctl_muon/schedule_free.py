"""Schedule-free SGD and AdamW (Defazio et al. 2024, The Road Less Scheduled, arXiv:2405.15682).

Three points: z takes the steps, x is their average, and the gradient is computed between them, at
y = (1 - beta) z + beta x. The network holds y while it trains; x is evaluated and saved. The average does the work of a
falling learning rate, so the schedule stays constant.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def schedule_free_sgd(groups: list[dict[str, Any]], *, lr: float, momentum: float = 0.9) -> torch.optim.Optimizer:
    """Return schedule-free SGD, algorithm 1. `optim.momentum` is the paper's beta."""
    return ScheduleFree(groups, {"lr": lr, "beta": momentum, "adaptive": False})


def schedule_free_adamw(
    groups: list[dict[str, Any]], *, lr: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
) -> torch.optim.Optimizer:
    """Return schedule-free AdamW, algorithm 2. `optim.beta1` is the paper's beta."""
    return ScheduleFree(groups, {"lr": lr, "beta": beta1, "beta2": beta2, "eps": eps, "adaptive": True})


class ScheduleFree(torch.optim.Optimizer):
    """Keeps z and x of each parameter in its state; the parameter itself is y. `schedule_free_sgd` says more."""

    def evaluated(self, parameter: Tensor) -> Tensor:
        """Return x, the weights to evaluate; the parameter itself before its first step."""
        average: Tensor = self.state.get(parameter, {}).get("average", parameter)
        return average

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient by one step. `closure` is not used."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group, parameter.grad)

    def _move(self, parameter: nn.Parameter, group: dict[str, Any], gradient: Tensor) -> None:
        state = self.state[parameter]
        if not state:
            state |= {"step": 0, "weights": 0.0, "point": parameter.clone(), "average": parameter.clone()}
            if group["adaptive"]:
                state["square"] = torch.zeros_like(parameter)
        state["step"] += 1
        change = self._adapted(state, group, gradient) if group["adaptive"] else gradient
        point, average, lr = state["point"], state["average"], group["lr"]
        point.sub_(change + group["weight_decay"] * parameter, alpha=lr)
        # steps at a low rate, as in the warm-up, count less in the average: by the square of their rate
        state["weights"] += lr**2
        if state["weights"]:
            average.lerp_(point, lr**2 / state["weights"])
            parameter.copy_(torch.lerp(point, average, group["beta"]))

    @staticmethod
    def _adapted(state: dict[str, Any], group: dict[str, Any], gradient: Tensor) -> Tensor:
        square = state["square"].lerp_(gradient.square(), 1 - group["beta2"])
        return gradient / ((square / (1 - group["beta2"] ** state["step"])).sqrt() + group["eps"])
