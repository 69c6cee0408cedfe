from .core import LIMIT, Thing, make

__all__ = ["LIMIT", "Thing", "make"]
