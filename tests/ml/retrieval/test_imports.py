"""TensorFlow is imported in one place, when it is used, and always with Keras 2."""

import os
import subprocess
import sys

import pytest


def run(code: str) -> subprocess.CompletedProcess[str]:
    fresh = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    return subprocess.run([sys.executable, "-c", code], env=fresh, capture_output=True, text=True, check=False)


def test_naming_the_retriever_does_not_load_tensorflow():
    code = "import sys, ml.retrieval.stages, ml.retrieval.parity, ml.retrieval.settings; assert 'tensorflow' not in sys.modules"

    assert run(code).returncode == 0


def test_the_request_path_of_the_towers_does_not_load_tensorflow():
    assert run("import sys, ml.runtime.towers; assert 'tensorflow' not in sys.modules").returncode == 0


@pytest.mark.tf
def test_tensorflow_with_another_keras_is_refused():
    finished = run("import tensorflow as tf; tf.keras.Model; import ml.retrieval.legacy_keras")

    assert finished.returncode != 0
    assert "TensorFlow must be imported with Keras 2" in finished.stderr
