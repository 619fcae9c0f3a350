"""Losses of both stages. In a cluster each replica gives its own share of a loss: the shares sum to the loss of the whole batch."""

from typing import Any

from ml.retrieval.legacy_keras import tf
from ml.retrieval.replicas import gathered, num_replicas, replica, summed

MASKED = -1e9


def sampled_softmax(
    queries: Any, candidates: Any, *, item_rows: Any, log_q: Any, weights: Any, temperature: float
) -> Any:
    """Weighted mean cross-entropy of each query's own candidate among all candidates of the batch.

    logits = cosine / temperature - log Q(item). An item of share Q is a negative in proportion to Q; without the
    correction the softmax charges popular items for being common and learns cosine / temperature = PMI instead of log p.
    Subtracting log Q (negative, so it *raises* rare items' logits in training) leaves log p(item | query) in the cosine:
    popular items end up *higher* in the served list. Yi et al. 2019, "Sampling-bias-corrected neural modeling", section 3.

    Args:
        queries: `[b, d]` unit vectors.
        candidates: `[b, d]` unit vectors; row i is what query i went on to choose.
        item_rows: `[b]`; another query's candidate that is the same item is no negative (an accidental hit).
        log_q: `[b]` log of each candidate's share of the examples; zeros switch the correction off.
        weights: `[b]` importance of each example.
    """
    # Negatives come from the whole batch, whichever replica encoded them: b queries meet B candidates.
    all_candidates, all_item_rows, all_log_q = gathered(candidates), gathered(item_rows), gathered(log_q)
    logits = tf.matmul(queries, all_candidates, transpose_b=True) / temperature - all_log_q[None, :]
    same_item = tf.equal(item_rows[:, None], all_item_rows[None, :])
    own = _own_columns(tf.shape(item_rows)[0])
    itself = tf.equal(own[:, None], tf.range(tf.shape(all_item_rows)[0])[None, :])
    logits = tf.where(tf.logical_and(same_item, tf.logical_not(itself)), MASKED, logits)
    positives = tf.gather(logits, own, batch_dims=1)
    return weighted_mean(tf.reduce_logsumexp(logits, axis=1) - positives, weights)


def squared_error(predicted: Any, target: Any, known: Any) -> Any:
    """Mean over the pairs whose target is known; 0 where none is. All `[b]`."""
    return weighted_mean(tf.square(predicted - target), known)


def log_loss(logits: Any, happened: Any) -> Any:
    """Mean binary cross-entropy of logits `[b]` against 0 or 1 `[b]`."""
    return weighted_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=happened, logits=logits), tf.ones_like(logits))


def weighted_mean(values: Any, weights: Any) -> Any:
    """Σ w·x / Σ w `[n] -> []`; 0 when no weight is above 0."""
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), summed(tf.reduce_sum(weights)))


def _own_columns(count: Any) -> Any:
    """Where this replica's `count` candidates are among all of the batch `[count]`."""
    return tf.range(count) + (replica() * count if num_replicas() > 1 else 0)
