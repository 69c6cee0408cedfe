from . import part
from .part import f
