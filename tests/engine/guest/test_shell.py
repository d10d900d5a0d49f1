"""Command lines for OpenSSH: the words are the predecessor's, the options hold against a real client and server."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.guest.hostkeys import remember_host_key
from engine.guest.keys import make_host_key, make_keypair
from engine.guest.shell import SshTarget, remote_command, script_of, ssh_command, ssh_config_block

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh here: install openssh-client")

PIPE_PROGRAM = """
import os, socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as guest:
    socket.send_fds(socket.socket(fileno=os.dup(1)), [b"x"], [guest.fileno()])
"""
"""Does what the Dialer of a private world does as a ProxyCommand: it connects and hands the connection over."""


def run(argv: list[str], stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, input=stdin, capture_output=True, timeout=30, cwd=cwd, check=False)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ([], "bash"),
        (["-c"], "bash"),
        (["ls", "-l", "/tmp"], "ls -l /tmp"),
        (["-c", "echo a; echo b"], "echo a; echo b"),
        (["echo $HOME"], "echo $HOME"),
        (["a", "-c", "b"], "a -c b"),
        (["x" * 5000], "x" * 5000),
    ],
)
def test_words_become_a_command_as_the_predecessor_has_it(words: list[str], command: str) -> None:
    assert remote_command(words) == command


def test_one_word_that_is_a_file_is_a_script(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.touch()
    assert (remote_command([str(script)]), script_of([str(script)])) == ("bash -s", script)


def test_a_file_with_arguments_is_a_command(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.touch()
    assert script_of([str(script), "argument"]) is None


def test_a_folder_is_no_script(tmp_path: Path) -> None:
    assert script_of([str(tmp_path)]) is None


def test_code_output_and_nothing_else_come_through(target: SshTarget) -> None:
    done = run(ssh_command(target, (), ["echo", "out;", "echo", "err", ">&2;", "exit", "7"], False))
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_words_that_look_like_options_reach_the_machine(target: SshTarget) -> None:
    assert run(ssh_command(target, (), ["echo", "-l", "nobody", "-p", "1"], False)).stdout == b"-l nobody -p 1\n"


def test_stdin_is_carried(target: SshTarget) -> None:
    assert run(ssh_command(target, (), ["cat"], False), b"hello").stdout == b"hello"


def test_a_script_runs_in_the_machine(target: SshTarget, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo from $0\nexit 4\n")
    found = script_of([str(script)])
    assert found is not None
    done = run(ssh_command(target, (), [str(script)], False), found.read_bytes())
    assert (done.returncode, done.stdout) == (4, b"from bash\n")


def test_without_a_terminal_bash_reads_its_stdin(target: SshTarget) -> None:
    assert run(ssh_command(target, (), [], False), b"echo $((6*7))\n").stdout == b"42\n"


def test_a_terminal_is_asked_for_only_with_tty(target: SshTarget) -> None:
    assert [ssh_command(target, (), [], tty)[3] for tty in (True, False)] == ["-t", "-T"]


def test_files_with_odd_names_are_found(target: SshTarget, tmp_path: Path) -> None:
    folder = tmp_path / "of % and %h \"quotes\" 'n' = # back\\slash"
    folder.mkdir()
    for source, name in ((target.key_file, "id rsa"), (target.known_hosts, "known hosts")):
        shutil.copy(source, folder / name)
        (folder / name).chmod(0o600)
    odd = replace(target, key_file=folder / "id rsa", known_hosts=folder / "known hosts")
    done = run(ssh_command(odd, (), ["echo", "in"], False))
    assert (done.stdout, done.stderr) == (b"in\n", b"")


def test_relative_files_do_not_depend_on_the_folder(target: SshTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(target.known_hosts.parent)
    argv = ssh_command(replace(target, known_hosts=Path("known_hosts")), (), ["echo", "in"], False)
    assert run(argv, cwd=Path("/")).stdout == b"in\n"


def test_the_connection_comes_through_the_proxy_command(target: SshTarget, tmp_path: Path) -> None:
    program = tmp_path / "the proxy's 100% program"
    program.write_text(PIPE_PROGRAM)
    proxy = (sys.executable, str(program).replace("%", "%%"), "127.0.0.1", str(target.port))
    done = run(ssh_command(replace(target, address="192.0.2.7"), proxy, ["echo", "in"], False))
    assert (done.stdout, done.stderr) == (b"in\n", b"")


def test_the_proxy_command_gets_address_and_port(target: SshTarget, tmp_path: Path) -> None:
    program = tmp_path / "proxy"
    program.write_text(PIPE_PROGRAM)
    done = run(ssh_command(target, (sys.executable, str(program), "%h", "%p"), ["echo", "in"], False))
    assert done.stdout == b"in\n"


def test_a_changed_host_key_stops_the_client(target: SshTarget) -> None:
    remember_host_key(target.known_hosts, [target.name], make_host_key("other").public_line)
    done = run(ssh_command(target, (), ["echo", "in"], False))
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr


def test_an_unknown_host_key_stops_the_client(target: SshTarget) -> None:
    target.known_hosts.write_text("")
    done = run(ssh_command(target, (), ["echo", "in"], False))
    assert (done.returncode, done.stdout, b"verification failed" in done.stderr) == (255, b"", True)


def test_a_refused_key_ends_without_a_question(target: SshTarget, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    stranger.write_bytes(make_keypair().private_pem)
    stranger.chmod(0o600)
    done = run(ssh_command(replace(target, key_file=stranger), (), ["true"], False))
    assert (done.returncode, b"Permission denied" in done.stderr) == (255, True)


def test_a_password_may_be_asked_for_where_there_is_one(target: SshTarget) -> None:
    argv = ssh_command(replace(target, password="secret"), (), [], True)
    assert ("BatchMode=yes" in argv, any("secret" in word for word in argv)) == (False, False)


def test_the_config_block_lets_ssh_in_by_name(target: SshTarget, tmp_path: Path) -> None:
    program = tmp_path / "proxy program"
    program.write_text(PIPE_PROGRAM)
    config = tmp_path / "ssh_config"
    config.write_text(ssh_config_block(target, (sys.executable, str(program), "%h", "%p")))
    assert run(["ssh", "-F", str(config), target.name, "echo", "in"]).stdout == b"in\n"
