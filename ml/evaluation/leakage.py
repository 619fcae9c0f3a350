"""Whether a system looked at what it is judged by."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ml.contract.errors import LeakageError
from ml.contract.types import Rows
from ml.features.log import InteractionLog

ListsOf = Callable[[InteractionLog], Rows]
"""Lists `[num_users, depth]` a system gives when it is handed a log; the same for the same log."""


def foreseen(lists_of: ListsOf, log: InteractionLog, *, cut: int) -> NDArray[np.bool_]:
    """Which lists of the instant `cut` change once all that was not known then is taken out of the log `[num_users]`.

    It is no guess from how good the lists are: who does not look cannot notice that something is gone.
    """
    return np.asarray((lists_of(log) != lists_of(log.before(cut))).any(axis=1))


def refuse_foresight(lists_of: ListsOf, log: InteractionLog, *, cut: int) -> None:
    """Pass when no list was `foreseen`.

    Raises:
        LeakageError: some list changed.
    """
    changed = foreseen(lists_of, log, cut=cut)
    if changed.any():
        raise LeakageError(
            f"Lists of {cut} must not depend on what was not known before it. Received: {int(changed.sum())} of {len(changed)} "
            f"lists that change when the future is taken away, the first that of position {int(np.argmax(changed))}. "
            "Cut the log with `InteractionLog.before(cut)` before anything is learned or counted."
        )
