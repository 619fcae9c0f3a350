"""What a good engineer would try first, each with the choices that are searched. Sources are named where they were looked up."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from benchmarks.leaderboard.contest import DEPTH, Contest
from ml.candidates.likeness import inverse
from ml.contract.types import Floats, Rows
from ml.evaluation.baselines import most_popular, own_history

Choices = Mapping[str, Any]


@dataclass(frozen=True)
class Peer:
    """A system to beat."""

    name: str
    lists: Callable[[Contest, Choices, int], Rows]
    """Lists `[num_users, DEPTH]` of a contest, under some choices and a seed."""
    space: Mapping[str, Sequence[Any]]
    """What may be chosen; nothing where there is nothing to choose."""
    budgets: int = 1
    """How many times the trials of the others it has: where the space is far larger than theirs, chance would choose for it."""


def popular(contest: Contest, choices: Choices, seed: int) -> Rows:  # noqa: ARG001 - the signature of a peer
    """The most bought items, fading or not, without what a user must not be shown."""
    deepest = len(contest.popular)
    ranked = most_popular(contest.past, k=deepest, decay_days=choices["decay_days"])[0]
    worth = np.zeros(contest.past.num_items, np.float32)
    worth[ranked[ranked >= 0]] = np.arange(len(ranked[ranked >= 0]), 0, -1)
    return contest.lists_of(lambda users: np.tile(worth, (len(users), 1)))


def history(contest: Contest, choices: Choices, seed: int) -> Rows:  # noqa: ARG001
    """What the user bought in most orders."""
    return own_history(contest.past, k=DEPTH)


def item_knn(contest: Contest, choices: Choices, seed: int) -> Rows:  # noqa: ARG001
    """Cosine of items over users, each user's weight falling with the number of their items to the power `damping`; both numbers
    are shrunk towards each other by what is added to them. Of what is asked by, the newest items count most."""
    of_user = np.maximum(contest.touched.sum(axis=1) + choices["user_shrinkage"], 1) ** choices["damping"]
    of_item = np.sqrt(np.maximum(contest.touched.sum(axis=0) + choices["item_shrinkage"], 1))
    unit = sparse.csc_array(contest.touched / of_user[:, None] / of_item)
    likeness = _nearest(unit, k=choices["neighbours"], itself=contest.repeats)
    asked_by = (
        contest.interest if choices["half_life"] is None else _newest_first(contest, half_life=choices["half_life"])
    )
    return contest.lists_of(lambda users: (asked_by[users] @ likeness).toarray())


def ease(contest: Contest, choices: Choices, seed: int) -> Rows:  # noqa: ARG001
    """Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", eq. 8, over items somebody touched. It says nothing of
    what a user has already; `own_weight` lets that compete, where people buy again."""
    matrix = contest.interest if choices["faded"] else contest.touched
    kept = np.flatnonzero(np.asarray(contest.touched.sum(axis=0)).ravel() > 0)
    columns = matrix[:, kept]
    gram = (columns.T @ columns).toarray().astype(np.float32)
    gram[np.diag_indices_from(gram)] += choices["l2"]
    weights = inverse(gram)
    weights /= -np.diag(weights)
    np.fill_diagonal(weights, 0.0)

    def scores(users: Rows) -> Floats:
        found = np.zeros((len(users), contest.past.num_items), np.float32)
        found[:, kept] = columns[users] @ weights + choices.get("own_weight", 0.0) * columns[users].toarray()
        return found

    return contest.lists_of(scores)


def gf_cf(contest: Contest, choices: Choices, seed: int) -> Rows:
    """Shen et al. 2021, "How Powerful is Graph Convolution for Recommendation?": a linear filter plus an ideal low-pass one."""
    touched = contest.touched
    of_user = np.sqrt(np.maximum(touched.sum(axis=1), 1))
    of_item = np.sqrt(np.maximum(touched.sum(axis=0), 1)).astype(np.float32)
    unit = sparse.csr_array(touched / of_user[:, None] / of_item)
    start = np.random.default_rng(seed).standard_normal(min(unit.shape)).astype(np.float32)
    _, _, low = svds(unit, k=min(choices["rank"], min(unit.shape) - 1), v0=start)

    def scores(users: Rows) -> Floats:
        theirs = touched[users]
        linear = (theirs @ unit.T @ unit).toarray()
        ideal = ((theirs / of_item) @ low.T) @ low * of_item
        return np.asarray(linear + choices["ideal_weight"] * ideal, np.float32)

    return contest.lists_of(scores)


def ials(contest: Contest, choices: Choices, seed: int) -> Rows:
    """Hu, Koren, Volinsky 2008 by the library `implicit`."""
    from implicit.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # the library asks for it: its own loops call BLAS for tiny matrices
        model = AlternatingLeastSquares(
            factors=choices["factors"],
            regularization=choices["regularization"],
            alpha=choices["alpha"],
            iterations=15,
            random_state=seed,
            num_threads=1,
        )
        model.fit(sparse.csr_matrix(contest.interest.astype(np.float32)), show_progress=False)
    return _factorised(contest, model.user_factors, model.item_factors)


def bpr(contest: Contest, choices: Choices, seed: int) -> Rows:
    """Rendle et al. 2009, "BPR: Bayesian Personalized Ranking", by the library `implicit`."""
    from implicit.bpr import BayesianPersonalizedRanking

    model = BayesianPersonalizedRanking(
        factors=choices["factors"],
        learning_rate=choices["learning_rate"],
        regularization=choices["regularization"],
        iterations=choices["epochs"],
        random_state=seed,
        num_threads=1,
    )
    model.fit(sparse.csr_matrix(contest.touched), show_progress=False)
    return _factorised(contest, model.user_factors, model.item_factors)


def tutorial_two_tower(contest: Contest, choices: Choices, seed: int) -> Rows:
    """The retrieval tutorial of TensorFlow Recommenders: two embeddings, in-batch softmax, Adagrad."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # TensorFlow Recommenders 0.7.7 refuses Keras 3
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    tf.keras.utils.set_random_seed(seed)
    users, items = contest.touched.nonzero()
    shape = contest.touched.shape

    class TwoTower(tfrs.Model):
        def __init__(self) -> None:
            super().__init__()
            self.users = tf.keras.layers.Embedding(shape[0], choices["dimension"])
            self.items = tf.keras.layers.Embedding(shape[1], choices["dimension"])
            self.task = tfrs.tasks.Retrieval()

        def compute_loss(self, features: Any, training: bool = False) -> Any:  # noqa: ARG002 - the library's signature
            return self.task(self.users(features["user"]), self.items(features["item"]), compute_metrics=False)

    model = TwoTower()
    model.compile(optimizer=tf.keras.optimizers.legacy.Adagrad(choices["learning_rate"]))
    pairs = {"user": users.astype(np.int32), "item": items.astype(np.int32)}
    order = np.random.default_rng(seed).permutation(len(users))
    dataset = tf.data.Dataset.from_tensor_slices({name: column[order] for name, column in pairs.items()})
    model.fit(dataset.batch(choices["batch_size"]).cache(), epochs=choices["epochs"], verbose=0)
    return _factorised(contest, model.users.embeddings.numpy(), model.items.embeddings.numpy())


L2 = (25.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1_600.0, 3_200.0)

PEERS = (
    Peer("popular", popular, {"decay_days": (None, 1.0, 3.0, 7.0, 14.0, 30.0, 60.0, 120.0)}),
    Peer("own history", history, {}),
    Peer(
        "item-kNN",
        item_knn,
        {
            "neighbours": (50, 100, 200, 500, 1_000),
            "damping": (0.0, 0.25, 0.5, 0.75),
            "half_life": (None, 1, 3, 10),
            "user_shrinkage": (0.0, 4.0, 16.0),
            "item_shrinkage": (0.0, 4.0, 8.0),
        },
        budgets=4,
    ),
    Peer("EASE", ease, {"l2": L2, "faded": (False, True)}),
    Peer("EASE and own items", ease, {"l2": L2, "faded": (False, True), "own_weight": (0.1, 0.3, 1.0)}),
    Peer("GF-CF", gf_cf, {"rank": (64, 128, 256), "ideal_weight": (0.0, 0.1, 0.3, 0.5)}),
    Peer(
        "iALS",
        ials,
        {"factors": (64, 128, 256), "regularization": (0.01, 0.1, 1.0, 10.0), "alpha": (1.0, 5.0, 20.0, 40.0)},
    ),
    Peer(
        "BPR",
        bpr,
        {
            "factors": (64, 128),
            "learning_rate": (0.01, 0.03, 0.1),
            "regularization": (0.001, 0.01, 0.05),
            "epochs": (30, 100),
        },
    ),
    Peer(
        "two-tower of the TFRS tutorial",
        tutorial_two_tower,
        {
            "dimension": (32, 64, 128),
            "learning_rate": (0.1, 0.3, 0.5),
            "batch_size": (1_024, 4_096),
            "epochs": (3, 10),
        },
    ),
)


def _newest_first(contest: Contest, *, half_life: float) -> sparse.csr_array:
    """Each user's items, halved in weight every `half_life` items back `[num_log_users + 1, num_items]`."""
    log = contest.past.log
    newest = np.lexsort((-log.occurred_at, log.user_rows))
    users, items = log.user_rows[newest], log.item_rows[newest]
    back = np.arange(len(users)) - np.searchsorted(users, users)
    weights = (0.5 ** (back / half_life)).astype(np.float32)
    return sparse.csr_array((weights, (users, items)), shape=contest.touched.shape)


def _factorised(contest: Contest, users: Floats, items: Floats) -> Rows:
    return contest.lists_of(lambda rows: users[rows] @ items.T)


def _nearest(unit: sparse.csc_array, *, k: int, itself: bool) -> sparse.csr_array:
    """The k nearest of each item by inner product of its column `[num_items, num_items]`."""
    kept = []
    for start in range(0, unit.shape[1], 512):
        block = (unit[:, start : start + 512].T @ unit).tocsr()
        if not itself:
            block.setdiag(0, k=start)
            block.eliminate_zeros()
        for row in range(block.shape[0]):
            own = slice(block.indptr[row], block.indptr[row + 1])
            if own.stop - own.start > k:
                values = block.data[own]
                values[np.argpartition(-values, k)[k:]] = 0
        block.eliminate_zeros()
        kept.append(block)
    return sparse.vstack(kept, format="csr")
