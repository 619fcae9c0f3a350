"""Packs the plain design's SavedModel: query tower, TFRS ScaNN layer and rating head, strings in and out, as the TFRS tutorial saves one.

`python -m benchmarks.serving.plain_model <folder of a shop>`
"""

import sys
from pathlib import Path
from typing import Any

import pyarrow as pa

from ml.contract.release import ReleasePointer
from ml.retrieval.legacy_keras import tf, tfrs
from ml.retrieval.serving_model import RANKING_SIGNATURE, RETRIEVAL_SIGNATURE, ServingModel
from ml.retrieval.trained import TrainedRetriever
from ml.runtime.bundle import Names, open_bundle

CANDIDATES = 500
LEAVES_SEARCHED = 0.02
REORDERED = 600


class WithScann(ServingModel):
    """The model of the bundle's own SavedModel, its exact search replaced by the ScaNN layer."""

    def __init__(self, retriever: TrainedRetriever, catalogue: pa.Table) -> None:
        super().__init__(retriever, catalogue)
        leaves = max(int(len(catalogue) ** 0.5), 2)
        self.nearest = tfrs.layers.factorized_top_k.ScaNN(
            k=CANDIDATES,
            num_leaves=leaves,
            num_leaves_to_search=max(int(leaves * LEAVES_SEARCHED), 1),
            num_reordering_candidates=REORDERED,
        )
        self.nearest.index(self.vectors[:-1], self.product_ids)

    def retrieve(self, *query: Any) -> dict[str, Any]:
        scores, product_ids = self.nearest(self._query_vectors(*query))
        return {"product_ids": product_ids, "scores": scores}


def main() -> None:
    folder = Path(sys.argv[1])
    releases = folder / "home" / "releases"
    catalogue = open_bundle(ReleasePointer.read(releases).bundle_in(releases)).items.table
    model = WithScann(TrainedRetriever.load(folder / "retriever"), catalogue)
    query = model.query_specs()
    products = tf.TensorSpec([None, None], tf.string, "product_ids")
    signatures = {
        RETRIEVAL_SIGNATURE: tf.function(model.retrieve, input_signature=query),
        RANKING_SIGNATURE: tf.function(model.rank, input_signature=[*query, products]),
    }
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    tf.saved_model.save(model, str(folder / "plain" / Names.SAVED_MODEL), signatures=signatures, options=options)


if __name__ == "__main__":
    main()
