# uplink_demo.py
from uplink import Uplink

from runtime import call, run, send


def main() -> None:
    answers = [False, True, True]  # what dialling will bring

    def dial() -> bool:
        print("dialling")
        return answers.pop(0)

    uplink = Uplink.start_link(dial)
    print(call(uplink, "state"))
    print(call(uplink, ("send", "hello")))  # waits for the second try, a second later
    send(uplink, "lost")
    print(call(uplink, ("send", "here again")))


run(main)
