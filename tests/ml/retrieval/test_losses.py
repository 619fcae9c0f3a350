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


def loss_of(queries, candidates, item_rows, *, log_q=None, weights=None, temperature=0.1) -> float:
    from ml.retrieval.losses import sampled_softmax

    zeros, ones = np.zeros(len(item_rows), np.float32), np.ones(len(item_rows), np.float32)
    loss = sampled_softmax(
        np.asarray(queries, np.float32),
        np.asarray(candidates, np.float32),
        item_rows=np.asarray(item_rows, np.int32),
        log_q=zeros if log_q is None else np.asarray(log_q, np.float32),
        weights=ones if weights is None else np.asarray(weights, np.float32),
        temperature=temperature,
    )
    return float(loss)


def learned_scores(shares: np.ndarray, log_q: np.ndarray) -> np.ndarray:
    """One score per item, learned by gradient descent on batches of a shop whose users all choose by popularity alone."""
    from ml.retrieval.legacy_keras import tf
    from ml.retrieval.losses import sampled_softmax

    rng, scores = np.random.default_rng(0), tf.Variable(np.zeros((NUM_ITEMS, 1), np.float32))
    one = tf.ones((BATCH, 1))

    @tf.function
    def step(item_rows):
        with tf.GradientTape() as tape:
            loss = sampled_softmax(
                one,
                tf.gather(scores, item_rows),
                item_rows=item_rows,
                log_q=tf.gather(log_q, item_rows),
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
