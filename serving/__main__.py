"""`python -m serving`: listens on AISLE_SERVICE_HOST and AISLE_SERVICE_PORT."""

from logging.config import dictConfig

import uvicorn

from serving.app import create_app
from serving.settings import ServiceSettings
from serving.telemetry.logs import log_config

SECONDS_TO_FINISH = 15
"""For requests under way when the process is told to stop; the feedback log then has ten seconds to write what waits."""


def main() -> None:
    settings = ServiceSettings()
    dictConfig(log_config(settings.log_format, settings.log_level))
    uvicorn.run(
        create_app(settings),
        host=settings.service_host,
        port=settings.service_port,
        log_config=None,  # ours, above
        access_log=False,  # its lines would hold the query, and so the shop's own user ids
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )


if __name__ == "__main__":
    main()
