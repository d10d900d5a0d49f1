"""How an OpenSSH client is run for `shell`, with programs in its place that do what it may do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lagotui.verbs.ssh_client import SshEnd, run_ssh
from tests.headless.terminal_user import Lago

RUN = "import sys; from lagotui.verbs.ssh_client import run_ssh; sys.exit(run_ssh(sys.argv[1:]).code)"
REPO = Path(__file__).resolve().parents[2]


def program(folder: Path, *lines: str) -> str:
    """Make a program that is called as ssh is: `-E LOG` first."""
    path = folder / "ssh"
    path.write_text("\n".join(["#!/bin/sh", "log=$2; shift 2", *lines, ""]))
    path.chmod(0o755)
    return str(path)


def test_the_exit_code_is_the_clients_and_what_it_says_is_kept_apart(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    end = run_ssh([program(tmp_path, 'echo out; echo err >&2; echo "own words" >> "$log"; exit $1'), "7"])
    assert (end.code, end.said) == (7, b"own words\n")
    assert capfd.readouterr() == ("out\n", "err\n")


def test_a_signal_that_ended_it_is_told_as_a_shell_does(tmp_path: Path) -> None:
    assert run_ssh([program(tmp_path, "kill -9 $$")]).code == 137


@pytest.mark.parametrize(
    ("said", "let_in"),
    [
        ("root@192.168.200.2: Permission denied (publickey).", False),
        ("Host key verification failed.", False),
        ("kex_exchange_identification: Connection closed by remote host", False),
        ("Connection closed by 192.168.200.2 port 22", False),
        ("ssh: connect to host 192.168.200.2 port 22: No route to host", False),
        ("Connection to 192.168.200.2 closed by remote host.", True),
        ("Timeout, server 192.168.200.2 not responding.", True),
        ("", True),
    ],
)
def test_who_was_never_let_in_may_be_tried_again(said: str, let_in: bool) -> None:
    assert SshEnd(255, said.encode()).was_let_in is let_in


def test_a_command_that_failed_is_never_run_again() -> None:
    assert SshEnd(1, b"Permission denied (publickey).").was_let_in


@pytest.mark.parametrize(
    ("signum", "answer", "code"),
    [
        (signal.SIGTERM, "9", 9),
        (signal.SIGTERM, "255", 143),
        (signal.SIGINT, "255", 130),  # sent to us alone: no terminal tells the client
    ],
)
def test_being_told_to_end_is_passed_on(signum: signal.Signals, answer: str, code: int, tmp_path: Path) -> None:
    told = f"trap 'touch {tmp_path}/told; exit {answer}' {signum.name.removeprefix('SIG')}"
    client = program(tmp_path, told, f"touch {tmp_path}/up", "while :; do sleep 0.05; done")
    ours = subprocess.Popen([sys.executable, "-c", RUN, client], env={**os.environ, "PYTHONPATH": str(REPO)})
    deadline_s = time.monotonic() + 30
    while not (tmp_path / "up").exists() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    ours.send_signal(signum)
    assert ours.wait(30) == code
    assert (tmp_path / "told").exists()


@pytest.mark.parametrize(
    "words", [("copy-to-vm", "vm0", "LagoInitFile", "/"), ("copy-from-vm", "vm0", "/etc/hosts", "."), ("service", "vm0", "sshd")]
)
def test_verbs_that_work_in_a_machine_say_that_it_is_down(words: tuple[str, ...], made: Lago) -> None:
    outcome = made(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert "'vm0' is down" in outcome.err
    assert "lagotui --run start vm0" in outcome.err


def test_deploy_without_scripts_and_collect_without_artifacts_have_nothing_to_do(made: Lago) -> None:
    assert made("deploy").code == 0
    assert made("collect", "--output", "out").code == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["vm0", "web-vm1"]


@pytest.mark.parametrize("output", [".", "..", ".lago", ".lago/default"])
def test_collect_renames_no_folder_that_we_or_the_environment_are_in(output: str, made: Lago) -> None:
    outcome = made("collect", "--output", output)
    assert outcome.code == 2
    assert "cannot be made anew: you, or the environment, are in it" in outcome.err
    assert Path(".lago/default/initialized").exists()


@pytest.mark.parametrize(
    "words",
    [("collect", "--output", ""), ("copy-to-vm", "vm0", "", "x"), ("copy-from-vm", "vm0", "", "x"), ("copy-from-vm", "vm0", "x", "")],
)
def test_an_empty_path_is_not_the_current_folder(words: tuple[str, ...], made: Lago) -> None:
    outcome = made(*words)
    assert outcome.code == 2
    assert outcome.err.endswith("the path is empty\n")


def test_collect_needs_its_output(made: Lago) -> None:
    outcome = made("collect")
    assert outcome.code == 2
    assert "--output" in outcome.err
