"""Build commands: the command line word for word, and what a failure says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.context import TaskContext
from engine.errors import BuildFailed
from engine.images.build import build, build_argv
from engine.images.guestfs import GuestDisk
from tests.engine.images.fake_guestfs import FakeGuestfs

DISK = GuestDisk(Path("/p/images/vm0_root.qcow2"), "qcow2")
KEY = Path("/p/id_rsa.pub")
HEAD = ["virt-customize", "--format=qcow2", "-a", "/p/images/vm0_root.qcow2"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"ssh-inject": "", "touch": ["/a", "/b"], "selinux-relabel": "", "v": None},
            ["--ssh-inject", "root:file:/p/id_rsa.pub", "--touch", "/a", "--touch", "/b", "--selinux-relabel", "-v"],
        ),
        ({"ssh-inject": "joe:file:/k"}, ["--ssh-inject", "joe:file:/k"]),
        ({"memsize": 2048, "smp": 2, "x": []}, ["--memsize", "2048", "--smp", "2", "-x"]),
        ({"no-network": True, "network": False}, ["--no-network"]),
        ({"run-command": "echo $HOME; `id` | tee /x 'y'"}, ["--run-command", "echo $HOME; `id` | tee /x 'y'"]),
        ({"write": "/a:one\ntwo"}, ["--write", "/a:one\ntwo"]),
        ({}, []),
    ],
)
def test_options_become_words(options: dict[str, Any], words: list[str]) -> None:
    assert build_argv(DISK, "virt-customize", options, KEY) == HEAD + words


def test_the_order_is_that_of_the_file() -> None:
    assert build_argv(DISK, "virt-customize", {"b": "1", "a": "2"}, KEY)[4:] == ["-b", "1", "-a", "2"]


def test_the_builder_may_be_written_with_an_underscore() -> None:
    assert build_argv(DISK, "virt_customize", {}, KEY) == HEAD


def test_an_unknown_builder_is_refused() -> None:
    with pytest.raises(BuildFailed, match="no builder 'sh'; there is virt-customize"):
        build_argv(DISK, "sh", {}, KEY)


def test_a_failure_ends_with_what_was_said_last(ctx: TaskContext, guestfs: FakeGuestfs) -> None:
    said = "".join(f"line {number}\n" for number in range(20)) + "virt-customize: error: /x: command exited with an error\n"
    guestfs.answer("virt-customize", stderr=said, code=1)
    with pytest.raises(BuildFailed) as raised:
        build(ctx, DISK, "virt-customize", {"run": "/x"}, KEY)
    message = raised.value.message
    assert "/x: command exited with an error" in message and "line 19" in message and "line 5" not in message
    assert "--skip-build" in raised.value.hint
