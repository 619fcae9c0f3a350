"""Losses of both stages. In a cluster each replica gives its own share of a loss: the shares sum to the loss of the whole batch."""

from typing import Any, NamedTuple

from ml.retrieval.legacy_keras import tf
from ml.retrieval.replicas import gathered, summed

MASKED = -1e9


class Candidates(NamedTuple):
    """What queries are told apart by. `m` of them."""

    vectors: Any
    """`[m, d]` unit vectors."""
    item_rows: Any
    """`[m]`; a query's own item is no negative, whoever else chose it (an accidental hit)."""
    log_q: Any
    """`[m]` log of the share of each step's candidates that is this item, on average; zeros switch the correction off."""


def sampled_softmax(
    queries: Any,
    chosen: Candidates,
    *,
    weights: Any,
    temperature: Any,
    others: Candidates | None = None,
    refined: bool = False,
    hardest: int = 0,
) -> Any:
    """Weighted mean cross-entropy of each query's own candidate among all candidates of the step.

    logits = cosine / temperature - log Q(item). An item of share Q is a negative in proportion to Q; without the
    correction the softmax charges popular items for being common and learns cosine / temperature = PMI instead of log p.
    Subtracting log Q (negative, so it *raises* rare items' logits in training) leaves log p(item | query) in the cosine:
    popular items end up *higher* in the served list. Yi et al. 2019, "Sampling-bias-corrected neural modeling", section 3.

    Refined: the chosen item is there with certainty, not with its share, so its logit is left alone; the mean over the n
    others, drawn from Q without it, stands for the rest of the catalogue. Then the loss estimates the full softmax's, and so
    does its gradient. Khrylchenko et al. 2025, "Correcting the logQ correction".

    Args:
        queries: `[b, d]` unit vectors; query i went on to choose row i of `chosen`.
        weights: `[b]` importance of each example.
        others: further negatives, the same in every process.
        hardest: only so many of each query's nearest negatives count; 0 means all.
    """
    cosines, rival, log_q = _rivals(queries, chosen, others)
    logits = tf.where(rival, cosines / temperature - log_q[None, :], MASKED)
    rivals = tf.reduce_logsumexp(_largest(logits, hardest), axis=1)
    positives = tf.reduce_sum(queries * chosen.vectors, axis=1) / temperature
    if refined:
        num_rivals = tf.reduce_sum(tf.cast(rival, tf.float32), axis=1)
        rivals += tf.math.log1p(-tf.exp(chosen.log_q)) - tf.math.log(tf.maximum(num_rivals, 1.0))
    else:
        positives -= chosen.log_q
    return weighted_mean(tf.nn.softplus(rivals - positives), weights)


def triplet(
    queries: Any, chosen: Candidates, *, weights: Any, margin: float, others: Candidates | None = None, hardest: int = 0
) -> Any:
    """Weighted mean of max(0, margin + cosine of a rival - cosine of the chosen one), over each query's rivals.

    `chosen.log_q` plays no part: rivals are compared, not summed up. Arguments are those of `sampled_softmax`.
    """
    cosines, rival, _ = _rivals(queries, chosen, others)
    nearest = _largest(tf.where(rival, cosines, MASKED), hardest)
    positives = tf.reduce_sum(queries * chosen.vectors, axis=1)
    short_by = tf.nn.relu(margin + nearest - positives[:, None])
    counted = tf.reduce_sum(tf.cast(nearest > MASKED / 2, tf.float32), axis=1)
    return weighted_mean(tf.math.divide_no_nan(tf.reduce_sum(short_by, axis=1), counted), weights)


def _rivals(queries: Any, chosen: Candidates, others: Candidates | None) -> tuple[Any, Any, Any]:
    """Cosines with all candidates `[b, m]`, which of them are negatives `[b, m]`, and their log Q `[m]`."""
    # Negatives come from the whole batch, whichever replica encoded them: b queries meet B candidates.
    vectors, item_rows, log_q = (gathered(part) for part in chosen)
    if others is not None:
        vectors, item_rows, log_q = (
            tf.concat(parts, axis=0) for parts in zip((vectors, item_rows, log_q), others, strict=True)
        )
    rival = tf.not_equal(chosen.item_rows[:, None], item_rows[None, :])
    return tf.matmul(queries, vectors, transpose_b=True), rival, log_q


def _largest(values: Any, count: int) -> Any:
    """The `count` largest of each row; all for 0."""
    return tf.math.top_k(values, tf.minimum(count, tf.shape(values)[1])).values if count else values


def squared_error(predicted: Any, target: Any, known: Any) -> Any:
    """Mean over the pairs whose target is known; 0 where none is. All `[b]`."""
    return weighted_mean(tf.square(predicted - target), known)


def soft_log_loss(logits: Any, target: Any, known: Any) -> Any:
    """Mean binary cross-entropy of logits against targets from 0 to 1, over the pairs whose target is known. All `[b]`."""
    return weighted_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits), known)


def pairwise(scores: Any, target: Any, known: Any) -> Any:
    """Mean of log(1 + exp(score of the lesser - score of the greater)) over all pairs of the step whose targets differ; 0 without.

    Burges et al. 2005, "Learning to rank using gradient descent" (RankNet). All `[b]`.
    """
    others, their_target, their_known = (gathered(part) for part in (scores, target, known))
    greater = tf.cast(target[:, None] > their_target[None, :], tf.float32) * known[:, None] * their_known[None, :]
    losses = tf.nn.softplus(others[None, :] - scores[:, None]) * greater
    return tf.math.divide_no_nan(tf.reduce_sum(losses), summed(tf.reduce_sum(greater)))


def listwise(scores: Any, target: Any, known: Any) -> Any:
    """Cross-entropy between the softmax of the targets and that of the scores, the step's known pairs being one list; 0 without.

    Cao et al. 2007, "Learning to rank: from pairwise approach to listwise approach" (ListNet, top one). All `[b]`.
    """
    all_known = gathered(known) > 0

    def log_shares(values: Any) -> Any:
        return values - tf.reduce_logsumexp(tf.where(all_known, gathered(values), MASKED))

    shares = tf.exp(log_shares(target)) * known
    return -tf.reduce_sum(tf.where(known > 0, shares * log_shares(scores), 0.0))


RATING_LOSSES = {"mse": squared_error, "bce": soft_log_loss, "pairwise": pairwise, "listwise": listwise}


def log_loss(logits: Any, happened: Any) -> Any:
    """Mean binary cross-entropy of logits `[b]` against 0 or 1 `[b]`."""
    return weighted_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=happened, logits=logits), tf.ones_like(logits))


def weighted_mean(values: Any, weights: Any) -> Any:
    """Σ w·x / Σ w `[n] -> []`; 0 when no weight is above 0."""
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), summed(tf.reduce_sum(weights)))
