"""Fits the candidate sources that are tables: item-item, bought together, popular. Their use is in `ml.runtime`."""
