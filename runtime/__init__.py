"""Evergreen's runtime: Erlang/OTP's processes, links, monitors and supervisors for Python, on greenlets.

The public names, re-exported; no logic. `from runtime import spawn, send, receive, GenServer, Supervisor`.
"""

from .kernel import *  # noqa: F403
from .kernel import __all__ as _kernel_names

__all__ = list(_kernel_names)  # noqa: PLE0605
