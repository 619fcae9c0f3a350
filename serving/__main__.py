"""`python -m serving`: listens on AISLE_SERVICE_HOST and AISLE_SERVICE_PORT."""

import uvicorn

from serving.app import create_app
from serving.settings import ServiceSettings


def main() -> None:
    settings = ServiceSettings()
    # No access log: its lines would hold the query, and so the shop's own user ids.
    uvicorn.run(create_app(settings), host=settings.service_host, port=settings.service_port, access_log=False)


if __name__ == "__main__":
    main()
