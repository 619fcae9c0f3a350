"""Chance that nobody gets twice."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from serving.chance import AT_ONCE, Chance

MANY = 3 * AT_ONCE // 8


def test_nobody_gets_the_same_twice_whatever_the_threads():
    chance = Chance()
    with ThreadPoolExecutor(4) as pool:
        names = [name for names in pool.map(lambda _: [chance.name() for _ in range(MANY)], range(4)) for name in names]
    assert len(set(names)) == len(names) == 4 * MANY
    assert all(re.fullmatch("[0-9a-f]{16}", name) for name in names)


def test_numbers_fill_63_bits():
    chance = Chance()
    numbers = [chance.number() for _ in range(MANY)]
    assert 0 <= min(numbers) < 2**58  # by chance false once in e^48
    assert 2**62 < max(numbers) < 2**63


FORK = """
import os
from serving.chance import CHANCE
CHANCE.name()
child = os.fork()
os.write(1, (CHANCE.name() + '\\n').encode())  # at once: two prints may meet in one line
if child:
    os.waitpid(child, 0)
"""


def test_a_forked_process_draws_its_own():
    """In a process of its own: this one may have threads, and those do not survive a fork."""
    said = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True).stdout.split()
    assert len(said) == len(set(said)) == 2
