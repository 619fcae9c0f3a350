"""The network for pictures of this process, as a resource."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from ml.contract.errors import ContractError, PlatformError
from ml.dataset.pictures import PictureFolder
from ml.retrieval.image_encoder import ImageEncoder


class ImageEncoderResource(dg.ConfigurableResource[None]):
    """Where its weights and the pictures lie on this machine. Nothing is downloaded."""

    weights: str | None = Field(
        default=None, description="Weights of EfficientNetB0; no vectors of pictures when null."
    )
    folder: str | None = Field(default=None, description="Folder of the pictures; needed with weights.")

    def open(self) -> tuple[ImageEncoder, PictureFolder] | None:
        """None where no weights are named.

        Raises:
            PlatformError: there are none where they are named, or no folder.
        """
        if self.weights is None or self.folder is None:
            return None
        try:
            encoder = ImageEncoder.open(Path(self.weights))
        except ContractError as error:
            raise PlatformError(f"AISLE_IMAGE_WEIGHTS: {error}") from error
        try:
            return encoder, PictureFolder.open(Path(self.folder))
        except ContractError as error:
            raise PlatformError(f"AISLE_IMAGE_DIR: {error}") from error
