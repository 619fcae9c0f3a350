"""Whether a system looked at what it is judged by."""

from collections.abc import Callable

import numpy as np

from ml.contract.errors import LeakageError
from ml.contract.types import Rows
from ml.features.log import InteractionLog


def refuse_foresight(lists_of: Callable[[InteractionLog], Rows], log: InteractionLog, *, cut: int) -> None:
    """Pass when the lists of the instant `cut` stay as they are once all that was not known then is taken out of the log.

    It is no guess from how good the lists are: who does not look cannot notice that something is gone.

    Args:
        lists_of: the lists `[num_users, depth]` a system gives when it is handed a log; the same for the same log.

    Raises:
        LeakageError: some list changed.
    """
    with_future, without = lists_of(log), lists_of(log.before(cut))
    changed = (with_future != without).any(axis=1)
    if changed.any():
        raise LeakageError(
            f"Lists of {cut} must not depend on what was not known before it. Received: {int(changed.sum())} of {len(changed)} "
            f"lists that change when the future is taken away, the first that of position {int(np.argmax(changed))}. "
            "Cut the log with `InteractionLog.before(cut)` before anything is learned or counted."
        )
