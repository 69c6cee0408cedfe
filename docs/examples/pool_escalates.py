# pool_escalates.py
import logging
from contextlib import suppress

from pool import Pool, Words

from runtime import CallError, run, sleep, whereis

logging.disable()  # four times the reports above


def main() -> None:
    Words.start_link(2, name="words")
    workers, pool = whereis("workers"), whereis("pool")
    for _ in range(4):
        with suppress(CallError):
            Pool.count("pool", "")
    sleep(0.1)
    print("workers the same:", whereis("workers") is workers)
    print("pool the same:", whereis("pool") is pool)
    print(Pool.count("pool", "and all is well"))


run(main)
