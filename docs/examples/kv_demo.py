# kv_demo.py
from kv import KV

from runtime import run, sleep, sys


def main() -> None:
    KV.start_link(name="kv")
    KV.put("kv", "colour", "green")
    KV.put("kv", "word", "hush", keep=0.05)
    print(KV.get("kv", "colour"), KV.get("kv", "word"))
    sleep(0.1)
    print(KV.get("kv", "colour"), KV.get("kv", "word"))
    print(sys.get_state("kv"))


run(main)
