"""Hosts that ask who we are: libvirt's own test host, with users and passwords."""

from __future__ import annotations

import getpass
import logging
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.config import Settings
from engine.context import TaskContext
from engine.errors import HostUnreachable
from engine.providers.libvirt.connection import Connection
from engine.providers.libvirt.login import Login
from engine.providers.libvirt.opening import open_libvirt

SECRET = "open sesame"


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A host that lets two users in, one of them by the name that we have here."""
    users = "".join(f"<user password='{SECRET}'>{name}</user>" for name in ("admin", getpass.getuser()))
    (tmp_path / "node.xml").write_text(f"<node><auth>{users}</auth></node>")
    return f"test://{tmp_path}/node.xml"


def kind_of(uri: str, login: Login) -> str:
    connection = Connection(uri, login=login)
    try:
        kind: str = connection.call(lambda conn: conn.getType())
        return kind
    finally:
        connection.close()


def test_name_and_password_open_the_host(uri: str) -> None:
    assert kind_of(uri, Login("admin", SECRET)) == "TEST"


def test_without_a_name_it_is_our_own(uri: str) -> None:
    assert kind_of(uri, Login(password=SECRET)) == "TEST"


def test_a_missing_password_is_asked_for_once(uri: str) -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return SECRET

    login = Login("admin", ask=ask)
    assert [kind_of(uri, login), kind_of(uri, login)] == ["TEST", "TEST"]
    assert asked == [f"Password of 'admin' at '{uri}': "]


@pytest.mark.parametrize(
    "login", [Login("admin", "open barley"), Login("nobody", SECRET), Login("admin"), Login("admin", ask=lambda prompt: None)]
)
def test_who_is_not_let_in_is_told_how(uri: str, login: Login) -> None:
    with pytest.raises(HostUnreachable, match=r"does not let '(admin|nobody)' in") as refused:
        kind_of(uri, login)
    assert "--libvirt-user" in (refused.value.hint or "")


def test_the_user_may_take_their_time(uri: str) -> None:
    login = Login("admin", ask=lambda prompt: SECRET)
    connection = Connection(uri, login=login, open_timeout_s=5)
    assert connection.alive
    connection.close()


def test_a_host_that_asks_for_nothing_is_told_nothing() -> None:
    def ask(prompt: str) -> str:
        raise AssertionError(prompt)

    assert kind_of("test:///default", Login(ask=ask)) == "TEST"


def test_settings_say_who_we_are(uri: str) -> None:
    settings = Settings(libvirt_url=uri, libvirt_username="admin", libvirt_password=SECRET)
    with TaskContext.root(Bus(), "test", run_id="r") as ctx:
        provider = open_libvirt(ctx, uri, settings, start=True)
    assert provider is not None
    provider.close()


def test_the_password_is_in_no_message(uri: str, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(libvirt_url=uri, libvirt_username="nobody", libvirt_password=SECRET)
    with caplog.at_level(logging.DEBUG), TaskContext.root(Bus(), "test", run_id="r") as ctx, pytest.raises(HostUnreachable) as refused:
        open_libvirt(ctx, uri, settings, start=True)
    assert SECRET not in f"{refused.value} {refused.value.hint} {refused.value.__cause__} {settings!r} {caplog.text}"
