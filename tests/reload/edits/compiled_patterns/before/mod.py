import re

DIGITS = r"\d+"
NUMBER = re.compile(DIGITS)
PAIR = re.compile(f"{DIGITS}-{DIGITS}")


def find(text):
    return NUMBER.findall(text)
