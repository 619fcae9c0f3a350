"""TensorFlow is imported in one place, when it is used, and always with Keras 2."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from ml.contract.errors import ContractError


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_naming_the_retriever_does_not_load_tensorflow():
    code = "import sys, ml.retrieval.stages, ml.retrieval.parity, ml.retrieval.settings, ml.retrieval.image_encoder; assert 'tensorflow' not in sys.modules"

    assert run(code).returncode == 0


def test_the_request_path_of_the_towers_does_not_load_tensorflow():
    assert run("import sys, ml.runtime.towers; assert 'tensorflow' not in sys.modules").returncode == 0


@pytest.mark.tf
def test_tensorflow_with_another_keras_is_refused(monkeypatch):
    from ml.retrieval import legacy_keras

    model = type("Model", (), {"__module__": "keras.src.models.model"})  # what Keras 3 calls itself
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(keras=SimpleNamespace(Model=model)))

    with pytest.raises(ContractError, match="TensorFlow must be imported with Keras 2"):
        legacy_keras._refuse_keras_3()
