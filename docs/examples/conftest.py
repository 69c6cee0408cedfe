# conftest.py
from runtime.testing_plugin import *  # noqa: F403
