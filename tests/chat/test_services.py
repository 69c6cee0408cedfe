"""The chat's small servers: how they end, also before they have begun."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from apps.chat.domain.load import Load, LoadSampler, LoadSettings
from apps.chat.domain.registration import Registrar
from apps.chat.domain.sweeper import Sweeper
from runtime.kernel import KILL, Down, hooks, is_alive, monitor, receive_match, send, unlink
from runtime.kernel import exit as send_exit
from runtime.kernel.watermarks import set_watermarks
from runtime.otp import GenServer
from runtime.otp.outcome import StartError
from runtime.testing import settle
from tests.chat.world import end


def kill(pid: Any) -> None:
    ref = monitor(pid)
    unlink(pid)
    send_exit(pid, KILL)
    receive_match(lambda m: m.__class__ is Down and m.ref is ref)


@pytest.mark.parametrize("kind", [LoadSampler, Registrar, Sweeper])
def test_one_whose_init_fails_says_that_and_nothing_else(
    kind: type[GenServer], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its on_exit runs all the same, with what `init` has got done: nothing here."""
    args = {LoadSampler: (None,), Registrar: (None, []), Sweeper: ()}[kind]
    with caplog.at_level(logging.ERROR), pytest.raises(StartError):
        kind.start(*args)
    settle()
    assert "has no attribute 'timer'" not in caplog.text


class Deaf(GenServer):
    def handle_info(self, message: Any) -> None:
        receive_match(lambda m: m == "go on")


def test_a_crash_of_the_sampler_loses_no_long_mailbox_and_invents_none() -> None:
    load = Load(LoadSettings(long_mailboxes_max=1))
    sampler = LoadSampler.start_link(load)
    deaf = [Deaf.start_link() for _ in range(3)]
    kill(sampler)
    for pid in deaf:
        set_watermarks(pid, 10, 1)
        for n in range(20):
            send(pid, n)
    settle()
    sampler = LoadSampler.start_link(load)
    assert hooks.on_mailbox.count(load.on_mailbox) == 1
    load.sample()
    assert (load.busy, load.long_mailboxes) == (True, 3)
    for pid in deaf:
        kill(pid)
    load.sample()
    assert (load.busy, load.long_mailboxes) == (False, 0)
    end(sampler)
    assert not is_alive(sampler)
    assert load.on_mailbox not in hooks.on_mailbox
