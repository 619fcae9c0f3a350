"""Build the compiled part of the request path: python -m tools.build_kernel

Needs a C compiler, once; the service runs without one. Where there is none, LightGBM scores instead: the same numbers, later.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ml.runtime.kernel import NATIVE, library, loaded

# No two operations may become one that rounds once: NumPy rounds twice, and both must give the same numbers.
FLAGS = ("-std=c11", "-O3", "-Wall", "-fPIC", "-shared", "-ffp-contract=off")


def build() -> Path | None:
    """The library, built unless one that works here is there already; None without a compiler. A crash half-way leaves nothing behind."""
    built, compiler = library(), shutil.which(os.environ.get("CC", "cc"))
    if loaded(built) is not None:
        return built
    if compiler is None:
        return None
    draft = built.with_suffix(f".{os.getpid()}")
    try:
        subprocess.run([compiler, *FLAGS, "-o", str(draft), *map(str, sorted(NATIVE.glob("*.c"))), "-lm"], check=True)
        draft.rename(built)
    finally:
        draft.unlink(missing_ok=True)
    return built


def main() -> int:
    built = build()
    if built is None:
        sys.stdout.write(
            "No C compiler: lists are made by NumPy and LightGBM, the same ones, several times slower. On Debian or "
            "Ubuntu:\n\n    apt-get update && apt-get install -y gcc libc6-dev\n\nthen python -m tools.build_kernel\n"
        )
        return 1
    sys.stdout.write(f"The compiled part of the request path: {built.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
