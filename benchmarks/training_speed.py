"""Examples a second and core: our training loop beside `fit` of the TensorFlow Recommenders tutorial, same data, same towers.

    python -m benchmarks.training_speed <folder of data>

Gowalla's published train part (`gowalla/events.parquet`). The peer is the tutorial "Recommending movies: retrieval": strings through
`StringLookup` inside the model, a shuffled and cached `tf.data`, `tfrs.tasks.Retrieval` with `FactorizedTopK` over candidates in batches
of 128, Adagrad, `model.fit`. Its query and candidate model are our own towers, fed by its lookups. It is timed as the tutorial has it, with
the metrics in `fit`, and without them, which is what its text advises to who is in a hurry. Each side runs once before the clock starts.
CPU-seconds of the process, so that a busy machine changes little.
"""

import argparse
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.leaderboard.datasets import gowalla
from benchmarks.leaderboard.snapshot import CUT, training_data
from ml.contract.events import EVENT_TYPES
from ml.dataset.examples import RetrievalExamples
from ml.dataset.split import TimeSplit, Window
from ml.features.history import SECONDS_PER_DAY
from ml.retrieval.legacy_keras import tf, tfrs
from ml.retrieval.multitask import MultitaskModel
from ml.retrieval.settings import RetrieverSettings
from ml.retrieval.stages import examples_of
from ml.retrieval.towers import CandidateTensors, QueryTensors
from ml.retrieval.train import train_retriever

EXAMPLES, WITH_METRICS_EXAMPLES = 100_000, 4_096
"""With metrics a step takes minutes of the tutorial's time; a few say what one costs."""
TUTORIAL_RATE, TUTORIAL_CANDIDATES, TUTORIAL_SHUFFLE = 0.1, 128, 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    settings = RetrieverSettings(model_type="retrieval", epochs=2)
    examples = _examples(arguments.data, settings)
    some = examples.take(np.random.default_rng(0).permutation(len(examples))[: arguments.examples])
    few = some.take(slice(0, WITH_METRICS_EXAMPLES))
    ours = _ours(some, settings)
    tutorial = Tutorial(examples, settings)
    print(f"Aisle                                {ours:9.0f} examples a CPU-second", flush=True)
    for name, rate in (
        ("the tutorial, no metrics in fit", tutorial.rate(some, metrics=False)),
        ("the tutorial as it is", tutorial.rate(few, metrics=True)),
    ):
        print(f"{name:36} {rate:9.1f} examples a CPU-second, ratio {ours / rate:.1f}", flush=True)


def _examples(data: Path, settings: RetrieverSettings) -> RetrievalExamples:
    _, [contest] = gowalla(data)
    split = TimeSplit.at(CUT + timedelta(days=7))
    days = (split.test.start - split.train.start) // SECONDS_PER_DAY
    snapshot = training_data(contest, cuts=[CUT], oldest_day=days, recent_days=35)
    examples = examples_of(snapshot, Window(split.train.start, split.test.start), settings)
    assert isinstance(examples, RetrievalExamples)
    return examples


def _ours(examples: RetrievalExamples, settings: RetrieverSettings) -> float:
    """Of the second epoch: the first one compiles the step."""
    ended: list[float] = []
    train_retriever(examples, settings, on_epoch=lambda _: ended.append(time.process_time()))
    steps = len(examples) // settings.batch_size
    return steps * settings.batch_size / (ended[1] - ended[0])


@dataclass(frozen=True)
class Tutorial:
    """The tutorial's way to train our towers."""

    examples: RetrievalExamples
    """All of them: the lookups know every id."""
    settings: RetrieverSettings

    def rate(self, examples: RetrievalExamples, *, metrics: bool) -> float:
        """Examples a CPU-second of the second epoch."""
        model = TutorialModel(self.examples, self.settings, metrics=metrics)
        model.compile(optimizer=tf.keras.optimizers.Adagrad(TUTORIAL_RATE))
        train = tf.data.Dataset.from_tensor_slices(model.as_strings(examples))
        batches = train.shuffle(TUTORIAL_SHUFFLE).batch(self.settings.batch_size, drop_remainder=True).cache()
        ended: list[float] = []
        watch = tf.keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ended.append(time.process_time()))
        model.fit(batches, epochs=2, verbose=0, callbacks=[watch])
        num_steps = len(examples) // self.settings.batch_size
        return num_steps * self.settings.batch_size / (ended[1] - ended[0])


class TutorialModel(tfrs.Model):  # type: ignore[misc]  # TensorFlow has no types
    """Strings in; our towers behind lookups."""

    def __init__(self, examples: RetrievalExamples, settings: RetrieverSettings, *, metrics: bool) -> None:
        super().__init__()
        encoder = examples.encoder
        self.user_ids, self.item_ids = (
            np.array(["", *known.ids.to_pylist()]) for known in (encoder.users, encoder.items)
        )
        self.event_names = np.array(["", *map(str, EVENT_TYPES)])
        towers = MultitaskModel(encoder, settings)
        self.query_tower, self.candidate_tower = towers.query_tower, towers.candidate_tower
        self.users, self.items, self.events = map(_lookup, (self.user_ids, self.item_ids, self.event_names))
        self.metrics_in_fit = metrics
        self.candidates = self.item_ids[1:]
        factorized = tfrs.metrics.FactorizedTopK(
            candidates=tf.data.Dataset.from_tensor_slices(self.candidates)
            .batch(TUTORIAL_CANDIDATES)
            .map(self.item_model)
        )
        self.task = tfrs.tasks.Retrieval(metrics=factorized)

    def as_strings(self, examples: RetrievalExamples) -> dict[str, Any]:
        """What a table of events holds: ids as strings."""
        queries = examples.queries
        return {
            "user_id": self.user_ids[queries.ids[:, 0]],
            "history_item_ids": self.item_ids[queries.history_items],
            "history_event_types": self.event_names[queries.history_events],
            "history_ages": queries.history_ages,
            "context": queries.context,
            "item_id": self.item_ids[examples.candidates.ids[examples.item_rows, 0]],
        }

    def item_model(self, item_ids: Any) -> Any:
        ids = tf.cast(self.items(item_ids), tf.int32)[:, None]
        unknown = tf.zeros([tf.shape(ids)[0], len(self.candidate_tower.attributes)], tf.int32)
        return self.candidate_tower(CandidateTensors(tf.concat([ids, unknown], axis=1), tf.zeros_like(ids, tf.float32)))

    def query_model(self, features: dict[str, Any]) -> Any:
        ids = tf.cast(self.users(features["user_id"]), tf.int32)[:, None]
        unknown = tf.zeros([tf.shape(ids)[0], len(self.query_tower.attributes)], tf.int32)
        return self.query_tower(
            QueryTensors(
                ids=tf.concat([ids, unknown], axis=1),
                history_items=tf.cast(self.items(features["history_item_ids"]), tf.int32),
                history_events=tf.cast(self.events(features["history_event_types"]), tf.int32),
                history_ages=features["history_ages"],
                context=features["context"],
            )
        )

    def compute_loss(self, features: dict[str, Any], training: bool = False) -> Any:  # noqa: ARG002  # the library's signature
        queries, candidates = self.query_model(features), self.item_model(features["item_id"])
        return self.task(queries, candidates, compute_metrics=self.metrics_in_fit)


def _lookup(names: np.ndarray) -> Any:
    """A string to its place; the first name is that of the unknown."""
    return tf.keras.layers.StringLookup(vocabulary=list(names[1:]), num_oov_indices=1)


if __name__ == "__main__":
    main()
