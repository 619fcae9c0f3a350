"""The metrics of several workers on one page."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.parser import text_string_to_metric_families

from serving.workers import peers
from serving.workers.peers import Peers


def registry(*, lists: int) -> CollectorRegistry:
    made = CollectorRegistry()
    Counter("lists_total", "Lists made.", ["surface"], registry=made).labels("homepage").inc(lists)
    Histogram("seconds", "How long.", buckets=(1.0,), registry=made).observe(0.5)
    return made


def samples(page: bytes) -> dict[tuple[str, str], float]:
    """Value by name and worker."""
    return {
        (sample.name, sample.labels["worker"]): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


async def page_of_two(folder: Path) -> bytes:
    first, second = Peers(folder, 1), Peers(folder, 2)
    await first.start(registry(lists=3))
    await second.start(registry(lists=4))
    try:
        return await first.exposition()
    finally:
        await first.stop()
        await second.stop()


def test_every_sample_of_every_worker_is_there_under_its_number(tmp_path: Path) -> None:
    page = asyncio.run(page_of_two(tmp_path))
    found = samples(page)
    assert (found["lists_total", "1"], found["lists_total", "2"]) == (3, 4)
    assert (found["seconds_count", "1"], found["seconds_count", "2"]) == (1, 1)
    assert (found["aisle_worker_up", "1"], found["aisle_worker_up", "2"]) == (1, 1)
    assert page.count(b"# TYPE lists_total counter") == 1, "a name is described once"


def test_a_worker_that_has_gone_leaves_the_page(tmp_path: Path) -> None:
    asyncio.run(page_of_two(tmp_path))
    assert list(tmp_path.glob("*.sock")) == []


def test_a_worker_that_does_not_tell_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_SECONDS_TO_ANSWER", 0.2)

    async def page() -> bytes:
        hung = asyncio.Event()

        async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await hung.wait()
            writer.close()

        async with await asyncio.start_unix_server(silent, tmp_path / "2.sock"):
            (tmp_path / "3.sock").touch()  # what a killed one leaves
            first = Peers(tmp_path, 1)
            await first.start(registry(lists=3))
            told = await first.exposition()
            await first.stop()
            hung.set()
            return told

    found = samples(asyncio.run(page()))
    assert {worker: found["aisle_worker_up", worker] for worker in "123"} == {"1": 1, "2": 0, "3": 0}
    assert found["lists_total", "1"] == 3


@pytest.mark.parametrize(
    "half",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"# TYPE lists_total counter\nlists_total{surf", id="in the middle of a sample"),
        pytest.param(b"# TYPE lists_total counter\nlists_total 3.0\n", id="between two samples"),
        pytest.param("# HELP lists_total Lists \u00fc".encode()[:-1], id="in the middle of a letter"),
    ],
)
def test_half_of_what_a_worker_had_to_tell_is_as_good_as_nothing(tmp_path: Path, half: bytes) -> None:
    async def page() -> bytes:
        async def tell_half(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(half)
            writer.close()

        async with await asyncio.start_unix_server(tell_half, tmp_path / "2.sock"):
            first = Peers(tmp_path, 1)
            await first.start(registry(lists=3))
            told = await first.exposition()
            await first.stop()
            return told

    found = samples(asyncio.run(page()))
    assert (found["aisle_worker_up", "1"], found["aisle_worker_up", "2"]) == (1, 0)
    assert found["lists_total", "1"] == 3
    assert ("lists_total", "2") not in found
