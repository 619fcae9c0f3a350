"""`python -m serving.workers`: one worker, started by the supervisor and by nobody else."""

import argparse
import gc
import os
import socket
from functools import partial
from importlib import import_module
from logging.config import dictConfig
from pathlib import Path
from typing import TYPE_CHECKING

# Not at the lower priority below: the threads of its linear algebra keep the one they are made with.
import numpy  # noqa: F401

from serving.pace import behind_others
from serving.settings import ServiceSettings
from serving.telemetry.logs import log_config
from serving.workers.supervisor import EMPTY, READY

if TYPE_CHECKING:
    from serving.live_bundle import LiveBundle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen-fd", type=int, required=True, help="socket all workers accept on")
    parser.add_argument("--ready-fd", type=int, required=True, help="pipe to the supervisor")
    parser.add_argument("--peers", type=Path, required=True, help="folder of the workers' own sockets")
    parser.add_argument("--number", type=int, required=True, help="of this worker; never given twice")
    parser.add_argument("--supervisor", type=int, required=True, help="its process id")
    parser.add_argument("--gently", action="store_true", help="other workers answer and come first until this one does")
    told = parser.parse_args()
    gc.disable()  # until `settle_memory`: what is made before the service answers is here to stay
    if told.gently:
        behind_others(partial(import_module, "serving.server"))
    from serving.server import run
    from serving.workers.peers import Peers

    settings = ServiceSettings()
    dictConfig(log_config(settings.log_format, settings.log_level))

    def ready(live: "LiveBundle") -> None:
        os.write(told.ready_fd, READY if live.is_open and live.refusal is None else EMPTY)
        os.close(told.ready_fd)

    run(
        settings,
        listener=socket.socket(fileno=told.listen_fd),
        on_ready=ready,
        supervisor=told.supervisor,
        gently=told.gently,
        peers=Peers(told.peers, told.number),
    )


if __name__ == "__main__":
    main()
