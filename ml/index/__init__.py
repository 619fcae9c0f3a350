"""Builds the index and judges it by exact search. Its use is in `ml.runtime.search`."""
