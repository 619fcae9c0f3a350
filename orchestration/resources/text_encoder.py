"""The encoder of texts of this process, as a resource."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from ml.contract.errors import ContractError, PlatformError
from ml.dataset.text_encoder import TextEncoder


class TextEncoderResource(dg.ConfigurableResource[None]):
    """Where it lies on this machine. Nothing is downloaded."""

    path: str | None = Field(
        default=None, description="Folder with model.onnx and vocab.txt; no vectors of texts when null."
    )

    def open(self) -> TextEncoder | None:
        """None where none is named.

        Raises:
            PlatformError: there is none where one is named.
        """
        if self.path is None:
            return None
        try:
            return TextEncoder.open(Path(self.path))
        except ContractError as error:
            raise PlatformError(f"AISLE_TEXT_ENCODER: {error}") from error
