import sys

try:
    import not_there_at_all as fast
except ImportError:
    import json as fast

if sys.version_info >= (3, 100):

    def dumps(value):
        return "future"

else:

    def dumps(value):
        return fast.dumps(value)
