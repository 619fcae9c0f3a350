"""Where a shop's raw tables come from, and their landing. Nothing is judged or cleaned here."""

from datetime import date

from orchestration.settings import PlatformSettings
from orchestration.sources.files import FilesSource
from orchestration.sources.source import Source

__all__ = ["FilesSource", "Source", "days_of"]


def days_of(settings: PlatformSettings) -> tuple[date, date]:
    """First and last day of the mapped files. Reads them through unless the mapping names both days.

    Raises:
        MappingError: the mapping, or a file of it, cannot be used.
    """
    assert settings.mapping is not None  # PlatformSettings refuses files without one
    source = FilesSource.open(settings.mapping, data_dir=settings.data_dir)
    return source.first_day(), source.last_day()
