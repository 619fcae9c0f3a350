"""What the towers learn from: one example per encounter of a user with an item."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.contract.errors import DataError, RecipeError
from ml.contract.events import EventType
from ml.contract.types import Floats, Rows, Seconds
from ml.dataset.split import Window, refuse_lookahead
from ml.dataset.stream import batches
from ml.features.history import Histories
from ml.features.log import InteractionLog
from ml.features.tower_inputs import CandidateInputs, QueryInputs, TowerEncoder
from ml.runtime.interest import WEIGHT_OF_CODE

TargetColumn = Literal["amount", "quantity"]
BLOCK = 65_536
ENCOUNTER_GAP = 3 * 3600
"""Seconds. View, cart and purchase of one item in one sitting are one encounter, and one example: at its first event, with
what it led to. As three examples, two teach the tower to repeat the newest event of the history: on the demo shop recall@100
of items new to the user was 0.38 so, and is 0.46."""


@dataclass(frozen=True)
class RetrievalExamples:
    """Encounters of one window, each with what its user had done before it. Arrays `[num_examples, ...]`, in time order.

    An encounter is a run of events that show interest of one user in one item, none later than `ENCOUNTER_GAP` after the last.

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
    """The first event; histories end just before it."""
    known_at: Seconds
    """When all its events were known."""
    weight: Floats
    """Of the event that shows most interest, always above 0."""
    target: Floats
    """What the rating head learns, original units; NaN where unknown."""
    is_purchase: NDArray[np.bool_]
    """Whether it led to a purchase."""

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
        encounters = _Encounters.of(positive)
        first = positive.where(encounters.first)
        candidates = encoder.candidates(items)
        histories = Histories.of(known, num_users=users.num_rows)
        return cls(
            encoder=encoder,
            window=window,
            candidates=candidates,
            queries=_queries(encoder, encoder.user_ids(users), histories, first, candidates.ids[:, 0]),
            user_rows=first.user_rows,
            item_rows=first.item_rows,
            at=first.occurred_at,
            known_at=encounters.over(np.maximum, positive.known_at),
            weight=encounters.over(np.maximum, WEIGHT_OF_CODE[positive.event_codes]),
            target=encounters.over(np.fmax, _target(positive, target_column)),
            is_purchase=encounters.over(np.logical_or, positive.event_codes == EventType.PURCHASE.code),
        )

    def __len__(self) -> int:
        return len(self.item_rows)

    @property
    def item_shares(self) -> Floats:
        """Share of the examples that is each item's `[num_items]`: how often it meets others as an in-batch negative."""
        return shares(self.item_counts)

    @property
    def item_counts(self) -> NDArray[np.int64]:
        """Examples of each item `[num_items]`."""
        return np.bincount(self.item_rows, minlength=len(self.candidates.ids))

    @property
    def known_targets(self) -> Floats:
        return self.target[np.isfinite(self.target)]

    @property
    def digest(self) -> str:
        """Changes whenever any value does."""
        hashed = sha256(self.encoder.fitted.vectors_digest.encode())
        arrays = self.arrays()
        # The price alone: what follows it is computed of the vectors, and another machine's may differ in the last bit.
        arrays["candidates.numbers"] = self.candidates.numbers[:, :1]
        for name, array in sorted(arrays.items()):
            hashed.update(f"{name} {array.shape} {array.dtype}".encode())
            hashed.update(np.ascontiguousarray(array).data)
        return hashed.hexdigest()

    def batches(self, *, batch_size: int, seed: int, epoch: int) -> Iterator[Self]:
        """An epoch in an exactly shuffled order: every order of the examples is as likely as any other."""
        for positions in batches(len(self), batch_size=batch_size, seed=seed, epoch=epoch):
            yield self.take(positions)

    def take(self, positions: NDArray[np.integer] | slice) -> Self:
        """The examples at some positions, in that order."""
        queries = QueryInputs(*(getattr(self.queries, part.name)[positions] for part in fields(QueryInputs)))
        return replace(self, queries=queries, **{name: getattr(self, name)[positions] for name in _OWN_ARRAYS})

    def then(self, others: Sequence[Self]) -> Self:
        """These examples followed by others of the same encoder and window."""
        parts = [self, *others]
        queries = QueryInputs(
            *(np.concatenate([getattr(part.queries, one.name) for part in parts]) for one in fields(QueryInputs))
        )
        own: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _OWN_ARRAYS}
        return replace(self, queries=queries, **own)

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
        candidates = {
            f"candidates.{part.name}": getattr(self.candidates, part.name) for part in fields(CandidateInputs)
        }
        return {**candidates, **self.rows()}

    def rows(self) -> dict[str, NDArray[np.generic]]:
        """The arrays that have one row per example."""
        queries = {f"queries.{part.name}": getattr(self.queries, part.name) for part in fields(QueryInputs)}
        return {**queries, **{name: getattr(self, name) for name in _OWN_ARRAYS}}


_OWN_ARRAYS = ("user_rows", "item_rows", "at", "known_at", "weight", "target", "is_purchase")


@dataclass(frozen=True)
class _Encounters:
    """Events grouped into encounters, in the order of their first events."""

    first: NDArray[np.intp]
    """Position of each encounter's first event `[num_encounters]`."""
    order: NDArray[np.intp]
    """Positions of all events, encounter after encounter, those by user and item."""
    starts: NDArray[np.intp]
    """Where in `order` each of them starts."""
    by_time: NDArray[np.intp]
    """Places of the encounters among `starts`, in time order."""

    @classmethod
    def of(cls, events: InteractionLog) -> Self:
        order = np.lexsort((events.occurred_at, events.item_rows, events.user_rows))
        keys = np.stack([events.user_rows, events.item_rows], axis=1)[order]
        gaps = np.diff(events.occurred_at[order])
        begins = np.concatenate([[True], (np.diff(keys, axis=0) != 0).any(axis=1) | (gaps > ENCOUNTER_GAP)])
        starts = np.flatnonzero(begins[: len(order)])
        by_time = np.argsort(order[starts])
        return cls(order[starts][by_time], order, starts, by_time)

    def over(self, combine: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
        """One value per encounter, combined from those of its events."""
        if not len(self.starts):
            return values[:0]
        combined: NDArray[Any] = combine.reduceat(values[self.order], self.starts)
        return combined[self.by_time]


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


class ExampleSource(Protocol):
    """Examples of one window, wherever they lie: what training asks of them."""

    @property
    def encoder(self) -> TowerEncoder: ...
    @property
    def window(self) -> Window: ...
    @property
    def candidates(self) -> CandidateInputs: ...
    @property
    def item_shares(self) -> Floats: ...
    @property
    def known_targets(self) -> Floats:
        """In no order."""
        ...

    @property
    def digest(self) -> str:
        """Of the examples, and of all else that decides the order in which they come."""
        ...

    def __len__(self) -> int: ...

    def batches(self, *, batch_size: int, seed: int, epoch: int) -> Iterator[RetrievalExamples]:
        """One epoch: each example at most once, in an order that depends on (seed, epoch) alone. All batches are equally large."""
        ...


def shares(counts: NDArray[np.int64]) -> Floats:
    """Counts as shares of their sum; zeros when there is nothing to share."""
    return (counts / max(int(counts.sum()), 1)).astype(np.float32)


def require_examples(examples: ExampleSource) -> None:
    """Pass when there is something to learn from.

    Raises:
        DataError: no event of the window shows interest.
    """
    if not len(examples):
        raise DataError(
            f"The window [{examples.window.start}, {examples.window.end}) must hold at least one event that shows interest. "
            "Received: none. Load more days, or widen `train_days`."
        )
