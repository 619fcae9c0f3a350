"""Which days this home holds: remembered on the first run, so that the same shop goes on the next day."""

from datetime import date, datetime, timedelta
from typing import assert_never

from pydantic import BaseModel, ConfigDict, Field

from ml.contract.errors import MappingError, PlatformError
from orchestration.settings import PlatformSettings, ShopSize, Source, yesterday

DAYS_OF_HISTORY = 120
"""A demo shop opens this long before its first run: 90 days of training, then room for older cuts."""


class Calendar(BaseModel):
    """The shop of one home folder, as `shop.json` remembers it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Source
    shop_size: ShopSize | None = Field(default=None, description="Of a demo shop.")
    shop_seed: int | None = Field(default=None, description="Of a demo shop.")
    first_day: date = Field(description="First day with events.")
    last_day: date | None = Field(default=None, description="Last complete day; null: always yesterday.")

    def until(self, now: datetime) -> date:
        """The last complete day."""
        return self.last_day or yesterday(now)

    def covers_same_shop(self, other: "Calendar") -> bool:
        return (self.source, self.shop_size, self.shop_seed) == (other.source, other.shop_size, other.shop_seed)


def calendar_of(settings: PlatformSettings, *, now: datetime) -> Calendar:
    """The remembered calendar of this home; a new one where nothing is remembered. Writes nothing."""
    path = settings.home / "shop.json"
    if not path.exists():
        return _new_calendar(settings, now=now)
    remembered = Calendar.model_validate_json(path.read_text())
    asked = _asked(settings, remembered, now=now)
    if not asked.covers_same_shop(remembered):
        raise PlatformError(
            f"{settings.home} holds another shop. Expected: {_named(asked)}. Found: {_named(remembered)}. "
            "Choose another AISLE_HOME, or delete that folder."
        )
    return _checked(asked, now=now)


def remember(settings: PlatformSettings, *, now: datetime) -> Calendar:
    """The calendar of this home, written down. Files may have grown since: their days are read anew."""
    calendar = calendar_of(settings, now=now)
    if settings.source is Source.FILES:
        read = _new_calendar(settings, now=now)
        calendar = read.model_copy(update={"first_day": min(read.first_day, calendar.first_day)})
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "shop.json").write_text(calendar.model_dump_json(indent=1))
    return calendar


def _new_calendar(settings: PlatformSettings, *, now: datetime) -> Calendar:
    match settings.source:
        case Source.DEMO:
            until = settings.as_of or yesterday(now)
            return _demo_calendar(settings, first_day=until - timedelta(days=DAYS_OF_HISTORY - 1))
        case Source.FILES:
            return _calendar_of_files(settings, now=now)
        case Source.BIGQUERY:
            return _calendar_of_mapping(settings, now=now)
        case unknown:
            assert_never(unknown)


def _asked(settings: PlatformSettings, remembered: Calendar, *, now: datetime) -> Calendar:
    """What the settings ask for, over the remembered days."""
    match settings.source:
        case Source.DEMO:
            return _demo_calendar(settings, first_day=remembered.first_day)
        case Source.FILES:
            last_day = settings.as_of or remembered.last_day
            return Calendar(source=Source.FILES, first_day=remembered.first_day, last_day=last_day)
        case Source.BIGQUERY:
            return _calendar_of_mapping(settings, now=now)
        case unknown:
            assert_never(unknown)


def _demo_calendar(settings: PlatformSettings, *, first_day: date) -> Calendar:
    return Calendar(
        source=Source.DEMO,
        shop_size=settings.shop_size,
        shop_seed=settings.shop_seed,
        first_day=first_day,
        last_day=settings.as_of,
    )


def _calendar_of_files(settings: PlatformSettings, *, now: datetime) -> Calendar:
    # Imported here: a demo shop needs no reader of files.
    from orchestration.sources.files import FilesSource

    assert settings.mapping is not None  # the settings promise it
    files = FilesSource.open(settings.mapping, data_dir=settings.data_dir)
    last_day = settings.as_of or files.last_day()
    return _checked(Calendar(source=Source.FILES, first_day=files.first_day(), last_day=last_day), now=now)


def _calendar_of_mapping(settings: PlatformSettings, *, now: datetime) -> Calendar:
    """What the mapping says and nothing else: many machines agree on it without a folder or a query in common."""
    from orchestration.sources.mapping import Mapping

    assert settings.mapping is not None  # the settings promise it
    interactions = Mapping.read(settings.mapping).interactions
    if interactions.first_day is None:
        raise MappingError(
            f"AISLE_SOURCE=bigquery needs `first_day` under `interactions` in {settings.mapping}: days are known before a table "
            "is read. Received: none. Set it to the first day to learn from."
        )
    last_day = settings.as_of or interactions.last_day
    return _checked(Calendar(source=Source.BIGQUERY, first_day=interactions.first_day, last_day=last_day), now=now)


def _checked(calendar: Calendar, *, now: datetime) -> Calendar:
    if calendar.until(now) < calendar.first_day:
        raise PlatformError(
            f"AISLE_AS_OF must be a day the shop was open, {calendar.first_day} or later. Received: {calendar.until(now)}. "
            "Unset it, or choose another AISLE_HOME."
        )
    return calendar


def _named(calendar: Calendar) -> str:
    shop = f" of size {calendar.shop_size}, seed {calendar.shop_seed}" if calendar.source is Source.DEMO else ""
    return f"source {calendar.source}{shop}"
