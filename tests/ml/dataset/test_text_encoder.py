"""Vectors of texts by an encoder that lies on this machine."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from ml.contract.errors import ContractError
from ml.dataset.text_encoder import BATCH, TextEncoder
from ml.dataset.word_pieces import WordPieces
from tests.text_model import PIECES, write_text_model

NUMBERS = {piece: number for number, piece in enumerate([*PIECES, "caf", "##e", "Cafe", "中", "!", "##x"])}


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Red CUPS", ["red", "cup", "##s"]),
        ("Café!", ["caf", "##e", "!"]),
        ("red中cup", ["red", "中", "cup"]),
        ("red\u200b\tcup\n", ["red", "cup"]),
        ("re\u00add", ["red"]),
        ("cupq", ["[UNK]"]),
        ("x" * 101, ["[UNK]"]),
        ("", []),
    ],
)
def test_words_are_cut_into_the_longest_pieces_there_are(text: str, pieces: list[str]):
    found = WordPieces(NUMBERS, lower_case=True).of(text, at_most=256)
    assert [list(NUMBERS)[number] for number in found] == ["[CLS]", *pieces, "[SEP]"]


def test_a_long_text_is_cut_off_before_its_end():
    found = WordPieces(NUMBERS, lower_case=True).of("red " * 50, at_most=6)
    assert found == [NUMBERS["[CLS]"], *[NUMBERS["red"]] * 4, NUMBERS["[SEP]"]]


def test_case_and_accents_count_where_the_model_says_so(tmp_path: Path):
    (tmp_path / "vocab.txt").write_text("\n".join(NUMBERS), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    pieces = WordPieces.load(tmp_path)
    assert pieces.of("Cafe cafe", at_most=9)[1:-1] == [NUMBERS["Cafe"], NUMBERS["caf"], NUMBERS["##e"]]
    assert pieces.of("Café", at_most=9)[1:-1] == [NUMBERS["[UNK]"]]


@pytest.mark.parametrize("published", [False, True])
def test_a_texts_vector_is_the_mean_of_its_pieces_of_length_one(tmp_path: Path, published: bool):
    encoder = TextEncoder.open(write_text_model(tmp_path, published=published))
    found = encoder.encode(["red cup", "Blue spades", "red red cup"])
    assert encoder.length == 4
    np.testing.assert_allclose(found[0], np.array([1, 1, 0, 0]) / 2**0.5, atol=1e-6)
    np.testing.assert_allclose(found[1], np.array([-1, -1, 0, 0]) / 2**0.5, atol=1e-6)
    np.testing.assert_allclose(found[2], np.array([2, 1, 0, 0]) / 5**0.5, atol=1e-6)


def test_a_text_has_the_same_vector_alone_and_among_longer_ones(tmp_path: Path):
    encoder = TextEncoder.open(write_text_model(tmp_path))
    texts = ["red cup " * (number % 7) + "spade" for number in range(BATCH + 5)]
    together = encoder.encode(texts)
    for place in (0, 3, BATCH, BATCH + 4):
        np.testing.assert_allclose(together[place], encoder.encode([texts[place]])[0], atol=1e-6)
    assert encoder.encode([]).shape == (0, 4)


def test_another_model_has_another_digest(tmp_path: Path):
    one, same, other = (
        TextEncoder.open(write_text_model(tmp_path / name, scale=scale)).digest
        for name, scale in (("a", 1.0), ("b", 1.0), ("c", 2.0))
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (
            ["model.onnx"],
            r"Received: .*, which lacks model\.onnx or onnx/model\.onnx\. Put an exported sentence-transformer",
        ),
        (["vocab.txt"], r"Received: .*, which lacks vocab\.txt\. Put"),
        (
            ["vocab.txt", "model.onnx"],
            r"which lacks model\.onnx or onnx/model\.onnx, vocab\.txt\. Put .*none is downloaded",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, missing: list[str], message: str):
    folder = write_text_model(tmp_path)
    for name in missing:
        (folder / name).unlink()
    with pytest.raises(ContractError, match=message):
        TextEncoder.open(folder)


def test_a_folder_that_is_nowhere_is_named(tmp_path: Path):
    with pytest.raises(ContractError, match=rf"Received: {re.escape(str(tmp_path))}/nowhere, which is not there"):
        TextEncoder.open(tmp_path / "nowhere")


def test_another_kind_of_vocabulary_or_graph_is_refused(tmp_path: Path):
    folder = write_text_model(tmp_path / "a")
    (folder / "vocab.txt").write_text("<s>\n</s>\n")
    with pytest.raises(ContractError, match=r"one a line\. Received: 2 lines without \[CLS\], \[SEP\], \[UNK\]\. Take"):
        TextEncoder.open(folder)
    folder = write_text_model(tmp_path / "b")
    graph = onnx.load(folder / "model.onnx")
    del graph.graph.output[0].type.tensor_type.shape.dim[1]
    onnx.save(graph, folder / "model.onnx")
    with pytest.raises(
        ContractError, match=r"must take attention_mask, input_ids, token_type_ids and answer .* Export the"
    ):
        TextEncoder.open(folder)
