"""`python -m tests.local_gcp`: the servers by hand, until Ctrl-C."""

import argparse
import signal
import sys
import threading

from tests.local_gcp.local_gcp import LocalGcp


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.local_gcp", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="of the BigQuery REST server; default: a free one")
    parser.add_argument("--project", default="aisle-local")
    parser.add_argument("--bucket", default="aisle-local")
    parser.add_argument("--print-env", action="store_true", help="print `export` lines for a shell")
    options = parser.parse_args()
    with LocalGcp(project=options.project, bucket=options.bucket, port=options.port) as local:
        form = "export {}={}" if options.print_env else "{}={}"
        sys.stdout.writelines(form.format(*item) + "\n" for item in local.environment().items())
        sys.stdout.flush()
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        ended.wait()
        sys.stderr.write(local.log())


if __name__ == "__main__":
    main()
