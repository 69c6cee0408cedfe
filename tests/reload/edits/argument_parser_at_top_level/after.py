"""Does other things."""

import argparse

parser = argparse.ArgumentParser(prog="things", description=__doc__)
parser.add_argument("--size", type=int, default=2)
parser.add_argument("--weight", type=int, default=7)


def parse(*arguments):
    return vars(parser.parse_args(arguments))
