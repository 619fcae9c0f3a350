"""How weights move. A table's row moves only in a step that looked it up: a step costs what it reads, not what there is."""

from typing import Any

from ml.retrieval.legacy_keras import tf
from ml.retrieval.settings import RetrieverSettings

WARM_UP_SHARE = 0.1


def optimizer_of(settings: RetrieverSettings, num_steps: int) -> Any:
    """The recipe's optimizer; its rate rises over the first tenth of the steps, then falls to 0 on a cosine."""
    warm_up = max(int(num_steps * WARM_UP_SHARE), 1)
    rate = tf.keras.optimizers.schedules.CosineDecay(
        0.0, max(num_steps - warm_up, 1), warmup_target=settings.learning_rate, warmup_steps=warm_up
    )
    kinds = {"adam": RowwiseAdam, "adagrad": tf.keras.optimizers.Adagrad}
    return kinds[settings.optimizer](rate)


class RowwiseAdam(tf.keras.optimizers.Adam):  # type: ignore[misc]  # TensorFlow has no types
    """Adam whose moments of a table's row rest while nothing looks the row up.

    Keras' own lets them fade in every step and moves every row of every table by what is left of them: a step costs what the
    tables hold, and a rare row goes on moving for dozens of steps after its one gradient.
    """

    def update_step(self, gradient: Any, variable: Any) -> None:
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable)
            return
        step = tf.cast(self.iterations + 1, variable.dtype)
        unbiased = tf.sqrt(1 - tf.pow(self.beta_2, step)) / (1 - tf.pow(self.beta_1, step))
        place = self._index_dict[self._var_key(variable)]
        momentum, velocity = self._momentums[place], self._velocities[place]
        rows, values = gradient.indices, gradient.values  # Keras has added up those of one row
        first = self.beta_1 * tf.gather(momentum, rows) + (1 - self.beta_1) * values
        second = self.beta_2 * tf.gather(velocity, rows) + (1 - self.beta_2) * tf.square(values)
        momentum.scatter_update(tf.IndexedSlices(first, rows))
        velocity.scatter_update(tf.IndexedSlices(second, rows))
        moved = tf.cast(self.learning_rate, variable.dtype) * unbiased * first / (tf.sqrt(second) + self.epsilon)
        variable.scatter_sub(tf.IndexedSlices(moved, rows))
