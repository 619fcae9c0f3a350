"""The compiled part of the request path: the C in the folder `native`, built by `python -m tools.build_kernel` wherever there is a C compiler.

Each function has a twin, in NumPy or LightGBM, that gives the same numbers; the twin answers where nothing was built.
"""

import ctypes
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ml.contract.errors import ContractError

NATIVE = Path(__file__).with_name("native")
A, N, D = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
"""An array's address, a whole number, and a double."""

Function = Callable[..., Any]


@dataclass(frozen=True)
class Kernel:
    """The functions of one build. Their comments in C say what they take; they look at no place twice, so callers answer for every index."""

    score_forest: Function
    join_sources: Function
    sum_by_row: Function
    read_history: Function
    past_features: Function
    shares_of_groups: Function
    shares_of_best: Function
    reciprocal_ranks: Function
    keep_best: Function
    source_features: Function
    side_by_side: Function
    falling_order: Function
    fading_powers: Function
    first_within_limits: Function
    dense_layers: Function
    score_by_floats: Function
    score_by_halves: Function
    sum_of_halves: Function
    score_by_users: Function
    query_vector: Function

    @classmethod
    def of(cls, built: Path) -> Self:
        """
        Raises:
            OSError: there is no such build, or it is of another platform.
            AttributeError: it lacks a function.
        """
        # Scoring takes long enough to let other threads run meanwhile; all else is over before one could begin.
        long, short = ctypes.CDLL(str(built)), ctypes.PyDLL(str(built))
        return cls(
            score_forest=_typed(long.score_forest, A, N, N, A, N, A, A, N, A, A, A),
            join_sources=_typed(short.join_sources, A, N, A, N, A, N, A, A, A),
            sum_by_row=_typed(short.sum_by_row, A, A, N, A, A),
            read_history=_typed(short.read_history, A, A, A, N, A, A, N, A, A, A, A, A, A),
            past_features=_typed(short.past_features, A, A, N, A, N, A, N, A),
            shares_of_groups=_typed(short.shares_of_groups, A, A, N, A, N, A, N, A, N),
            shares_of_best=_typed(short.shares_of_best, A, N, N, A),
            reciprocal_ranks=_typed(short.reciprocal_ranks, A, N, N, N, A, A),
            keep_best=_typed(short.keep_best, A, N, N, N, A, N, A, A, A, A, A),
            source_features=_typed(short.source_features, A, A, A, A, N, N, A, N),
            side_by_side=_typed(short.side_by_side, A, N, N, N, A),
            falling_order=_typed(short.falling_order, A, N, N, A),
            fading_powers=_typed(short.fading_powers, A, A, N, N, D, A),
            first_within_limits=_typed(short.first_within_limits, A, N, A, N, N, A),
            dense_layers=_typed(short.dense_layers, A, N, A, N, A, N, A, N),
            score_by_floats=_typed(short.score_by_floats, A, A, N, N, A, A, N),
            score_by_halves=_typed(short.score_by_halves, A, A, N, N, A, A, N),
            sum_of_halves=_typed(short.sum_of_halves, A, A, A, N, N, A),
            score_by_users=_typed(short.score_by_users, A, A, A, N, A, A, N, A, N, A, N),
            query_vector=_typed(short.query_vector, A, A, A),
        )


def library() -> Path:
    """Where the build of these very sources lies, if they were built: an older build has another name and is never loaded."""
    sources = sorted([*NATIVE.glob("*.c"), *NATIVE.glob("*.h")])
    return NATIVE / f"kernel-{sha256(b''.join(path.read_bytes() for path in sources)).hexdigest()[:12]}.so"


@cache
def compiled() -> Kernel | None:
    """None where nothing was built, or for another platform: a folder may be shared, or copied to other machines."""
    return loaded(library())


def loaded(built: Path) -> Kernel | None:
    """The functions of a build; None where there is none that this machine can run."""
    try:
        return Kernel.of(built)
    except (OSError, AttributeError):
        return None


_DTYPES: dict[Any, np.dtype[Any]] = {
    kind: np.dtype(kind) for kind in (np.float64, np.float32, np.float16, np.int64, np.int32, np.int8, np.bool_)
}


def address(values: NDArray[Any], dtype: DTypeLike) -> int:
    """Of the first value of an array.

    Raises:
        ContractError: C would read it as something else than it is.
    """
    flags = values.flags
    # Identity first: to compare a dtype with a type makes one of that type each time, and a list asks a hundred times.
    if (values.dtype is not _DTYPES.get(dtype) and values.dtype != dtype) or not flags.c_contiguous:
        raise ContractError(
            f"The kernel needs a contiguous array of {np.dtype(dtype)}. Received: {values.dtype} with strides {values.strides}. "
            "Make it so with np.ascontiguousarray."
        )
    if values.size and flags.writeable:  # a quarter of the time of the other way, and a list needs sixty of them
        return ctypes.addressof(ctypes.c_char.from_buffer(values))  # type: ignore[arg-type]
    return int(values.ctypes.data)


def structs(rows: Iterable[Iterable[int]]) -> "array[int]":
    """Structs of C whose members are all addresses and 64-bit numbers, one after the other."""
    return array("q", chain.from_iterable(rows))


def require_memory(found: int) -> int:
    """What a function returned, unless it says that it got no memory."""
    if found < 0:
        raise MemoryError
    return found


def _typed(function: Any, *arguments: Any) -> Function:
    function.argtypes, function.restype = arguments, N
    typed: Function = function
    return typed
