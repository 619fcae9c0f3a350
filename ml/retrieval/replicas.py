"""What the processes of a cluster say to each other inside a training step. Alone, each function gives back what it got."""

from functools import cache
from typing import Any

import numpy as np

from ml.contract.errors import ContractError
from ml.retrieval.cluster import Cluster
from ml.retrieval.legacy_keras import tf


@cache
def strategy_of(cluster: Cluster | None) -> Any:
    """How variables and gradients are kept the same in all processes. TensorFlow connects a process once, before anything else."""
    if cluster is None:
        return tf.distribute.get_strategy()
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.workers)}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
    )
    ring = tf.distribute.experimental.CommunicationImplementation.RING
    options = tf.distribute.experimental.CommunicationOptions(implementation=ring)
    return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver, communication_options=options)


def num_replicas() -> int:
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def replica() -> Any:
    """Number of this one among them `[]`."""
    return tf.distribute.get_replica_context().replica_id_in_sync_group


def gathered(rows: Any) -> Any:
    """The rows of all replicas, in their order: `[b, ...] -> [replicas * b, ...]`. Gradients flow back to where a row came from."""
    if num_replicas() == 1:
        return rows
    # A step's inputs lie on no device, which TensorFlow takes for no destination; what an op gives lies on the replica's.
    return tf.distribute.get_replica_context().all_gather(tf.identity(rows), axis=0)


def summed(values: Any) -> Any:
    """The sum over all replicas."""
    if num_replicas() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def own_rows(rows: Any, count: Any) -> Any:
    """The inverse of `gathered`: this replica's `count` of them."""
    return rows if num_replicas() == 1 else rows[replica() * count : (replica() + 1) * count]


def from_chief(values: list[Any], cluster: Cluster) -> list[Any]:
    """The chief's arrays, in every process. The others' count for their shapes and kinds alone."""
    mine = [np.asarray(value) * np.asarray(cluster.is_chief, np.asarray(value).dtype) for value in values]
    strategy = strategy_of(cluster)
    shared = strategy.run(tf.function(lambda: [summed(tf.constant(value)) for value in mine]))
    return [strategy.experimental_local_results(value)[0].numpy() for value in shared]


def require_same(fingerprint: str, cluster: Cluster) -> None:
    """Pass when all processes are about to learn the same.

    Raises:
        ContractError: their recipes, examples or first weights differ.
    """
    mine = np.array([int(fingerprint[:15], 16)], np.int64)
    strategy = strategy_of(cluster)
    everybodys = strategy.run(tf.function(lambda: gathered(tf.constant(mine))))
    found = strategy.experimental_local_results(everybodys)[0].numpy()
    if len(set(found.tolist())) > 1:
        raise ContractError(
            f"All {len(cluster.workers)} processes must learn from the same examples by the same recipe. "
            f"Received: {len(set(found.tolist()))} different ones. Give them the same snapshot, recipe and version of Aisle."
        )
