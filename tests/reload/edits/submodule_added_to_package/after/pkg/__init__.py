from . import new, old
