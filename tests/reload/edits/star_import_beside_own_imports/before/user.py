import json
from mod import *


def use():
    return json.dumps(f())
