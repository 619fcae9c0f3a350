"""Vectors of pictures by EfficientNetB0 with weights that lie on this machine."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.contract.errors import ContractError
from ml.dataset.pictures import SIDE, Pixels
from ml.retrieval.image_encoder import DEVIATIONS, ImageEncoder

MEANS = (0.485, 0.456, 0.406)


def pictures(count: int) -> list[Pixels]:
    rng = np.random.default_rng(3)
    return [
        np.full((SIDE, SIDE, 3), colour, np.uint8) // rng.integers(1, 4, (SIDE, SIDE, 1), np.uint8)
        for colour in rng.integers(0, 255, (count, 3), np.uint8)
    ]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A file of random weights, laid out as Keras publishes its own."""
    from ml.retrieval.legacy_keras import tf

    tf.keras.utils.set_random_seed(1)
    network = tf.keras.applications.EfficientNetB0(include_top=False, weights=None)
    # By its kind: its name has a number where the process has made such a network before.
    [normalise] = [layer for layer in network.layers if isinstance(layer, tf.keras.layers.Normalization)]
    folder = tmp_path_factory.mktemp("weights")

    def written(variances: tuple[float, ...] = (1.0, 1.0, 1.0), *, means: tuple[float, ...] = MEANS) -> Path:
        normalise.set_weights([np.array(means), np.array(variances), np.array(0)])
        path = folder / f"{hash((variances, means))}.h5"
        network.save_weights(path)
        return path

    return written


@pytest.mark.tf
def test_a_picture_has_a_vector_alone_and_among_others(weights: Callable[..., Path]):
    encoder, some = ImageEncoder.open(weights()), pictures(5)
    found = encoder.encode(some)
    assert found.shape == (5, encoder.length)
    assert found.dtype == np.float32
    scale = np.abs(found).max()
    np.testing.assert_allclose(encoder.encode(some[2:3])[0], found[2], atol=1e-3 * scale)
    assert np.abs(found[0] - found[1]).max() > 1e-2 * scale
    assert encoder.encode([]).shape == (0, encoder.length)


@pytest.mark.tf
def test_the_published_file_says_what_keras_says_with_it(weights: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    """Keras downloads that file for `weights="imagenet"` and scales pictures for it, which it does not do for the same file by its path."""
    from tf_keras.src.applications import efficientnet

    from ml.retrieval.legacy_keras import tf

    path, some = weights(DEVIATIONS), pictures(3)
    monkeypatch.setattr(efficientnet.data_utils, "get_file", lambda *_, **__: str(path))
    keras: Any = tf.keras.applications.EfficientNetB0(include_top=False, weights="imagenet", pooling="avg")
    expected = keras(np.stack(some).astype(np.float32), training=False).numpy()
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ImageEncoder.open(path).encode(some), expected, atol=1e-3 * scale)
    by_path: Any = tf.keras.applications.EfficientNetB0(include_top=False, weights=str(path), pooling="avg")
    assert np.abs(by_path(np.stack(some).astype(np.float32)).numpy() - expected).max() > 1e-2 * scale


@pytest.mark.tf
def test_other_weights_see_pictures_as_they_were_learned_from(weights: Callable[..., Path]):
    """Of variances that are variances nothing is scaled: these say what the published file's deviations mean."""
    found, expected = (
        ImageEncoder.open(weights(variances)).encode(pictures(2))
        for variances in (tuple(np.square(DEVIATIONS).tolist()), DEVIATIONS)
    )
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.tf
def test_other_weights_have_another_digest(weights: Callable[..., Path], tmp_path: Path):
    path = weights()
    (tmp_path / "copy.h5").write_bytes(path.read_bytes())
    one, same, other = (
        ImageEncoder.open(each).digest for each in (path, tmp_path / "copy.h5", weights(means=(0, 0, 0)))
    )
    assert one == same != other


@pytest.mark.tf
def test_weights_of_another_network_are_refused_at_the_first_picture(tmp_path: Path):
    from ml.retrieval.legacy_keras import tf

    tf.keras.applications.EfficientNetB0(include_top=True, weights=None).save_weights(tmp_path / "top.h5")
    (tmp_path / "broken.h5").write_text("nothing")
    for name in ("top.h5", "broken.h5"):
        encoder = ImageEncoder.open(tmp_path / name)
        with pytest.raises(
            ContractError,
            match=rf"without its top are an \.h5 file, .*{name}, of which Keras says: .* Put that file there",
        ):
            encoder.encode(pictures(1))


@pytest.mark.parametrize(("name", "state"), [("nowhere.h5", "is not there"), ("weights.bin", r"is no \.h5 file")])
def test_a_file_that_is_none_is_refused_at_once(tmp_path: Path, name: str, state: str):
    (tmp_path / "weights.bin").write_text("nothing")
    with pytest.raises(
        ContractError,
        match=rf"efficientnetb0_notop\.h5 .*Received: {re.escape(str(tmp_path))}/{name}, which {state}\. .*none is downloaded",
    ):
        ImageEncoder.open(tmp_path / name)
