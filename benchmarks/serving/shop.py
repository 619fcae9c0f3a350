"""A release bundle of a shop of any size, made in minutes: real tables, index and ranker over towers whose tastes are planted.

Training towers would take an hour at a million items and change no latency. Their embeddings are put in place instead, an item's near its
kind's, so that the index finds what it would find of a trained model. All else is made by the code the asset graph runs.
"""

import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.scale_shop import DAYS, OPENED_ON, ScaleShop
from ml.bundle.write import write_bundle
from ml.candidates.fit import fit_sources
from ml.candidates.models import Models
from ml.candidates.settings import SourceSettings
from ml.contract.columns import DIM_ITEMS, DIM_USERS, FEAT_ITEMS, FEAT_USERS
from ml.contract.events import EventType
from ml.contract.manifest import BundleFacts
from ml.contract.types import Floats
from ml.features.history import SECONDS_PER_DAY
from ml.features.log import InteractionLog
from ml.features.pseudonym import DEVELOPMENT_KEY, pseudonym
from ml.features.tower_inputs import TowerEncoder
from ml.features.transforms import TargetTransform
from ml.features.vocabulary import Vocabulary
from ml.index.planner import IndexSettings, build_index
from ml.release.publish import publish
from ml.retrieval.export import export_graphs
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.trained import TrainedRetriever
from ml.runtime.bundle import Bundle
from ml.runtime.candidates import CandidateSettings
from ml.runtime.enrich import FEATURES
from ml.runtime.items import ItemTable
from ml.runtime.mapped import mapped
from ml.runtime.rank import Ranker
from ml.runtime.recommend import ranking_inputs
from ml.runtime.rules import Rules
from ml.runtime.settings import RequestSettings
from ml.runtime.users import UserTable

CUT_AT = datetime.combine(OPENED_ON, datetime.min.time(), UTC) + timedelta(days=DAYS)
EVENTS_PER_ITEM = 5
TREES, RANKED_USERS = 300, 120
EVENT_SHARES = {EventType.VIEW: 0.78, EventType.CART_ADD: 0.12, EventType.PURCHASE: 0.08, EventType.WISHLIST_ADD: 0.02}
VECTORS = "vectors.npy"
AT_ONCE = 50_000
"""Rows that are planted at once."""
SPREAD = 0.5
"""Of an item's embedding around its kind's, in lengths of the latter."""
RULES = Rules(
    max_per_category_in_top_10=4,
    max_per_seller_in_top_10=3,
    exclude_purchased=True,
    repurchase_after_days=14,
    recently_shown_hours=0.5,
    freshness_boost=0.1,
    new_seller_boost=0.1,
)
CANDIDATES = CandidateSettings(two_tower=200, ease=120, item_knn=120, bought_together=80, repurchase=80, popular=80)
"""Some seven hundred different items a request, of which `at_most`, 500, are ranked."""


@dataclass(frozen=True)
class ServedShop:
    """A shop of `num_items` items with the bundle that serves it."""

    num_items: int
    folder: Path

    @property
    def home(self) -> Path:
        """AISLE_HOME of its service."""
        return self.folder / "home"

    @property
    def retriever(self) -> TrainedRetriever:
        """Towers and rating head as Keras knows them: what the plain design is built from."""
        return TrainedRetriever.load(self.folder / "retriever")

    def user_ids(self, count: int, *, seed: int) -> list[str]:
        """The shop's own ids of `count` users, drawn at random."""
        rows = np.random.default_rng(seed).integers(0, self.plan.num_users, count)
        return self.plan.world.user_ids.take(pa.array(rows)).to_pylist()

    def make(self, *, ranker: Ranker | None = None) -> Ranker:
        """Publish the bundle in `home`, unless it is there already.

        Args:
            ranker: of the same shop at another size; trained here when None.
        """
        done = self.folder / "ranker.txt"
        if not done.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            ranker = self._publish(ranker)
            ranker.save(done)
        return Ranker.load(done)

    def _publish(self, ranker: Ranker | None) -> Ranker:
        # In a process of its own: what TensorFlow held, 6 GB of a million items, is given back before the index is built.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            process.submit(_export, self).result()
        graphs = self.folder / "graphs"
        bundle, recall = self._bundle(Models.open(graphs))
        ranker = ranker or trained_ranker(bundle)
        facts = BundleFacts(
            cut_at=CUT_AT,
            data_start_at=CUT_AT - timedelta(days=DAYS),
            created_at=CUT_AT,
            code_version="benchmark",
            num_items=self.num_items,
            num_users=len(bundle.users),
            dimension=bundle.vectors.shape[1],
            index_kind=bundle.index.kind,
            index_recall=recall,
        )
        written = write_bundle(replace(bundle, ranker=ranker), [graphs], self.folder / "candidates", facts=facts)
        publish(written.path, releases=self.home / "releases", now=CUT_AT)
        return ranker

    @property
    def catalogue(self) -> ItemTable:
        return ItemTable.at_cut(self._items, _random_features(FEAT_ITEMS, self._items), cut=CUT_AT, final=True)

    def _bundle(self, models: Models) -> tuple[Bundle, float]:
        items, log, users = self.catalogue, self._log, self._users
        known = UserTable.at_cut(
            log, users, _random_features(FEAT_USERS, users), user_ids=Vocabulary(users["user_id"].combine_chunks())
        )
        cut, settings = int(CUT_AT.timestamp()), RequestSettings(candidates=CANDIDATES, rules=RULES)
        vectors = mapped(self.folder / VECTORS)
        built = build_index(
            vectors,
            models.user_vectors(known, items, at=cut, at_most=500),
            settings=IndexSettings(min_recall=0.9),
            folder=self.folder / "index-parts",
        )
        sources = fit_sources(log, items, cut=cut, settings=SourceSettings())
        bundle = Bundle(
            "benchmark", items, known, models.encoder, models.towers, vectors, built.index, sources, None, settings
        )
        return bundle, built.report.recall

    @cached_property
    def plan(self) -> ScaleShop:
        return ScaleShop(num_interactions=self.num_items * EVENTS_PER_ITEM, num_items=self.num_items)

    @cached_property
    def _items(self) -> pa.Table:
        """One in forty is sold out, one in ten sold in one region only, one in a hundred new."""
        count, rng = self.num_items, np.random.default_rng((7, 1))
        new = np.where(rng.random(count) < 0.01, 0, DAYS)
        born = np.int64(CUT_AT.timestamp()) - (rng.integers(1, 20, count) + new) * SECONDS_PER_DAY
        own = {
            "seller_id": pa.array(
                [f"seller {number}" for number in rng.integers(0, max(count // 50, 2), count).tolist()]
            ),
            "stock": pa.array(np.where(rng.random(count) < 0.025, 0, 10)),
            "region": pa.array(np.where(rng.random(count) < 0.1, "AT", "DE"), mask=rng.random(count) < 0.9),
            "created_at": pa.array(born * 1_000_000),
        }
        return _table(DIM_ITEMS, self.plan.items(), own)

    @cached_property
    def _users(self) -> pa.Table:
        """Under the pseudonyms a development service knows them by."""
        users = self.plan.users()
        ids = [pseudonym(user_id, DEVELOPMENT_KEY) for user_id in users["user_id"].to_pylist()]
        return _table(DIM_USERS, users, {"user_id": pa.array(ids)})

    @cached_property
    def encoder(self) -> TowerEncoder:
        return TowerEncoder.fit(users=self._users, items=self._items, history_length=RetrieverSettings().history_length)

    @cached_property
    def _log(self) -> InteractionLog:
        """Every day like the others; what one user does on one day is one basket."""
        rng, count, world = np.random.default_rng((7, 2)), self.plan.num_interactions, self.plan.world
        users = np.searchsorted(world.activity, rng.random(count)).astype(np.int64)
        days = np.sort(rng.integers(0, DAYS, count))
        at = int(CUT_AT.timestamp()) + (days - DAYS) * SECONDS_PER_DAY + (users * 7919 + days * 104_729) % 82_000
        order = np.argsort(at, kind="stable")
        users, days, at = users[order], days[order], at[order]
        codes = np.array([kind.code for kind in EVENT_SHARES], np.int8)
        kinds = rng.choice(codes, count, p=list(EVENT_SHARES.values()))
        items = world.looked_at(rng, users).astype(np.int32)
        bought = kinds == EventType.PURCHASE.code
        _, baskets = np.unique(users * DAYS + days, return_inverse=True)
        return InteractionLog(
            user_rows=users.astype(np.int32),
            item_rows=items,
            event_codes=kinds,
            occurred_at=at,
            known_at=at,
            quantity=np.ones(count, np.float32),
            amount=np.where(bought, world.prices[items], np.nan).astype(np.float32),
            basket_rows=baskets.astype(np.int32),
        )


def _export(shop: ServedShop) -> None:
    """Towers, their graphs and the items' vectors, in the shop's folder."""
    retriever = _planted(shop.encoder, shop.plan)
    graphs, kept = shop.folder / "graphs", shop.folder / "retriever"
    for folder in (graphs, kept):
        folder.mkdir(parents=True)
    retriever.save(kept)
    export_graphs(retriever, graphs)
    del retriever
    np.save(shop.folder / VECTORS, Models.open(graphs).item_vectors(shop.catalogue))


def _planted(encoder: TowerEncoder, shop: ScaleShop) -> TrainedRetriever:
    """Towers as training begins with them, but for the items' embeddings and factors: each lies near its kind's."""
    from ml.retrieval.multitask import MultitaskModel

    settings = RetrieverSettings().for_catalogue(shop.num_items)  # as training has it
    model = MultitaskModel(encoder, settings)
    rng = np.random.default_rng((shop.seed, 3))

    def planted(size: int) -> Floats:
        """With zeros of an unknown item before all others."""
        kinds = rng.normal(size=(shop.num_kinds, size)).astype(np.float32)
        found = np.zeros((shop.num_items + 1, size), np.float32)
        for start in range(0, shop.num_items, AT_ONCE):
            some = shop.world.kinds[start : start + AT_ONCE]
            around = rng.normal(size=(len(some), size)).astype(np.float32)
            found[start + 1 : start + 1 + len(some)] = kinds[some] + SPREAD * around
        return found

    model.candidate_tower.item_table.embeddings.assign(planted(settings.embedding_dim))
    factors = planted(settings.factor_dim)
    factors /= np.linalg.norm(factors, axis=1).max()
    said = np.ones((len(factors), 1), np.float32)
    said[0] = 0
    model.factors.table.set_weights([np.column_stack([factors, said])])
    target = TargetTransform(low=0.5, high=200, mean=2.7, scale=0.8)
    return TrainedRetriever(encoder, settings, target, model, ())


def trained_ranker(bundle: Bundle) -> Ranker:
    """300 trees of 31 leaves, learned from what a made-up customer would choose of each list: what the sources and their own past speak for."""
    import lightgbm

    rng, at = np.random.default_rng(7), int(CUT_AT.timestamp())
    found = [
        ranking_inputs(bundle, user, user.history, at=at)[1]
        for user in map(bundle.users.of, bundle.users.vocabulary.ids.slice(0, RANKED_USERS).to_pylist())
    ]
    features = np.concatenate(found)
    liked = (
        "share_two_tower",
        "share_item_knn",
        "share_ease",
        "affinity_sub_category",
        "share_repurchase",
        "item_trending",
    )
    taste = sum(features[:, FEATURES.index(name)] for name in liked) + rng.gumbel(0, 0.4, len(features))
    labels = (taste > np.quantile(taste, 0.95)).astype(int)
    examples = lightgbm.Dataset(
        features, labels, group=[len(rows) for rows in found], feature_name=list(FEATURES), free_raw_data=False
    )
    parameters = {
        "objective": "lambdarank",
        "num_leaves": 31,
        "learning_rate": 0.05,
        "feature_fraction": 0.6,
        "num_threads": 1,
        "seed": 7,
        "verbosity": -1,
    }
    return Ranker(lightgbm.train(parameters, examples, num_boost_round=TREES).model_to_string())


def _table(schema: pa.Schema, raw: pa.Table, own: dict[str, pa.Array]) -> pa.Table:
    """The columns of a schema: our own, those of the raw table, nothing where neither has one."""
    columns = {name: raw[name] for name in raw.column_names} | own
    return pa.table(
        {
            field.name: pa.chunked_array([columns[field.name]])
            if isinstance(columns.get(field.name), pa.Array)
            else columns.get(field.name, pa.nulls(len(raw)))
            for field in schema
        }
    ).cast(schema)


def _random_features(schema: pa.Schema, known: pa.Table) -> pa.Table:
    """Numbers as skewed as counts are, for every row of a dimension."""
    rng, key = np.random.default_rng((7, len(schema))), schema.names[1]
    columns = {
        name: pa.array(np.floor(rng.lognormal(0, 1.5, len(known))))
        for name in schema.names
        if name not in ("cut_at", key, "favourite_category")
    }
    return _table(schema, pa.table({key: known[key]}), columns)
