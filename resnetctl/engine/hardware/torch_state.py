"""torch's settings of the whole process: a function of Python leaves them as its caller has them."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

Function = TypeVar("Function", bound=Callable[..., Any])


def leaving_torch(function: Function) -> Function:
    """Return the function; torch's number of threads and its random numbers on the CPU are as before the call."""

    @functools.wraps(function)  # no `contextmanager`: its frames hide the caller's line from warnings
    def call(*args: Any, **kwargs: Any) -> Any:
        threads = torch.get_num_threads()
        try:
            with torch.random.fork_rng(devices=[]):
                return function(*args, **kwargs)
        finally:
            torch.set_num_threads(threads)

    return cast(Function, call)
