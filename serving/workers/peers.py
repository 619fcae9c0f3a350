"""The metrics of all workers behind one port: whichever is scraped asks the others, each over a socket of its own."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_SECONDS_TO_ANSWER = 1.0
_END = b"# EOF\n"
"""Ends what a worker tells: what has none is half of it, from one that ended meanwhile. To Prometheus' text format it is a comment."""


class Peers:
    """Every sample gets the label `worker`, as replicas get `instance`: sums over it are the service's. A number is never given twice, so a
    worker that was replaced ends its series, and no counter seems to go back."""

    def __init__(self, folder: Path, number: int) -> None:
        """
        Args:
            folder: of the workers' sockets, open to their owner only.
        """
        self._folder = folder
        self._path = folder / f"{number}.sock"
        self._server: asyncio.AbstractServer | None = None

    async def start(self, registry: CollectorRegistry) -> None:
        """Tell the others this worker's metrics when they ask."""

        async def tell(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with closing(writer):
                writer.write(generate_latest(registry) + _END)
                await writer.drain()

        self._server = await asyncio.start_unix_server(tell, self._path)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def exposition(self) -> bytes:
        """The metrics of every worker, this one too, in Prometheus' text format."""
        paths = sorted(self._folder.glob("*.sock"))
        told = await asyncio.gather(*map(_asked, paths))
        return generate_latest(_Joined({path.stem: text for path, text in zip(paths, told, strict=True)}))


async def _asked(path: Path) -> str | None:
    """All that a worker tells; None when it does not in time."""
    try:
        async with asyncio.timeout(_SECONDS_TO_ANSWER):
            reader, writer = await asyncio.open_unix_connection(path)
            with closing(writer):
                told = await reader.read()
                return told.removesuffix(_END).decode() if told.endswith(_END) else None
    except (OSError, TimeoutError):
        return None


class _Joined(Collector):
    def __init__(self, told: Mapping[str, str | None]) -> None:
        self._told = told

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "aisle_worker_up",
            "1 for a worker whose metrics are here, 0 for one that did not tell them.",
            labels=["worker"],
        )
        families: dict[str, Metric] = {}
        for worker, text in self._told.items():
            up.add_metric([worker], float(text is not None))
            for found in text_string_to_metric_families(text or ""):
                family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
                for sample in found.samples:
                    family.add_sample(sample.name, {**sample.labels, "worker": worker}, sample.value)
        yield up
        yield from families.values()
