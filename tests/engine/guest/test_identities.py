"""Keys of the user's own, for machines that exist already."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.context import TaskContext
from engine.errors import SshRefused
from engine.guest.dial import Dialer, DirectDialer
from engine.guest.identities import is_locked
from engine.guest.shell import OwnLogin, SshTarget, ssh_config_block
from engine.guest.ssh import connect, hang_up, run
from tests.engine.guest.conftest import Sshd

PASSPHRASE = "open sesame"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys, and no agent."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


@pytest.fixture
def own(shared_sshd: Sshd, target: SshTarget) -> SshTarget:
    """The running server as a machine of the user's, whose prefix key it does not take."""
    return replace(target, key_file=Path("/nonexistent"), own=OwnLogin())


def new_key(path: Path, kind: str = "ed25519", passphrase: str = "", *options: str) -> Path:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen here")
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", path, *options], check=True, timeout=30)
    return path


def encrypted(shared_sshd: Sshd, path: Path) -> Path:
    """Return a copy of the key that the server takes, under a passphrase."""
    shutil.copy(shared_sshd.folder / "id_rsa", path)
    path.chmod(0o600)
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen here")
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", path], check=True, timeout=30)
    return path


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A running agent that holds nothing."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("no ssh-agent here")
    path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield path
        process.terminate()


def add(key: Path) -> None:
    subprocess.run(["ssh-add", "-q", key], check=True, timeout=30, env=dict(os.environ))


def gets_in(ctx: TaskContext, target: SshTarget, dialer: Dialer | None = None) -> bool:
    client = connect(ctx, target, dialer or DirectDialer(), 20)
    try:
        return run(ctx, client, "true").code == 0
    finally:
        hang_up(client)


def test_the_key_that_fits_is_found_among_several(ctx: TaskContext, own: SshTarget, shared_sshd: Sshd, tmp_path: Path) -> None:
    keys = (new_key(tmp_path / "other"), shared_sshd.folder / "id_rsa")
    assert gets_in(ctx, replace(own, own=OwnLogin(keys)))


def test_without_keys_those_in_the_home_are_tried(ctx: TaskContext, own: SshTarget, shared_sshd: Sshd, home: Path) -> None:
    shutil.copy(shared_sshd.folder / "id_rsa", home / ".ssh" / "id_rsa")
    assert gets_in(ctx, own)


def test_a_refusal_names_every_key_that_was_offered(ctx: TaskContext, own: SshTarget, tmp_path: Path) -> None:
    keys = (new_key(tmp_path / "one"), new_key(tmp_path / "two", "ecdsa"))
    with pytest.raises(SshRefused, match=f"key '{keys[0]}' and key '{keys[1]}'"):
        gets_in(ctx, replace(own, own=OwnLogin(keys)))


def test_an_encrypted_key_is_asked_for(ctx: TaskContext, own: SshTarget, shared_sshd: Sshd, tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return PASSPHRASE

    key = encrypted(shared_sshd, tmp_path / "locked")
    assert gets_in(ctx, replace(own, own=OwnLogin((key,), ask)))
    assert asked == [f"Passphrase of the key '{key}': "]


def test_a_wrong_passphrase_is_said(ctx: TaskContext, own: SshTarget, shared_sshd: Sshd, tmp_path: Path) -> None:
    key = encrypted(shared_sshd, tmp_path / "locked")
    with pytest.raises(SshRefused, match="the passphrase is wrong"):
        gets_in(ctx, replace(own, own=OwnLogin((key,), lambda prompt: "open barley")))


def test_an_encrypted_key_that_nobody_can_be_asked_for_is_said(ctx: TaskContext, own: SshTarget, shared_sshd: Sshd, tmp_path: Path) -> None:
    key = encrypted(shared_sshd, tmp_path / "locked")
    with pytest.raises(SshRefused, match="nobody can be asked") as refused:
        gets_in(ctx, replace(own, own=OwnLogin((key,))))
    assert refused.value.hint == f"ssh-add {key}"


def test_an_encrypted_key_that_the_agent_holds_is_not_asked_for(
    ctx: TaskContext, own: SshTarget, shared_sshd: Sshd, tmp_path: Path, agent: Path
) -> None:
    key = encrypted(shared_sshd, tmp_path / "locked")
    add(shared_sshd.folder / "id_rsa")
    assert gets_in(ctx, replace(own, own=OwnLogin((key,))))


def test_without_keys_those_of_the_agent_are_tried(ctx: TaskContext, own: SshTarget, shared_sshd: Sshd, agent: Path) -> None:
    add(shared_sshd.folder / "id_rsa")
    assert gets_in(ctx, own)


@pytest.mark.parametrize(("kind", "options"), [("ed25519", ()), ("rsa", ("-b", "2048")), ("rsa", ("-b", "2048", "-m", "PEM"))])
def test_a_key_is_locked_when_it_is_encrypted(tmp_path: Path, kind: str, options: tuple[str, ...]) -> None:
    locked, unlocked = new_key(tmp_path / "locked", kind, PASSPHRASE, *options), new_key(tmp_path / "open", kind, "", *options)
    assert is_locked(OwnLogin((locked,))) and not is_locked(OwnLogin((unlocked,))) and not is_locked(OwnLogin((locked, unlocked)))


def test_a_key_that_the_agent_holds_is_not_locked(agent: Path, shared_sshd: Sshd, tmp_path: Path) -> None:
    key = encrypted(shared_sshd, tmp_path / "locked")
    assert is_locked(OwnLogin((key,)))
    add(shared_sshd.folder / "id_rsa")
    assert not is_locked(OwnLogin((key,)))


def test_it_is_reached_from_here_whatever_the_way_to_other_machines(ctx: TaskContext, own: SshTarget, shared_sshd: Sshd) -> None:
    class NoWay(DirectDialer):
        def connect(self, host: str, port: int, timeout_s: float) -> None:  # type: ignore[override]
            raise AssertionError("dialled through the host")

    assert gets_in(ctx, replace(own, own=OwnLogin((shared_sshd.folder / "id_rsa",))), NoWay())
    assert "ProxyCommand" not in ssh_config_block(own, ("dial", "%h", "%p"))


def test_openssh_may_use_the_agent_and_ask_for_a_passphrase(own: SshTarget, tmp_path: Path) -> None:
    text = ssh_config_block(replace(own, own=OwnLogin((tmp_path / "a", tmp_path / "b"))), ())
    assert text.count("IdentityFile") == 2 and "IdentitiesOnly yes" in text
    assert "IdentityAgent" not in text and "BatchMode" not in text
