"""Does things."""

import argparse

parser = argparse.ArgumentParser(prog="things", description=__doc__)
parser.add_argument("--size", type=int, default=1)
parser.add_argument("--colour", default="red")


def parse(*arguments):
    return vars(parser.parse_args(arguments))
