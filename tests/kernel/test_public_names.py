"""`runtime`: the public names in one place, loaded when asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.plain
def test_public_names_come_from_the_kernel_and_the_behaviours() -> None:
    import runtime
    from runtime.kernel import spawn
    from runtime.otp import GenServer

    assert runtime.spawn is spawn
    assert runtime.GenServer is GenServer
    assert {"spawn", "GenServer", "Supervisor"} <= set(dir(runtime))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = runtime.nonsense


@pytest.mark.plain
def test_importing_a_room_does_not_start_an_event_loop() -> None:
    """The store's writer and the client must start fast and small."""
    script = "import runtime.store.writer, sys; print('gevent' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"
