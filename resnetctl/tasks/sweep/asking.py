"""The next setting of a sweep that learns from the runs before it, by Optuna's tree-structured Parzen estimator.

A setting depends on the file, the number of the run and the results so far, not on the process that asks: one worker
gets the same settings again. Source: Akiba et al., Optuna, KDD 2019, arXiv 1907.10902.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from resnetctl.errors import ConfigError

if TYPE_CHECKING:
    import optuna

MAX_SEED = 2**32  # of Optuna's generator; a seed of the sweep may be any whole number
Result = float | Literal["failed", "open"]  # the number on val; a failed run; a run that is not finished


def suggest(vary: Mapping[str, Any], tried: Sequence[tuple[Mapping[str, Any], Result]], *, seed: int) -> dict[str, Any]:
    """Return the next value of each key.

    Args:
        vary: by key, a list of values or a range with `low`, `high` and perhaps `log`.
        tried: the settings so far, with what came out.
        seed: of the search.

    Raises:
        ConfigError: Optuna is not installed, or a range cannot be drawn from.
    """
    optuna = _optuna()
    spaces = {key: _space(key, values) for key, values in vary.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # constant_liar
        sampler = optuna.samplers.TPESampler(seed=(seed + len(tried)) % MAX_SEED, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for setting, result in tried:
        study.add_trial(_trial(setting, result, vary=vary, spaces=spaces))
    asked = study.ask(spaces).params
    return {key: _value(vary[key], asked[key]) for key in vary}


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ConfigError("the method optuna needs the package optuna", hint="pip install 'optuna>=4'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _space(key: str, values: Any) -> "optuna.distributions.BaseDistribution":
    """Return the values of a key as Optuna takes them: places in the list, or a range."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(values, list) and values:
        return CategoricalDistribution(range(len(values)))
    try:
        low, high, log = values["low"], values["high"], bool(values.get("log"))
        if math.isfinite(high - low):
            return (IntDistribution if _is_whole(values) else FloatDistribution)(low, high, log=log)
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    raise ConfigError(f"'{key}' needs a list of values, or a range such as {{ low = 0.01, high = 1.0, log = true }}")


def _trial(
    setting: Mapping[str, Any], result: Result, *, vary: Mapping[str, Any], spaces: "Mapping[str, Any]"
) -> "optuna.trial.FrozenTrial":
    import optuna

    state = optuna.trial.TrialState
    params = {key: vary[key].index(value) if isinstance(vary[key], list) else value for key, value in setting.items()}
    states = {"failed": state.FAIL, "open": state.RUNNING}
    if isinstance(result, str):
        return optuna.trial.create_trial(state=states[result], params=params, distributions=dict(spaces))
    return optuna.trial.create_trial(params=params, distributions=dict(spaces), value=result)


def _value(values: Any, asked: Any) -> Any:
    """Return what a config gets: an item of the list, or a number of four digits in the range."""
    if isinstance(values, list):
        return values[asked]
    return asked if _is_whole(values) else min(max(float(f"{asked:.4g}"), values["low"]), values["high"])


def _is_whole(values: Mapping[str, Any]) -> bool:
    return all(isinstance(values[end], int) for end in ("low", "high"))
