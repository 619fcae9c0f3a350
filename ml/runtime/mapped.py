"""Arrays that stay in their files: the processes of one machine share their memory, and opening one copies nothing."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def mapped(path: Path) -> NDArray[Any]:
    """What `np.save` wrote, as a plain array: slices of a memmap cost more."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
