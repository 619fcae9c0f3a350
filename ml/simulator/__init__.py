"""A seeded shop whose truth is known: for the demo and for tests. Not a model of any real shop, and never part of a request."""

from ml.simulator.settings import ShopSettings
from ml.simulator.shop import Shop
from ml.simulator.tables import DayOfEvents

__all__ = ["DayOfEvents", "Shop", "ShopSettings"]
