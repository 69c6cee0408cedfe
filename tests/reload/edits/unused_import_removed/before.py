import json
import os.path
from collections import OrderedDict, deque


def f():
    return deque([1])
