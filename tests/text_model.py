"""A stand-in for a sentence-transformer: a vector for each word piece, and nothing between them."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "blue", "cup", "##s", "spade", ".")
COLOUR, THING, SIGN = np.eye(4, dtype=np.float32)[[0, 1, 2]]
VECTORS = {"red": COLOUR, "blue": -COLOUR, "cup": THING, "spade": -THING, ".": SIGN}


def write_text_model(folder: Path, *, published: bool = False, scale: float = 1.0) -> Path:
    """Its folder, laid out as exporters do it or as models are published."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(PIECES))
    table = np.stack([VECTORS.get(piece, np.zeros(4, np.float32)) for piece in PIECES]) * np.float32(scale)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])],
        "stand_in",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "pieces"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["texts", "pieces", 4])],
        [numpy_helper.from_array(table, "table")],
    )
    place = folder / "onnx" if published else folder
    place.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), place / "model.onnx")
    return folder
