"""`python -m serving`: listens on AISLE_SERVICE_HOST and AISLE_SERVICE_PORT, with AISLE_WORKERS processes."""

import gc
import signal
import sys
from logging.config import dictConfig
from types import FrameType

from serving.settings import ServiceSettings
from serving.telemetry.logs import log_config


def main() -> int:
    signal.signal(signal.SIGTERM, _end)  # told to stop before there is anything to stop
    settings = ServiceSettings()
    dictConfig(log_config(settings.log_format, settings.log_level))
    # Imported here: the supervisor of several workers needs none of what answers requests.
    if settings.workers > 1:
        from serving.workers.supervisor import supervise

        return supervise(settings)
    gc.disable()  # until `settle_memory`: what is made before the service answers is here to stay
    from serving.server import run

    run(settings)
    return 0


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
