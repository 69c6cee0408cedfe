from .core import LIMIT, Thing, extra, make

__all__ = ["LIMIT", "Thing", "extra", "make"]
