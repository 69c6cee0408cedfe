"""Now a package."""

from .first import f

VERSION = 2
