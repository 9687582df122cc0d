"""`soundloom demo`: who may see the page."""

from __future__ import annotations

import pytest

from soundloom.cli.demo import read_login
from soundloom.core.errors import ArgumentError
from soundloom.demo.page import is_private


def test_the_login_is_read_from_a_variable_that_other_users_do_not_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOGIN", "me:a:b")
    assert read_login("LOGIN") == ("me", "a:b")
    for wrong in ("", "me", "me:", ":secret"):
        monkeypatch.setenv("LOGIN", wrong)
        with pytest.raises(
            ArgumentError, match="LOGIN holds no NAME:PASSWORD; set it: export LOGIN=me:secret"
        ):
            read_login("LOGIN")


@pytest.mark.parametrize(
    ("host", "private"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("box.lan", False)],
)
def test_only_a_loopback_address_is_private(host: str, private: bool) -> None:
    assert is_private(host) is private
