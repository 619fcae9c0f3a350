"""How a process readies itself before it answers."""

import asyncio
import gc

import uvicorn

from serving.server import GracefulServer
from serving.withdrawal import Withdrawal


def test_the_collector_is_spared_what_was_there_when_the_service_began_to_answer(monkeypatch):
    async def started(*_arguments: object) -> None:
        pass

    monkeypatch.setattr(uvicorn.Server, "startup", started)
    server = GracefulServer(uvicorn.Config(lambda: None), Withdrawal(), drain_seconds=0, on_ready=None, supervisor=None)
    server.started = True
    before = gc.get_freeze_count()
    gc.disable()  # as while a process starts
    try:
        asyncio.run(server.startup())
        assert gc.isenabled()
        assert gc.get_freeze_count() > before + 10_000
        assert len(gc.get_objects()) < 10_000, "what a full collection looks at"
    finally:
        gc.enable()
        gc.unfreeze()
