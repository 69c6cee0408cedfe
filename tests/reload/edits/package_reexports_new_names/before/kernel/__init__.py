from . import death
from .death import die
from .watch import watch

__all__ = ["death", "die", "watch"]
