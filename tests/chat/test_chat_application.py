"""The application's settings as a whole, and its tree."""

from __future__ import annotations

import pytest

from apps.chat.application import Chat
from runtime.config import load

pytestmark = pytest.mark.plain


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("chat.native.max_body=300000", "chat.native.max_body"),
        ("chat.registration.gateways=webhook", "chat.registration.webhook_url"),
        ("chat.registration.gateways=apprise", "chat.registration.apprise_urls"),
        ("chat.login.token_valid=1000", "chat.login.token_valid"),
    ],
)
def test_settings_that_do_not_go_together_are_named(override: str, key: str) -> None:
    assert list(Chat.config_problems(load(None, Chat.schema, [override]))) == [key]


def test_the_defaults_go_together() -> None:
    assert not Chat.config_problems(load(None, Chat.schema))
