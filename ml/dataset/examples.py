"""What the towers learn from: one example per event that shows interest."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.contract.errors import DataError, RecipeError
from ml.contract.events import EVENT_TYPES, EVENT_WEIGHTS, EventType
from ml.contract.types import Floats, Rows, Seconds
from ml.dataset.split import Window, refuse_lookahead
from ml.features.history import Histories
from ml.features.log import InteractionLog
from ml.features.tower_inputs import CandidateInputs, QueryInputs, TowerEncoder

TargetColumn = Literal["amount", "quantity"]
BLOCK = 65_536
WEIGHT_OF_CODE = np.array([EVENT_WEIGHTS[event_type] for event_type in EVENT_TYPES], np.float32)


@dataclass(frozen=True)
class RetrievalExamples:
    """Positive events of one window, each with what its user had done before it. Arrays `[num_examples, ...]`, in time order.

    Nothing here happened, or became known, at or after `window.end`: the constructor refuses it with LeakageError.
    """

    encoder: TowerEncoder
    window: Window
    candidates: CandidateInputs
    """Of the whole catalogue `[num_items]`; `item_rows` point into it."""
    queries: QueryInputs
    user_rows: Rows
    item_rows: Rows
    at: Seconds
    known_at: Seconds
    weight: Floats
    """Interest shown by the event, always above 0."""
    target: Floats
    """What the rating head learns, original units; NaN where unknown."""
    is_purchase: NDArray[np.bool_]

    def __post_init__(self) -> None:
        refuse_lookahead(self.at, before=self.window.end, what="An example's event")
        refuse_lookahead(self.known_at, before=self.window.end, what="An example's arrival")

    @classmethod
    def of(
        cls,
        log: InteractionLog,
        *,
        encoder: TowerEncoder,
        users: pa.Table,
        items: pa.Table,
        window: Window,
        target_column: str = "amount",
    ) -> Self:
        """The examples of `window`. Their histories reach back to the start of the log, before the window too.

        Args:
            users: columns of `DIM_USERS`, in the order of the log's user rows.
            items: columns of `DIM_ITEMS`, in the order of the log's item rows.

        Raises:
            RecipeError: `target_column` is not a column of the log that a target can be made of.
        """
        known = log.before(window.end)
        positive = known.where(window.holds(known.occurred_at) & (WEIGHT_OF_CODE[known.event_codes] > 0))
        candidates = encoder.candidates(items)
        return cls(
            encoder=encoder,
            window=window,
            candidates=candidates,
            queries=_queries(
                encoder,
                encoder.user_ids(users),
                Histories.of(known, num_users=users.num_rows),
                positive,
                candidates.ids[:, 0],
            ),
            user_rows=positive.user_rows,
            item_rows=positive.item_rows,
            at=positive.occurred_at,
            known_at=positive.known_at,
            weight=WEIGHT_OF_CODE[positive.event_codes],
            target=_target(positive, target_column),
            is_purchase=positive.event_codes == EventType.PURCHASE.code,
        )

    def __len__(self) -> int:
        return len(self.item_rows)

    @property
    def item_shares(self) -> Floats:
        """Share of the examples that is each item's `[num_items]`: how often it meets others as an in-batch negative."""
        counts = np.bincount(self.item_rows, minlength=len(self.candidates.ids))
        return (counts / max(len(self), 1)).astype(np.float32)

    def save(self, folder: Path) -> None:
        self.encoder.save(folder / "encoder")
        window = np.array([self.window.start, self.window.end])
        np.savez(folder / "examples.npz", allow_pickle=False, window=window, **self.arrays())

    @classmethod
    def load(cls, folder: Path) -> Self:
        with np.load(folder / "examples.npz", allow_pickle=False) as stored:
            start, end = (int(instant) for instant in stored["window"])
            return cls(
                encoder=TowerEncoder.load(folder / "encoder"),
                window=Window(start, end),
                candidates=CandidateInputs(*(stored[f"candidates.{part.name}"] for part in fields(CandidateInputs))),
                queries=QueryInputs(*(stored[f"queries.{part.name}"] for part in fields(QueryInputs))),
                **{name: stored[name] for name in _OWN_ARRAYS},
            )

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Every array by its dotted name: what is saved, and what a checkpoint's fingerprint covers."""
        return {
            **{f"candidates.{part.name}": getattr(self.candidates, part.name) for part in fields(CandidateInputs)},
            **{f"queries.{part.name}": getattr(self.queries, part.name) for part in fields(QueryInputs)},
            **{name: getattr(self, name) for name in _OWN_ARRAYS},
        }


_OWN_ARRAYS = ("user_rows", "item_rows", "at", "known_at", "weight", "target", "is_purchase")


def _queries(
    encoder: TowerEncoder, user_ids: Rows, histories: Histories, events: InteractionLog, item_indexes: Rows
) -> QueryInputs:
    """`encoder.queries` in blocks: its temporaries are several times the size of its answer."""
    blocks = [
        encoder.queries(
            user_ids, histories, events.user_rows[block], events.occurred_at[block], item_indexes=item_indexes
        )
        for block in (slice(start, start + BLOCK) for start in range(0, max(len(events), 1), BLOCK))
    ]
    return QueryInputs(
        *(np.concatenate([getattr(block, part.name) for block in blocks]) for part in fields(QueryInputs))
    )


def _target(events: InteractionLog, target_column: str) -> Floats:
    if target_column == "amount":
        return events.amount
    if target_column == "quantity":  # only a purchase has pieces; the log says 1 for the others
        return np.where(events.event_codes == EventType.PURCHASE.code, events.quantity, np.nan).astype(np.float32)
    raise RecipeError(
        f"`target_column` must be 'amount' or 'quantity'. Received: {target_column!r}. "
        "Choose one of them, or set `model_type: retrieval`, which needs no target."
    )


def require_examples(examples: RetrievalExamples) -> None:
    """Pass when there is something to learn from.

    Raises:
        DataError: no event of the window shows interest.
    """
    if not len(examples):
        raise DataError(
            f"The window [{examples.window.start}, {examples.window.end}) must hold at least one event that shows interest. "
            "Received: none. Load more days, or widen `train_days`."
        )
