"""Stations 4 to 8: examples cut by time, towers, vectors, index, the other sources, the ranker."""

from datetime import UTC

import dagster as dg

from ml.candidates.assemble import catalogue_at, log_at, users_at
from ml.candidates.fit import fit_sources
from ml.candidates.item_vectors import ItemVectors
from ml.candidates.models import StoredRetriever
from ml.contract.columns import DIM_ITEMS, DIM_USERS, FEAT_ITEMS, FEAT_USERS
from ml.contract.files import own_folder
from ml.dataset.event_shards import EventShards
from ml.dataset.split import TimeSplit
from ml.dataset.training_data import TrainingData
from ml.features.embeddings import with_embeddings
from ml.index.planner import BuiltIndex, build_index
from ml.ranking.fit import fit_ranker
from ml.ranking.train import TrainedRanker
from ml.retrieval.stages import RetrieverStages, train_stages
from ml.runtime.candidates import SourceTables
from orchestration.automation import FOLLOW_GOOD_INPUTS
from orchestration.encoded_events import encoded_events, require_byte_order
from orchestration.resources.exports import ExportArea
from orchestration.resources.recipe import RecipeResource
from orchestration.resources.warehouse import Warehouse
from orchestration.settings import PlatformSettings

GROUP, OWNERS = "training", ["team:ml"]
TABLES = PlatformSettings().warehouse_kind
MARTS = [
    dg.AssetKey(["marts", name])
    for name in ("fct_interactions", "dim_items", "dim_item_embeddings", "dim_users", "feat_items", "feat_users")
]
EMBEDDINGS_AT_ONCE = 16_384


# In the pool: its queries must see one state of the marts, row numbers of one being positions in another.
@dg.asset(deps=MARTS, kinds={TABLES, "parquet"}, group_name=GROUP, owners=OWNERS, pool="warehouse")
def training_examples(warehouse: Warehouse, exports: ExportArea) -> dg.Output[TrainingData]:
    """The marts as they were at T, frozen: what every later station of this run sees, and all it sees.

    One row per accepted event that was known before T, beside items, users and their features at each weekly cut. Holds
    pseudonyms, never a shop's own user ids.
    """
    data = read_training_data(warehouse, exports)
    return dg.Output(data, metadata=data.summary(), data_version=dg.DataVersion(data.digest))


@dg.asset(kinds={"tensorflow"}, group_name=GROUP, owners=OWNERS)
def retriever(
    context: dg.AssetExecutionContext, training_examples: TrainingData, recipe: RecipeResource, exports: ExportArea
) -> dg.Output[RetrieverStages]:
    """Two towers and a rating head, in two stages: a base that never saw the ranker's weeks, and the same carried on to T-14d.

    Never sees an event at or after the end of its window. A killed run goes on after its last whole epoch. Under TF_CONFIG
    this process is the chief of several that share the work.
    """
    chosen = recipe.read()
    with own_folder(exports.scratch / "examples") as scratch:
        stages = train_stages(
            training_examples,
            TimeSplit.at(training_examples.cut_at, chosen.split, since=training_examples.start_at),
            chosen.retriever,
            checkpoints=recipe.checkpoints,
            checkpoint_store=recipe.shared_checkpoints,
            cluster=recipe.cluster,
            scratch=scratch,
            on_epoch=lambda epoch: context.log.info("epoch %d: loss %.4f", epoch.epoch, epoch.loss),
        )
    return dg.Output(stages, metadata=stages.summary())


@dg.asset(kinds={"onnx"}, group_name=GROUP, owners=OWNERS, automation_condition=FOLLOW_GOOD_INPUTS)
def item_vectors(
    training_examples: TrainingData, retriever: StoredRetriever, exports: ExportArea
) -> dg.Output[ItemVectors]:
    """One vector per item of the whole active catalogue at T, new items too. Row i is the i-th item by id.

    Made shard by shard: a killed run goes on with the missing ones.
    """
    items = catalogue_at(training_examples, training_examples.cut_at)
    vectors = ItemVectors(items, retriever.item_vectors(items, folder=exports.scratch / "item_vectors"))
    return dg.Output(vectors, metadata=vectors.summary())


@dg.asset(kinds={"scann"}, group_name=GROUP, owners=OWNERS, automation_condition=FOLLOW_GOOD_INPUTS)
def ann_index(
    training_examples: TrainingData,
    retriever: StoredRetriever,
    item_vectors: ItemVectors,
    recipe: RecipeResource,
    exports: ExportArea,
) -> dg.Output[BuiltIndex]:
    """Nearest items by inner product: exact for a small catalogue, else ScaNN with the cheapest setting that finds
    enough of what exact search finds for the query vectors of real users."""
    cut_at, chosen = training_examples.cut_at, recipe.read().index
    users = users_at(training_examples, cut_at, log_at(training_examples, cut_at, item_vectors.items))
    queries = retriever.final.user_vectors(
        users, item_vectors.items, at=int(cut_at.timestamp()), at_most=chosen.max_queries
    )
    built = build_index(item_vectors.vectors, queries, settings=chosen, folder=exports.scratch / "index_parts")
    return dg.Output(built, metadata=built.summary())


@dg.asset(kinds={"numpy"}, group_name=GROUP, owners=OWNERS)
def candidate_sources(
    training_examples: TrainingData, item_vectors: ItemVectors, recipe: RecipeResource
) -> dg.Output[SourceTables]:
    """The sources that are tables, as of T: EASE and item-kNN weights, bought together, popular and trending items."""
    cut_at = training_examples.cut_at
    tables = fit_sources(
        log_at(training_examples, cut_at, item_vectors.items),
        item_vectors.items,
        cut=int(cut_at.timestamp()),
        settings=recipe.read().sources,
    )
    return dg.Output(tables, metadata=tables.summary())


@dg.asset(kinds={"lightgbm"}, group_name=GROUP, owners=OWNERS)
def ranker(
    training_examples: TrainingData, retriever: StoredRetriever, recipe: RecipeResource
) -> dg.Output[TrainedRanker]:
    """Lambdarank over the scores of all sources and the features of user, item and both, learned on weeks that are later
    than anything the base towers saw and earlier than the test week."""
    chosen = recipe.read()
    trained = fit_ranker(
        training_examples,
        TimeSplit.at(training_examples.cut_at, chosen.split, since=training_examples.start_at),
        base=retriever.base,
        settings=chosen.ranker,
        request=chosen.request,
        sources=chosen.sources,
    )
    return dg.Output(trained, metadata=trained.summary())


def read_training_data(warehouse: Warehouse, exports: ExportArea) -> TrainingData:
    """The five marts, without what was not known before T: the newest cut that features were computed at."""
    [newest] = warehouse.query("select max(cut_at) as cut_at from marts.feat_items").to_pylist()
    cut_at = newest["cut_at"].replace(tzinfo=UTC)
    exported = exports.fetch(warehouse, encoded_events(cut_at), name="events")
    items = warehouse.query("select * from marts.dim_items order by item_id").cast(DIM_ITEMS)
    embeddings = warehouse.batches(
        "select item_id, name, vector from marts.dim_item_embeddings order by name, item_id", rows=EMBEDDINGS_AT_ONCE
    )
    users = warehouse.query("select * from marts.dim_users order by user_id").cast(DIM_USERS)
    require_byte_order(items["item_id"], table="marts.dim_items")
    require_byte_order(users["user_id"], table="marts.dim_users")
    return TrainingData(
        events=EventShards.write(exported, exports.scratch / "event_shards"),
        items=with_embeddings(items, embeddings),
        users=users,
        item_features=warehouse.query("select * from marts.feat_items order by cut_at, item_id").cast(FEAT_ITEMS),
        user_features=warehouse.query("select * from marts.feat_users order by cut_at, user_id").cast(FEAT_USERS),
        cut_at=cut_at,
    )
