"""The certificates that connections are tested with; and no test may leave a socket behind."""

from tests.net.conftest import _no_socket_left, authority

__all__ = ["_no_socket_left", "authority"]
