"""Lists about items, with and without the visitor's taste: what else lay in the baskets of a held-out week.

    python -m benchmarks.related_lists <home> [--own 0 1 2 4] [--weeks-before 0]

Every basket of at least two items names one of them (a cart: half of them, at most three) and asks the real `recommend()` for the rest,
with the default settings, a run's towers, the tables of the morning the week began and what the bundle knows of the customer. `own` is the weight
`request.taste.own`. `--weeks-before 1` takes the week before the test week: what a weight may be chosen on.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ml.candidates.assemble import bundle_at, in_catalogue
from ml.candidates.models import StoredRetriever
from ml.candidates.settings import SourceSettings
from ml.contract.events import EventType
from ml.contract.types import Rows
from ml.dataset.split import WEEK, TimeSplit
from ml.dataset.training_data import TrainingData
from ml.evaluation.intervals import mean_interval, paired_interval
from ml.evaluation.ranking_metrics import Hits, PerUser, Relevant, ndcg_at_k
from ml.runtime.bundle import Bundle
from ml.runtime.recommend import recommend
from ml.runtime.requests import BoughtTogetherRequest, CartRequest, ProductRequest, Request
from ml.runtime.settings import RequestSettings
from ml.runtime.taste import TasteSettings

TOP = 10
SURFACES = ("product", "bought_together", "cart")


@dataclass(frozen=True)
class Basket:
    """What a customer with a history bought at once."""

    user_id: str
    named: tuple[str, ...]
    rest: Rows
    new: Rows
    """Of the rest, what the customer had never bought."""

    def request(self, surface: str) -> Request:
        match surface:
            case "product":
                return ProductRequest(item_id=self.named[0], user_id=self.user_id, limit=TOP)
            case "bought_together":
                return BoughtTogetherRequest(item_id=self.named[0], user_id=self.user_id, limit=TOP)
            case _:
                return CartRequest(item_ids=self.named, user_id=self.user_id, limit=TOP)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--own", type=float, nargs="+", default=[0.0, TasteSettings().own])
    parser.add_argument("--weeks-before", type=int, default=0)
    parser.add_argument("--baskets", type=int, default=400)
    arguments = parser.parse_args()
    data = TrainingData.load(arguments.home / "artifacts" / "ml" / "training_examples")
    bundle = twin_of(arguments.home, data, weeks_before=arguments.weeks_before)
    print(f"Baskets of the week from {bundle.version[-10:]}, {len(bundle.items)} items")
    for surface in SURFACES:
        some = list(baskets(bundle, data, cart=surface == "cart"))[: arguments.baskets]
        report(surface, some, [with_taste(bundle, own) for own in arguments.own], arguments.own)


def twin_of(home: Path, data: TrainingData, *, weeks_before: int) -> Bundle:
    """The towers as they were before the ranker's weeks, with the tables of the morning a week began. Lists about items need no ranker."""
    base = StoredRetriever(home / "artifacts" / "ml" / "retriever").base
    begins = datetime.fromtimestamp(TimeSplit.at(data.cut_at).test.start - weeks_before * WEEK, UTC)
    return bundle_at(data, begins, models=base, settings=RequestSettings(), source_settings=SourceSettings())


def with_taste(bundle: Bundle, own: float) -> Bundle:
    taste = bundle.settings.taste.model_copy(update={"own": own})
    return replace(bundle, settings=bundle.settings.model_copy(update={"taste": taste}))


def baskets(bundle: Bundle, data: TrainingData, *, cart: bool) -> Iterator[Basket]:
    """The week's baskets in a drawn order."""
    rng = np.random.default_rng(7)
    start = starts_at(bundle)
    log = in_catalogue(data, bundle.items).between(start, start + WEEK).of_types([EventType.PURCHASE.code])
    log = log.where(log.basket_rows >= 0)
    for number in rng.permutation(np.unique(log.basket_rows)):
        mine = log.basket_rows == number
        items = rng.permutation(np.unique(log.item_rows[mine]))
        user_id = data.user_ids.id(int(log.user_rows[mine][0]))
        history = bundle.users.of(user_id).history
        if len(items) < 2 or not len(history):
            continue
        size = min(3, max(1, len(items) // 2)) if cart else 1
        bought = history.item_rows[history.event_codes == EventType.PURCHASE.code]
        rest = items[size:].astype(np.int32)
        named = tuple(bundle.items.vocabulary.id(int(row)) for row in items[:size])
        yield Basket(user_id, named, rest, np.setdiff1d(rest, bought).astype(np.int32))


def report(surface: str, some: list[Basket], bundles: list[Bundle], weights: list[float]) -> None:
    plain: PerUser | None = None
    owners = np.unique([basket.user_id for basket in some], return_inverse=True)[1].astype(np.int32)
    for bundle, own in zip(bundles, weights, strict=True):
        lists = np.stack([listed(bundle, basket, surface) for basket in some])
        everything = ndcg(lists, [basket.rest for basket in some])
        new = ndcg(lists, [basket.new for basket in some])
        plain = everything if plain is None else plain
        mean, pair = mean_interval(everything, owners=owners), paired_interval(everything, plain, owners=owners)
        ratio = f"{pair.ratio.mean:.3f} [{pair.ratio.low:.3f}, {pair.ratio.high:.3f}]" if pair.ratio.mean else "-"
        print(
            f"{surface:<16} own {own:<4g} {len(some)} baskets  NDCG@{TOP} {mean.mean:.4f} [{mean.low:.4f}, {mean.high:.4f}]  "
            f"of the first row {ratio}  new to the customer {np.nanmean(new):.4f}"
        )


def listed(bundle: Bundle, basket: Basket, surface: str) -> Rows:
    answer = recommend(bundle, basket.request(surface), now=datetime.fromtimestamp(starts_at(bundle), UTC))
    rows = [item.item_row for item in answer.items]
    return np.array(rows + [-1] * (TOP - len(rows)), np.int32)


def starts_at(bundle: Bundle) -> int:
    """The instant of a twin's tables."""
    return int(datetime.fromisoformat(bundle.version[-10:]).replace(tzinfo=UTC).timestamp())


def ndcg(lists: Rows, wanted: list[Rows]) -> PerUser:
    return ndcg_at_k(Hits.of(lists, Relevant.of_lists([rows.tolist() for rows in wanted])), k=TOP)


if __name__ == "__main__":
    main()
