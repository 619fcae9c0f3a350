"""Learns the order of candidates: lambdarank over every source's scores and the features of `ml.runtime.enrich`."""
