"""Training: it learns the shop, it is a function of its arguments, and a killed run goes on."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.contract.errors import ContractError, DataError, RecipeError
from ml.dataset.split import Window
from ml.features.history import History
from ml.features.tower_inputs import PRICE_BUCKETS, QueryInputs, TowerEncoder
from ml.retrieval.trained import EpochReport, TrainedRetriever, named_weights
from ml.storage import store_at
from tests import world
from tests.ml.retrieval import shop

pytestmark = pytest.mark.tf
BUCKETS = PRICE_BUCKETS + 1
QUICK = shop.SETTINGS.model_copy(update={"epochs": 2})


def train(examples, settings=QUICK, **options) -> TrainedRetriever:
    from ml.retrieval.train import train_retriever

    return train_retriever(examples, settings, **options)


def same_weights(one: TrainedRetriever, other: TrainedRetriever) -> bool:
    """To the last bit."""
    mine, theirs = named_weights(one.model), named_weights(other.model)
    return mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in mine)


def stranger(encoder: TowerEncoder, data) -> QueryInputs:
    """Somebody who has done nothing yet."""
    indexes = encoder.item_indexes(data.items_by_row["item_id"])
    return encoder.query(np.zeros(3, np.int32), History.empty(), item_indexes=indexes, at=shop.CUT)


def learned_part(vectors: np.ndarray) -> np.ndarray:
    """What is learned, without the factors beside it, of length 1."""
    learned = vectors[:, : shop.SETTINGS.embedding_dim]
    return learned / np.linalg.norm(learned, axis=1, keepdims=True)


def categories(item_rows: np.ndarray) -> list[int]:
    return [world.category_of(int(row)) for row in item_rows]


@pytest.fixture(scope="module")
def examples(data):
    return shop.examples(data)


@pytest.fixture(scope="module")
def uninterrupted(examples) -> TrainedRetriever:
    return train(examples)


def test_retrieval_beats_popularity_by_far(trained, data):
    scores = shop.query_vectors(trained, data) @ trained.item_vectors(data.items_by_row).T

    assert shop.recall_at(5, scores, data) > 2 * shop.recall_at(5, shop.popularity_scores(data), data)


def test_losses_fall_and_are_reported_by_part(trained):
    first, last = trained.epochs[0], trained.epochs[-1]

    assert [epoch.epoch for epoch in trained.epochs] == list(range(shop.SETTINGS.epochs))
    assert last.retrieval_loss < first.retrieval_loss
    assert last.rating_loss < first.rating_loss
    assert last.conversion_loss < first.conversion_loss
    assert {part.part for part in last.weights} == {"query_tower", "candidate_tower", "rating_head"}
    assert all(part.std > 0 for part in last.weights)


def test_the_head_predicts_money_in_the_shops_own_units(trained, data):
    queries, items = shop.query_vectors(trained, data), trained.item_vectors(data.items_by_row)
    own = [
        next(i for i in range(world.NUM_ITEMS) if world.category_of(i) == world.taste_of(u))
        for u in range(len(queries))
    ]
    own_dear = [row + 9 * world.NUM_CATEGORIES for row in own]

    cheap, dear = trained.predict(queries, items[own]).value, trained.predict(queries, items[own_dear]).value

    assert cheap.mean() == pytest.approx(np.mean(own) + 10, rel=0.5)
    assert dear.mean() > cheap.mean() + 10
    assert (trained.predict(queries, items[own]).conversion >= 0).all()


@pytest.mark.parametrize("rating_loss", ["bce", "pairwise", "listwise"])
def test_every_rating_loss_knows_dear_from_cheap_in_the_shops_own_units(
    examples, data, catalogue, tmp_path, rating_loss
):
    from ml.retrieval.export import export_retriever
    from ml.retrieval.parity import largest_difference

    trained = train(examples, shop.SETTINGS.model_copy(update={"rating_loss": rating_loss, "rating_weight": 1.0}))
    queries, items = shop.query_vectors(trained, data), trained.item_vectors(data.items_by_row)
    cheap, dear = (trained.predict(queries, np.repeat(items[[row]], len(queries), axis=0)).value for row in (1, 37))

    assert dear.mean() > cheap.mean() + 5
    assert trained.target.low * 0.8 < cheap.mean() < dear.mean() < trained.target.high * 1.2
    export_retriever(trained, tmp_path, catalogue=catalogue)
    assert largest_difference(tmp_path) < 1e-5


def test_a_stranger_is_served_by_what_they_just_did(trained, data):
    encoder = trained.encoder
    history = History(
        np.array([2, 6], np.int32), np.zeros(2, np.int8), np.full(2, shop.CUT - 60, np.int64), np.ones(2, np.float32)
    )
    item_indexes = encoder.item_indexes(data.items_by_row["item_id"])
    stranger = encoder.query(np.zeros(3, np.int32), history, item_indexes=item_indexes, at=shop.CUT)

    scores = trained.query_vectors(stranger)[0] @ trained.item_vectors(data.items_by_row).T

    assert categories(np.argsort(-scores)[:5]).count(world.category_of(2)) >= 4


def test_the_order_of_history_matters_newest_first(trained, data):
    indexes = trained.encoder.item_indexes(data.items_by_row["item_id"])
    inputs = trained.encoder.query(np.zeros(3, np.int32), History.empty(), item_indexes=indexes, at=shop.CUT)
    mixed = replace(
        inputs,
        history_items=indexes[[[0, 0, 1, 1, 1]]],
        history_events=np.ones((1, 5), np.int32),
        history_ages=np.float32([[0, 0.5, 1, 2, 3]]),
    )
    turned = replace(mixed, history_items=mixed.history_items[:, ::-1])

    assert not np.allclose(trained.query_vectors(mixed), trained.query_vectors(turned), atol=1e-4)


def test_padding_says_nothing(trained, data):
    encoder = trained.encoder
    indexes = encoder.item_indexes(data.items_by_row["item_id"])
    inputs = encoder.query(np.zeros(3, np.int32), History.empty(), item_indexes=indexes, at=shop.CUT)
    noisy = replace(inputs, history_items=np.full((1, 5), 3, np.int32), history_ages=np.full((1, 5), 9, np.float32))

    assert np.array_equal(trained.query_vectors(inputs), trained.query_vectors(noisy))


def test_a_new_item_lies_among_its_category(trained, data):
    new = data.items_by_row.slice(0, 1).set_column(0, "item_id", [["brand-new"]])
    vectors = trained.item_vectors(data.items_by_row)

    nearest = np.argsort(-(vectors @ trained.item_vectors(new)[0]))[:5]

    assert categories(nearest).count(world.category_of(0)) >= 4


def test_vectors_have_length_one(trained, data):
    new = data.items_by_row.slice(0, 1).set_column(0, "item_id", [["brand-new"]])
    nobody = trained.query_vectors(stranger(trained.encoder, data))
    for vectors in (shop.query_vectors(trained, data), nobody, *map(trained.item_vectors, (data.items_by_row, new))):
        assert vectors.shape[1] == shop.SETTINGS.embedding_dim + shop.SETTINGS.factor_dim
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(examples, uninterrupted):
    assert same_weights(uninterrupted, train(examples))
    assert not same_weights(uninterrupted, train(examples, QUICK.model_copy(update={"seed": 1})))


DIES_IN_THE_SECOND_EPOCH = """
import os, signal, sys
from pathlib import Path
import ml.dataset.examples as dataset
import ml.retrieval.train as training
from tests import world
from tests.ml.retrieval import shop
from tests.ml.retrieval.test_train import QUICK

whole = dataset.batches
def batches(num_examples, *, batch_size, seed, epoch):
    for number, batch in enumerate(whole(num_examples, batch_size=batch_size, seed=seed, epoch=epoch)):
        if epoch == 1 and number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch
dataset.batches = batches
training.train_retriever(shop.examples(world.training_data()), QUICK, checkpoint_folder=Path(sys.argv[1]))
"""


def test_a_run_killed_inside_an_epoch_ends_as_the_uninterrupted_one(examples, uninterrupted, tmp_path, repository):
    killed = subprocess.run(
        [sys.executable, "-c", DIES_IN_THE_SECOND_EPOCH, str(tmp_path)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    epochs_run: list[EpochReport] = []

    resumed = train(examples, checkpoint_folder=tmp_path, on_epoch=epochs_run.append)

    assert [report.epoch for report in epochs_run] == [1]
    assert same_weights(resumed, uninterrupted)
    assert resumed.epochs == uninterrupted.epochs


def test_a_run_that_died_on_one_machine_ends_on_another(examples, uninterrupted, tmp_path):
    store = store_at(tmp_path / "store")

    def dies(_epoch: EpochReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(examples, checkpoint_folder=tmp_path / "one", checkpoint_store=store, on_epoch=dies)
    epochs_run: list[EpochReport] = []

    resumed = train(
        examples, checkpoint_folder=tmp_path / "another", checkpoint_store=store, on_epoch=epochs_run.append
    )

    assert [report.epoch for report in epochs_run] == [1]
    assert same_weights(resumed, uninterrupted)


def test_a_finished_run_called_again_trains_nothing(examples, tmp_path):
    first = train(examples, checkpoint_folder=tmp_path)
    epochs_run: list[EpochReport] = []

    again = train(examples, checkpoint_folder=tmp_path, on_epoch=epochs_run.append)

    assert not epochs_run
    assert same_weights(first, again)


@pytest.mark.parametrize("changed", ["recipe", "examples"])
def test_a_checkpoint_of_another_run_is_left_alone(examples, data, tmp_path, changed):
    train(examples, QUICK.model_copy(update={"epochs": 1}), checkpoint_folder=tmp_path)
    epochs_run: list[EpochReport] = []
    settings = QUICK if changed == "recipe" else QUICK.model_copy(update={"epochs": 1})
    window = shop.TRAIN if changed == "recipe" else Window(shop.TRAIN.start + 86_400, shop.TRAIN.end)

    train(shop.examples(data, settings, window), settings, checkpoint_folder=tmp_path, on_epoch=epochs_run.append)

    assert len(epochs_run) == settings.epochs


def test_a_kill_while_writing_leaves_the_former_checkpoint(examples, tmp_path, monkeypatch):
    first = train(examples, QUICK, checkpoint_folder=tmp_path)

    def dies(file, **_arrays):
        Path(file).write_bytes(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", dies)
    with pytest.raises(KeyboardInterrupt):
        train(examples, QUICK.model_copy(update={"seed": 5}), checkpoint_folder=tmp_path)

    assert same_weights(first, train(examples, QUICK, checkpoint_folder=tmp_path))


def test_training_goes_on_from_another_retriever(data):
    middle = shop.TRAIN.end - 28 * 86_400
    base = train(shop.examples(data, window=Window(shop.TRAIN.start, middle)), shop.SETTINGS)
    later = shop.examples(data)

    gone_on = train(later, shop.SETTINGS, warm_start=base)
    anew = train(later, shop.SETTINGS.model_copy(update={"epochs": 2}))

    assert len(gone_on.epochs) == shop.SETTINGS.carry_on_epochs
    assert gone_on.epochs[0].retrieval_loss < anew.epochs[0].retrieval_loss
    assert gone_on.target == base.target


def test_what_was_learned_is_carried_over_by_id_not_by_place(data):
    from ml.retrieval.carry_over import carry_over
    from ml.retrieval.multitask import MultitaskModel

    fewer = world.training_data(leave_out_users=5, leave_out_items=3)
    base = train(shop.examples(fewer))
    wider = shop.examples(data)
    model = MultitaskModel(wider.encoder, QUICK)

    carry_over(base, model, wider.encoder)

    carried = TrainedRetriever(wider.encoder, QUICK, base.target, model, ())
    old, new = (encoder.candidates(fewer.items_by_row) for encoder in (base.encoder, wider.encoder))
    assert (old.ids[:, 0] != new.ids[:, 0]).all()
    # Each encoder scales prices anew. Compared are items whose price falls into the same bucket, at the same scaled price.
    alike = old.ids[:, 4] % BUCKETS == new.ids[:, 4] % BUCKETS
    assert alike.any()
    found, expected = (
        learned_part(retriever.candidate_vectors(of))[alike]
        for retriever, of in ((carried, replace(new, numbers=old.numbers)), (base, old))
    )
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        {"embedding_dim": 8},
        {"factor_dim": 4},
        {"history_encoder": "self_attention"},
        {"weighted_history": True},
        {"learn_temperature": True},
    ],
)
def test_another_shape_cannot_be_carried_on(examples, trained, other):
    with pytest.raises(RecipeError, match=f"other values of {next(iter(other))}"):
        train(examples, QUICK.model_copy(update=other), warm_start=trained)


@pytest.mark.parametrize("model_type", ["retrieval", "ranking"])
def test_each_model_type_learns_its_own_losses(examples, model_type):
    report = train(examples, QUICK.model_copy(update={"model_type": model_type})).epochs[-1]

    assert np.isfinite(report.retrieval_loss) == (model_type == "retrieval")
    assert np.isfinite(report.rating_loss) == (model_type == "ranking")
    assert np.isfinite(report.conversion_loss) == (model_type == "ranking")


def test_a_model_without_a_head_says_so(examples, data):
    trained = train(examples, QUICK.model_copy(update={"model_type": "retrieval", "epochs": 1}))
    vectors = trained.item_vectors(data.items_by_row)

    with pytest.raises(RecipeError, match="need a rating head"):
        trained.predict(vectors, vectors)


def test_a_target_that_is_never_known_is_refused(examples):
    blind = replace(examples, target=np.full(len(examples), np.nan, np.float32))

    with pytest.raises(DataError, match="set `model_type: retrieval`"):
        train(blind)


def test_examples_of_another_history_length_are_refused(examples):
    with pytest.raises(ContractError, match="Fit `TowerEncoder` with the recipe's `history_length`"):
        train(examples, QUICK.model_copy(update={"history_length": 9}))


def test_a_saved_retriever_gives_the_same_answers(trained, data, tmp_path):
    trained.save(tmp_path)

    loaded = TrainedRetriever.load(tmp_path)

    assert np.array_equal(shop.query_vectors(loaded, data), shop.query_vectors(trained, data))
    assert np.array_equal(loaded.item_vectors(data.items), trained.item_vectors(data.items))
    assert (loaded.settings, loaded.target, loaded.epochs) == (trained.settings, trained.target, trained.epochs)


def test_weights_of_another_version_are_refused_with_a_remedy(trained, tmp_path):
    trained.save(tmp_path)
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as stored:
        kept = dict(list(stored.items())[:-1])
    np.savez(tmp_path / "weights.npz", allow_pickle=False, **kept)
    with pytest.raises(ContractError, match=f"Received: {len(kept)}, of another version"):
        TrainedRetriever.load(tmp_path)


def test_nothing_saved_is_pickled(trained, tmp_path):
    trained.save(tmp_path)

    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".json", ".npz", ".arrow"}
    with np.load(tmp_path / "weights.npz", allow_pickle=False) as stored:
        assert all(stored[name].dtype == np.float32 for name in stored.files)


def test_answers_do_not_depend_on_the_size_of_a_block(trained, data, monkeypatch):
    whole = shop.query_vectors(trained, data)
    monkeypatch.setattr("ml.retrieval.trained.BLOCK", 7)

    assert shop.query_vectors(trained, data) == pytest.approx(whole, abs=1e-6)


def test_no_moments_give_no_vectors(trained):
    length = trained.settings.history_length
    nothing = np.empty((0, length), np.int32)
    inputs = QueryInputs(
        np.empty((0, 3), np.int32), nothing, nothing, nothing.astype(np.float32), np.empty((0, 4), np.float32)
    )

    assert trained.query_vectors(inputs).shape == (0, trained.settings.tower_dim)


def test_a_spectral_start_knows_tastes_before_the_first_step(examples, data):
    from ml.retrieval.multitask import MultitaskModel
    from ml.retrieval.spectral import chosen_in, first_vectors, start_from

    def recall(settings) -> float:
        model = MultitaskModel(examples.encoder, settings)
        if settings.start == "spectral":
            first = first_vectors(chosen_in(examples, settings), dim=settings.embedding_dim, seed=0)
            start_from(first.items, model)
        untrained = TrainedRetriever(examples.encoder, settings, None, model, ())
        scores = shop.query_vectors(untrained, data) @ untrained.item_vectors(data.items_by_row).T
        return shop.recall_at(10, scores, data)

    spectral, drawn = (recall(QUICK.model_copy(update={"start": start})) for start in ("spectral", "random"))
    assert spectral > drawn + 0.1


def test_factors_tell_tastes_apart_where_nothing_is_learned(examples, data):
    def recall(weight: float) -> float:
        settings = QUICK.model_copy(
            update={"start": "random", "factor_weight": weight, "learning_rate": 1e-9, "epochs": 1}
        )
        learned = train(examples, settings)
        return shop.recall_at(10, shop.query_vectors(learned, data) @ learned.item_vectors(data.items_by_row).T, data)

    assert recall(10.0) > recall(0.01) + 0.1


def test_factors_are_fitted_on_the_stages_own_examples_and_never_learned(examples, data):
    from ml.retrieval.spectral import chosen_in, item_factors

    def fitted(of) -> np.ndarray:
        return item_factors(chosen_in(of, QUICK), dim=QUICK.factor_dim, seed=QUICK.seed)

    earlier = shop.examples(data, window=Window(shop.TRAIN.start, shop.TRAIN.end - 28 * 86_400))
    base = train(earlier)
    gone_on = train(examples, warm_start=base)

    for learned, of in ((base, earlier), (gone_on, examples)):
        assert np.array_equal(learned.model.factors.table.embeddings.numpy(), fitted(of))
    assert not np.array_equal(fitted(earlier), fitted(examples))


def test_the_temperature_is_that_of_the_learned_cosines_with_factors_and_without(examples, data):
    for settings in (
        QUICK,
        QUICK.model_copy(update={"factor_weight": 3.0}),
        QUICK.model_copy(update={"factor_dim": 0}),
    ):
        once = train(examples, settings.model_copy(update={"epochs": 1}))
        with_a_past = shop.query_vectors(once, data)
        lengths = np.linalg.norm(with_a_past[:, : settings.embedding_dim], axis=1)
        assert lengths == pytest.approx(once.model._learned_part, abs=1e-5)


def test_while_learning_factors_count_less_and_for_a_share_of_the_queries_not_at_all(examples):
    from ml.retrieval.multitask import MultitaskModel
    from ml.retrieval.optimizers import optimizer_of

    def counted(dropped: float) -> np.ndarray:
        settings = QUICK.model_copy(update={"factor_dropout": dropped, "factor_training_share": 0.25})
        model = MultitaskModel(examples.encoder, settings)
        model.compile(optimizer_of(QUICK, 10))
        return np.asarray(model._with_softer_factors(np.ones((4_000, QUICK.tower_dim), np.float32)))

    for dropped in (0.0, 0.3, 1.0):
        found = counted(dropped)
        assert (found[:, : QUICK.embedding_dim] == 1).all()
        factors = found[:, QUICK.embedding_dim :]
        assert (factors == factors[:, :1]).all()
        assert set(np.unique(factors)) <= {np.float32(0), np.float32(0.25)}
        assert (factors[:, 0] == 0).mean() == pytest.approx(dropped, abs=0.03)


def test_factors_hear_events_by_the_roots_of_their_shares_and_teach_attention_nothing():
    from ml.retrieval.legacy_keras import tf
    from ml.retrieval.towers import Factors

    layer = Factors(4, 2, weight=1.0)
    layer.table.build(None)
    layer.table.embeddings.assign([[0, 0, 0], [1, 0, 0.5], [0, 1, 1], [0, 0, 0]])
    learned, shares = tf.constant([[1.0, 0.0]]), tf.Variable([[0.64, 0.36]])
    with tf.GradientTape() as tape:
        vector = layer.beside_query(learned, tf.constant([[1, 2]]), shares)
    interest = np.array([0.8 * 0.5, 0.6 * 1.0])
    np.testing.assert_allclose(
        vector[0, 2:] / np.linalg.norm(vector[0, 2:]), interest / np.linalg.norm(interest), atol=1e-6
    )
    assert tape.gradient(vector, shares) is None


def test_without_factors_there_are_only_learned_numbers(examples, data):
    settings = QUICK.model_copy(update={"factor_dim": 0, "epochs": 1})
    vectors = train(examples, settings).item_vectors(data.items_by_row)

    assert vectors.shape[1] == QUICK.embedding_dim
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)


EVERYTHING = {
    "start": "spectral",
    "history_encoder": "self_attention",
    "weighted_history": True,
    "learn_temperature": True,
    "logq": "refined",
    "uniform_negatives": 32,
    "cached_negatives": 64,
    "hard_negatives": 100,
    "history_dropout": 0.2,
    "example_decay_days": 30.0,
}


@pytest.fixture(scope="module")
def with_everything(examples) -> TrainedRetriever:
    return train(examples, QUICK.model_copy(update=EVERYTHING))


def test_every_option_at_once_learns_and_goes_on_after_a_kill(examples, with_everything, tmp_path):
    def dies(_epoch: EpochReport) -> None:
        raise KeyboardInterrupt

    settings = with_everything.settings
    with pytest.raises(KeyboardInterrupt):
        train(examples, settings, checkpoint_folder=tmp_path, on_epoch=dies)

    assert same_weights(train(examples, settings, checkpoint_folder=tmp_path), with_everything)
    assert with_everything.epochs[1].retrieval_loss < with_everything.epochs[0].retrieval_loss
    assert float(with_everything.model.temperature) != pytest.approx(settings.temperature, rel=1e-3)


def test_self_attention_and_a_learned_temperature_are_exported(with_everything, catalogue, tmp_path):
    from ml.retrieval.export import export_retriever
    from ml.retrieval.parity import largest_difference

    export_retriever(with_everything, tmp_path, catalogue=catalogue)

    assert largest_difference(tmp_path) < 1e-4


def test_the_order_of_all_events_reaches_every_other(examples):
    """With self-attention what an event says depends on the others; pooled, it never does."""
    from ml.retrieval.multitask import MultitaskModel

    def said_alone_and_together(history_encoder: str) -> float:
        model = MultitaskModel(examples.encoder, QUICK.model_copy(update={"history_encoder": history_encoder}))
        history = model.query_tower.history
        if history.looks is not None:
            history.looks.outs[0].kernel.assign(np.eye(16, dtype=np.float32))
        items, codes, ages = np.array([[1, 2, 0, 0, 0]]), np.array([[1, 1, 0, 0, 0]]), np.zeros((1, 5), np.float32)
        shares = history._attention(
            history.item_table(items), np.eye(10, dtype=np.float32)[codes], ages, happened=codes > 0
        ).numpy()[0]
        one, other = (history(items, codes * (np.arange(5) == place), ages)[0].numpy()[0] for place in (0, 1))
        together = history(items, codes, ages)[0].numpy()[0]
        return float(np.abs(together - shares[0] * one - shares[1] * other).max())

    assert said_alone_and_together("pooled") < 1e-6
    assert said_alone_and_together("self_attention") > 1e-3


def test_weighted_and_untrained_a_purchase_says_more_than_a_view_and_a_return_the_opposite(examples):
    from ml.contract.events import EventType
    from ml.retrieval.multitask import MultitaskModel

    weighted = QUICK.model_copy(update={"weighted_history": True})
    history = MultitaskModel(examples.encoder, weighted).query_tower.history
    history.event_vectors.assign(np.zeros_like(history.event_vectors))
    history.content_score.kernel.assign(np.zeros_like(history.content_score.kernel))
    vectors = history.item_table.embeddings.numpy()

    def said(*events: EventType) -> np.ndarray:
        codes = np.array([[event.code + 1 for event in events] + [0] * (5 - len(events))])
        return history(np.array([[1, 2, 0, 0, 0]]), codes, np.zeros((1, 5), np.float32))[0].numpy()[0]

    bought_and_seen = said(EventType.PURCHASE, EventType.VIEW)
    assert bought_and_seen == pytest.approx((5 * vectors[1] + vectors[2]) / 6, abs=1e-6)
    assert said(EventType.RETURN) == pytest.approx(-vectors[1], abs=1e-6)


def test_a_triplet_loss_learns_the_shop(examples):
    first, last = train(examples, QUICK.model_copy(update={"retrieval_loss": "triplet"})).epochs

    assert last.retrieval_loss < first.retrieval_loss


def test_older_examples_weigh_less(examples):
    from ml.retrieval.negatives import Negatives
    from ml.retrieval.train import _Steps

    steps = _Steps(examples, None, Negatives.of(examples, QUICK), None, decay_days=30.0)
    age_days = (shop.TRAIN.end - examples.at) / 86_400

    assert steps._weights(examples) == pytest.approx(examples.weight * np.exp(-age_days / 30), rel=1e-5)


def test_history_dropout_hides_the_past_of_some(examples):
    from ml.retrieval.multitask import MultitaskModel
    from ml.retrieval.negatives import Negatives
    from ml.retrieval.optimizers import optimizer_of
    from ml.retrieval.train import _Steps

    def users_without_a_past(share: float) -> float:
        settings = QUICK.model_copy(update={"history_dropout": share, "batch_size": 512})
        model = MultitaskModel(examples.encoder, settings)
        model.compile(optimizer_of(settings, 10))
        batch = next(_Steps(examples, None, Negatives.of(examples, settings), None, 0.0).epoch(0, settings))
        with_past = np.asarray(batch.query.history_events).any(axis=1)
        return 1 - float(np.asarray(model._with_strangers(batch).query.history_events).any(axis=1)[with_past].mean())

    assert users_without_a_past(0.0) == 0.0
    assert users_without_a_past(0.4) == pytest.approx(0.4, abs=0.1)
