"""Events a second of the demo shop's generator.

    python -m benchmarks.simulator --size large

Opens the shop and makes every table of its days, nothing written. Claim: `large` makes 10 M interactions in under two minutes on two
cores.
"""

import argparse
import time
from datetime import timedelta
from typing import get_args

from ml.simulator import Shop, ShopSettings
from ml.simulator.settings import ShopSize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=get_args(ShopSize), default="large")
    parser.add_argument("--days", type=int, default=120)
    arguments = parser.parse_args()
    started = time.perf_counter()
    shop = Shop.open(ShopSettings(size=arguments.size))
    opened = time.perf_counter()
    first = shop.settings.opened_on
    interactions = impressions = 0
    for day in shop.days(first, first + timedelta(days=arguments.days - 1)):
        interactions += len(day.interactions)
        impressions += len(day.impressions)
    done = time.perf_counter()
    print(f"{arguments.size}, {arguments.days} days: {interactions:,} interactions, {impressions:,} impressions")
    print(
        f"opened in {opened - started:.1f} s, all in {done - started:.1f} s, {interactions / (done - started):,.0f} interactions/s"
    )


if __name__ == "__main__":
    main()
