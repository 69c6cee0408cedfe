# pool_demo.py
from pool import Pool, Words

from runtime import CallError, run, which_children


def main() -> None:
    Words.start_link(2, name="words")
    print(Pool.count("pool", "to be or not to be"))
    print([child.pid for child in which_children("workers")])
    try:
        Pool.count("pool", "")
    except CallError as error:
        print("failed:", error.reason)
    print([child.pid for child in which_children("workers")])
    print(Pool.count("pool", "that is the question"))


run(main)
