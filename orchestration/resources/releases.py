"""Where releases lie and how they are registered, as one resource."""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from ml.contract.release import POINTER, ReleasePointer

if TYPE_CHECKING:
    from ml.release import Registry


class ReleaseStore(dg.ConfigurableResource[None]):
    """The releases of one home folder and the registry beside them."""

    home: str

    @property
    def folder(self) -> Path:
        return Path(self.home) / "releases"

    @property
    def candidates(self) -> Path:
        """Bundles that were packed; the judged ones that won are copied from here."""
        return Path(self.home) / "candidates"

    def live_bundle(self) -> Path | None:
        """Folder of the champion; None before the first release."""
        if not (self.folder / POINTER).exists():
            return None
        return ReleasePointer.read(self.folder).bundle_in(self.folder)

    def registry(self) -> "Registry":
        """MLflow's; it is imported with the first question asked."""
        from ml.release import Registry

        return Registry.under(Path(self.home))
