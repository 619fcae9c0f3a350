"""The retrieval loss: corrected with the right sign, without accidental hits, weighted."""

import numpy as np
import pytest

pytestmark = pytest.mark.tf

NUM_ITEMS, BATCH = 40, 64


@pytest.fixture(scope="module")
def shares() -> np.ndarray:
    popularity = 1.0 / np.arange(1, NUM_ITEMS + 1)
    return popularity / popularity.sum()


def unit_vectors(rng: np.random.Generator, rows: int) -> np.ndarray:
    vectors = rng.normal(size=(rows, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def candidates_of(vectors, item_rows, log_q=None):
    from ml.retrieval.losses import Candidates

    log_q = np.zeros(len(item_rows)) if log_q is None else log_q
    return Candidates(np.asarray(vectors, np.float32), np.asarray(item_rows, np.int32), np.asarray(log_q, np.float32))


def loss_of(queries, candidates, item_rows, *, log_q=None, weights=None, temperature=0.1, **options) -> float:
    from ml.retrieval.losses import sampled_softmax

    loss = sampled_softmax(
        np.asarray(queries, np.float32),
        candidates_of(candidates, item_rows, log_q),
        weights=np.ones(len(item_rows), np.float32) if weights is None else np.asarray(weights, np.float32),
        temperature=temperature,
        **options,
    )
    return float(loss)


def learned_scores(shares: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """One score per item, learned by gradient descent on batches of a shop whose users all choose by popularity alone."""
    from ml.retrieval.legacy_keras import tf
    from ml.retrieval.losses import Candidates, sampled_softmax

    rng, scores = np.random.default_rng(0), tf.Variable(np.zeros((NUM_ITEMS, 1), np.float32))
    one = tf.ones((BATCH, 1))

    @tf.function
    def step(item_rows):
        with tf.GradientTape() as tape:
            loss = sampled_softmax(
                one,
                Candidates(tf.gather(scores, item_rows), item_rows, tf.gather(log_q, item_rows)),
                weights=one[:, 0],
                temperature=1.0,
            )
        scores.assign_sub(2.0 * tf.convert_to_tensor(tape.gradient(loss, scores)))

    for _ in range(1500):
        step(tf.constant(rng.choice(NUM_ITEMS, BATCH, p=shares), tf.int32))
    return scores.numpy()[:, 0]


def slope(scores: np.ndarray, shares: np.ndarray) -> float:
    """How much a score rises per unit of log popularity; 1 is what a softmax over the whole catalogue learns."""
    return float(np.polyfit(np.log(shares), scores, 1)[0])


def test_logq_makes_batches_learn_what_the_full_softmax_learns(shares):
    log_q = np.log(shares).astype(np.float32)

    assert slope(learned_scores(shares, log_q), shares) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(("sign", "learned"), [(0.0, 0.0), (-1.0, -1.0)], ids=["no correction", "the wrong sign"])
def test_without_logq_or_with_its_sign_turned_popularity_is_lost(shares, sign, learned):
    log_q = (sign * np.log(shares)).astype(np.float32)

    assert slope(learned_scores(shares, log_q), shares) == pytest.approx(learned, abs=0.3)


def test_the_loss_is_that_of_tensorflow_recommenders(shares):
    from ml.retrieval.legacy_keras import tf, tfrs

    rng = np.random.default_rng(1)
    queries, candidates = unit_vectors(rng, BATCH), unit_vectors(rng, BATCH)
    item_rows = rng.choice(NUM_ITEMS, BATCH, p=shares)
    weights = rng.uniform(0.5, 5, BATCH).astype(np.float32)
    theirs = tfrs.tasks.Retrieval(temperature=0.1, remove_accidental_hits=True)(
        queries,
        candidates,
        sample_weight=weights,
        candidate_sampling_probability=tf.constant(shares[item_rows], tf.float32),
        candidate_ids=tf.constant(item_rows),
        compute_metrics=False,
    )

    ours = loss_of(queries, candidates, item_rows, log_q=np.log(shares[item_rows]), weights=weights)

    assert ours == pytest.approx(float(theirs) / weights.sum(), rel=1e-4)


def test_another_query_for_the_same_item_is_no_negative():
    queries = [[1.0, 0.0], [1.0, 0.0]]
    candidates = [[1.0, 0.0], [1.0, 0.0]]

    assert loss_of(queries, candidates, [7, 7]) == pytest.approx(0.0, abs=1e-6)
    assert loss_of(queries, candidates, [7, 8]) == pytest.approx(np.log(2))


def test_an_example_of_twice_the_weight_counts_twice():
    rng = np.random.default_rng(2)
    queries, candidates, rows = unit_vectors(rng, 2), unit_vectors(rng, 2), [0, 1]
    first, second = (loss_of(queries, candidates, rows, weights=np.eye(2)[row]) for row in (0, 1))

    assert loss_of(queries, candidates, rows, weights=[2, 1]) == pytest.approx((2 * first + second) / 3, rel=1e-5)


def test_an_unknown_target_does_not_count():
    from ml.retrieval.losses import squared_error

    predicted, target = np.float32([1, 5]), np.float32([3, 0])

    assert float(squared_error(predicted, target, np.float32([1, 0]))) == pytest.approx((3 - 1) ** 2)
    assert float(squared_error(predicted, target, np.float32([0, 0]))) == 0.0


ANSWERS, TARGETS, KNOWN = np.float32([2, -1, 0.5, 9]), np.float32([1, 0, 0.25, 0.5]), np.float32([1, 1, 1, 0])


def test_the_pairwise_loss_is_of_all_pairs_of_known_targets_that_differ():
    from ml.retrieval.losses import pairwise

    pairs = [(0, 1), (0, 2), (2, 1)]  # the greater target first; the fourth is unknown
    expected = np.mean([np.log1p(np.exp(ANSWERS[lesser] - ANSWERS[greater])) for greater, lesser in pairs])
    assert float(pairwise(ANSWERS, TARGETS, KNOWN)) == pytest.approx(expected, rel=1e-6)
    assert float(pairwise(ANSWERS, np.ones_like(TARGETS), KNOWN)) == 0.0


def test_the_listwise_loss_is_the_cross_entropy_of_two_softmaxes():
    from ml.retrieval.losses import listwise

    wanted, given = (np.exp(each[:3]) / np.exp(each[:3]).sum() for each in (TARGETS, ANSWERS))
    assert float(listwise(ANSWERS, TARGETS, KNOWN)) == pytest.approx(-(wanted * np.log(given)).sum(), rel=1e-6)
    assert float(listwise(ANSWERS, TARGETS, np.zeros(4, np.float32))) == 0.0


def test_the_soft_log_loss_is_least_where_the_chance_is_the_target():
    from ml.retrieval.losses import soft_log_loss

    def loss(chance: float) -> float:
        return float(soft_log_loss(np.float32([np.log(chance / (1 - chance))]), np.float32([0.25]), np.float32([1])))

    assert loss(0.25) == pytest.approx(-(0.25 * np.log(0.25) + 0.75 * np.log(0.75)), rel=1e-6)
    assert loss(0.25) < min(loss(0.2), loss(0.3))


@pytest.mark.parametrize("name", ["pairwise", "listwise"])
def test_a_loss_of_order_falls_when_the_greater_target_rises_and_not_when_all_do(name):
    from ml.retrieval.losses import RATING_LOSSES

    loss = RATING_LOSSES[name]
    alike = np.zeros(4, np.float32)
    before = float(loss(alike, TARGETS, KNOWN))
    assert float(loss(alike + np.float32([0.5, 0, 0, 0]), TARGETS, KNOWN)) < before
    assert float(loss(alike + np.float32([0, 0.5, 0, 0]), TARGETS, KNOWN)) > before
    assert float(loss(alike + np.float32(3), TARGETS, KNOWN)) == pytest.approx(before, rel=1e-5)


def mean_gradients(shares: np.ndarray, *, refined: bool, num_uniform: int = 0, batches: int = 200) -> np.ndarray:
    """Mean gradient of item scores over many drawn batches, item 0 chosen in each `[NUM_ITEMS]`. It is the most common one."""
    from ml.retrieval.legacy_keras import tf
    from ml.retrieval.losses import Candidates, sampled_softmax

    rng, small = np.random.default_rng(3), 64
    scores = tf.Variable(SCORES[:, None].astype(np.float32))
    mixed = (small * shares + num_uniform / NUM_ITEMS) / (small + num_uniform)
    log_q = tf.constant(np.log(mixed), tf.float32)

    @tf.function
    def gradient(item_rows, uniform_rows):
        def candidates(rows):
            return Candidates(tf.gather(scores, rows), rows, tf.gather(log_q, rows))

        with tf.GradientTape() as tape:
            loss = sampled_softmax(
                tf.ones((small + 1, 1)),
                candidates(item_rows),
                weights=tf.one_hot(0, small + 1),
                temperature=1.0,
                others=candidates(uniform_rows),
                refined=refined,
            )
        return tf.convert_to_tensor(tape.gradient(loss, scores))[:, 0]

    drawn = np.concatenate([np.zeros((batches, 1)), rng.choice(NUM_ITEMS, (batches, small), p=shares)], axis=1)
    uniform = rng.integers(0, NUM_ITEMS, (batches, num_uniform))
    rows = (tf.constant(drawn, tf.int32), tf.constant(uniform, tf.int32))
    return np.mean([gradient(*batch).numpy() for batch in zip(*rows, strict=True)], axis=0)


SCORES = np.concatenate([[4.0], np.random.default_rng(5).normal(size=NUM_ITEMS - 1)])
"""Of a query that is nearly sure of item 0, as a trained one is."""


def full_gradient() -> np.ndarray:
    """Of the softmax over the whole catalogue, item 0 chosen: p - 1 for the chosen one, p for each other."""
    p = np.exp(SCORES) / np.exp(SCORES).sum()
    return p - np.eye(NUM_ITEMS)[0]


@pytest.mark.parametrize("num_uniform", [0, 32], ids=["batch alone", "and uniform negatives"])
def test_the_refined_correction_has_the_gradient_of_the_full_softmax(shares, num_uniform):
    of_standard, of_refined = (
        np.abs(mean_gradients(shares, refined=refined, num_uniform=num_uniform) - full_gradient()).sum()
        for refined in (False, True)
    )

    assert of_refined < of_standard / 5


def test_other_negatives_are_candidates_like_those_of_the_batch():
    rng = np.random.default_rng(6)
    queries, candidates = unit_vectors(rng, 4), unit_vectors(rng, 4)
    others = candidates_of(candidates[2:], [2, 3])
    both = loss_of(queries, candidates, [0, 1, 2, 3], weights=[1, 1, 0, 0])

    assert loss_of(queries[:2], candidates[:2], [0, 1], others=others) == pytest.approx(both, rel=1e-5)
    assert loss_of(queries[:1], candidates[:1], [2], others=candidates_of(candidates[2:3], [2])) == 0.0


def test_hard_negatives_are_those_of_tensorflow_recommenders():
    from ml.retrieval.legacy_keras import tfrs

    rng = np.random.default_rng(7)
    queries, candidates = unit_vectors(rng, BATCH), unit_vectors(rng, BATCH)
    task = tfrs.tasks.Retrieval(temperature=0.1, num_hard_negatives=5)
    theirs = float(task(queries, candidates, compute_metrics=False)) / BATCH

    assert loss_of(queries, candidates, np.arange(BATCH), hardest=5) == pytest.approx(theirs, rel=1e-4)


def test_a_triplet_falls_short_by_what_is_missing_to_the_margin():
    from ml.retrieval.losses import triplet

    queries = np.float32([[1, 0], [1, 0], [0, 1]])
    chosen = candidates_of([[1, 0], [0.8, 0.6], [0.6, 0.8]], [0, 1, 1])
    ones = np.ones(3, np.float32)
    # Of query 0: 0.8 and 0.6, both of item 1. Of query 1: the 1.0 of item 0 alone. Of query 2: the 0.0 of item 0, far behind.
    short_by = [((0.3 + 0.8 - 1) + 0) / 2, 0.3 + 1 - 0.8, 0]

    assert float(triplet(queries, chosen, weights=ones, margin=0.3)) == pytest.approx(np.mean(short_by), rel=1e-5)
    nearest = [0.3 + 0.8 - 1, 0.3 + 1 - 0.8, 0]
    assert float(triplet(queries, chosen, weights=ones, margin=0.3, hardest=1)) == pytest.approx(
        np.mean(nearest), rel=1e-5
    )
