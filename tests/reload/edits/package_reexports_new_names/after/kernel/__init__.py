from . import death
from .death import Watcher, die
from .interrupt import guard, stop
from .watch import watch

__all__ = ["Watcher", "death", "die", "guard", "stop", "watch"]
