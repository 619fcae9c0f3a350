"""The one place where TensorFlow is imported: `from ml.retrieval.legacy_keras import tf, tfrs`."""

import os
import sys
import warnings

from ml.contract.errors import ContractError

# TensorFlow Recommenders 0.7 subclasses Keras 2. TensorFlow decides between Keras 2 and 3 once, when it is first imported.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what goes wrong raises; the rest is about GPUs nobody asked for


def _refuse_keras_3() -> None:
    keras = sys.modules.get("tensorflow") and sys.modules["tensorflow"].keras.Model.__module__
    if keras and not keras.startswith("tf_keras"):
        raise ContractError(
            f"TensorFlow must be imported with Keras 2. Received: TensorFlow already imported with {keras.split('.')[0]} 3. "
            "Import `ml.retrieval.legacy_keras` before `tensorflow`, or set TF_USE_LEGACY_KERAS=1."
        )


_refuse_keras_3()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # deprecations inside TensorFlow and its protobufs, none of them ours to mend
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

tf.get_logger().setLevel("ERROR")

__all__ = ["tf", "tfrs"]
