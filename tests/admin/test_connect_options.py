"""What the options say about which node is meant, and what is wrong with them."""

from __future__ import annotations

import argparse

import pytest

from runtime.admin.client import NotConnected
from runtime.admin.connect import Unfit, add_options, connect

pytestmark = pytest.mark.plain


def to(*arguments):
    parser = argparse.ArgumentParser()
    add_options(parser)
    return connect(parser.parse_args(arguments))


def test_a_config_that_is_not_there_is_told(tmp_path):
    with pytest.raises(Unfit, match=r"there is no .*nope\.toml"):
        to("--config", str(tmp_path / "nope.toml"))


@pytest.mark.parametrize("text", ["[node", "node = 5", "[node]\ndata_dir = 5", "\0"])
def test_a_config_that_says_nothing_sensible_is_told(tmp_path, text):
    (tmp_path / "odd.toml").write_text(text)
    with pytest.raises(Unfit, match=r"odd\.toml cannot be read"):
        to("--config", str(tmp_path / "odd.toml"))


def test_a_folder_is_no_config(tmp_path):
    with pytest.raises(Unfit, match="cannot be read"):
        to("--config", str(tmp_path))


def test_without_one_the_data_directory_is_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotConnected, match=r"var/admin\.sock"):
        to()


def test_the_data_directory_is_that_of_the_config(tmp_path):
    (tmp_path / "node.toml").write_text(f'[node]\ndata_dir = "{tmp_path}/elsewhere"\n')
    with pytest.raises(NotConnected, match=r"elsewhere/admin\.sock"):
        to("--config", str(tmp_path / "node.toml"))


def test_a_named_socket_needs_no_config(tmp_path):
    with pytest.raises(NotConnected, match=r"here\.sock"):
        to("--config", str(tmp_path / "nope.toml"), "--socket", str(tmp_path / "here.sock"))
