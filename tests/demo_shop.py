"""The tiny demo shop of the tests."""

from datetime import date, timedelta

from ml.simulator import ShopSettings

AS_OF = date(2026, 6, 30)
NUM_DAYS = 120


def tiny_settings(*, seed: int = 7, drift_from: date | None = None) -> ShopSettings:
    return ShopSettings(size="tiny", seed=seed, opened_on=AS_OF - timedelta(days=NUM_DAYS - 1), drift_from=drift_from)
