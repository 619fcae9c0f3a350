"""The one compiled function of the request path. `python -m tools.build_kernel` builds it, wherever there is a C compiler."""

import ctypes
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

SOURCE = Path(__file__).with_name("forest.c")


def library() -> Path:
    """Where the build of this very source lies, if it was built: an older build has another name and is never loaded."""
    return SOURCE.with_name(f"forest-{sha256(SOURCE.read_bytes()).hexdigest()[:12]}.so")


@cache
def score_forest() -> Callable[..., None] | None:
    """The function in forest.c; None where it was not built, or for another platform: a folder may be shared, or copied to other machines."""
    return loaded(library())


def loaded(built: Path) -> Callable[..., None] | None:
    """The function of a build; None where there is none that this machine can run."""
    try:
        function = ctypes.CDLL(str(built)).score_forest
    except (OSError, AttributeError):
        return None
    number, array = ctypes.c_int64, ctypes.c_void_p
    function.argtypes = [array, number, number, array, number, array, array, number, array, array, array]
    function.restype = None
    return function
