"""Feast's side of `benchmarks.feature_fetch`; runs in Feast's own environment and prints the seconds of wall clock and of CPU of each fetch as JSON.

python feature_fetch_feast.py <folder> <port of Redis> <core>
"""

import json
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float32

FOLDER, PORT, CORE = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])


def main():
    asked = np.load(FOLDER / "asked.npy")
    ids = pq.read_table(FOLDER / "features.parquet", columns=["item_id"])["item_id"].to_pylist()
    rows = [[{"item_id": ids[row]} for row in fetch] for fetch in asked.tolist()]
    store, services, names = repository()
    os.sched_setaffinity(0, {CORE})
    taken = {}
    for service_name, service in services.items():
        for way_name, way in {"to_dict": by_dict, "to_arrow": by_arrow}.items():
            taken[f"{service_name}, {way_name}"] = seconds = []
            processor = []
            for fetch in [*rows[:5], *rows]:  # the first few warm caches up
                started, used = time.perf_counter(), time.process_time()
                # Full names: Feast 0.67 finds the vectors it precomputed under no others.
                found = store.get_online_features(features=service, entity_rows=fetch, full_feature_names=True)
                matrix = way(found, names)
                seconds.append(time.perf_counter() - started)
                processor.append(time.process_time() - used)
                if fetch is rows[0]:
                    np.save(FOLDER / f"{service_name}, {way_name}.npy", matrix)
            seconds[:] = zip(seconds[5:], processor[5:], strict=True)
    print(json.dumps(taken))


def repository():
    names = [name for name in pq.read_schema(FOLDER / "features.parquet").names if name.startswith("feature_")]
    config = RepoConfig(
        project="shop",
        provider="local",
        registry={"path": str(FOLDER / "registry.db"), "cache_ttl_seconds": 3600},
        online_store={"type": "redis", "connection_string": f"127.0.0.1:{PORT}"},
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    (FOLDER / "registry.db").unlink(missing_ok=True)
    store = FeatureStore(config=config)
    item = Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name="item_features",
        entities=[item],
        ttl=timedelta(days=30),
        schema=[Field(name=name, dtype=Float32) for name in names],
        source=FileSource(path=str(FOLDER / "features.parquet"), timestamp_field="event_timestamp"),
    )
    services = {
        "as stored": FeatureService(name="as_stored", features=[view]),
        "precomputed": FeatureService(name="precomputed", features=[view], precompute_online=True),
    }
    store.apply([item, view, *services.values()])
    now = datetime.now(UTC)
    store.materialize(now - timedelta(days=7), now)
    return store, services, [f"item_features__{name}" for name in names]


def by_dict(response, names):
    found = response.to_dict()
    return np.array([found[name] for name in names], np.float32).T


def by_arrow(response, names):
    found = response.to_arrow()
    return np.stack([found[name].to_numpy() for name in names], axis=1).astype(np.float32)


if __name__ == "__main__":
    main()
