import re

DIGITS = r"[0-9a-f]+"
NUMBER = re.compile(DIGITS)
PAIR = re.compile(f"{DIGITS}-{DIGITS}")


def find(text):
    return NUMBER.findall(text)
