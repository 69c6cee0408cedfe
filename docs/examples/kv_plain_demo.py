# kv_plain_demo.py
from kv_plain import KV

from runtime import call, cast, run


def main() -> None:
    pid = KV.start_link()
    cast(pid, ("put", "colour", "green"))
    print(call(pid, ("get", "colour")))
    print(call(pid, "size"))


run(main)
