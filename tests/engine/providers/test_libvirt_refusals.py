"""What is said when libvirt refuses something."""

from __future__ import annotations

import libvirt
import pytest

from engine.errors import DiskFull
from engine.providers.libvirt.refusals import refused


@pytest.mark.parametrize(
    ("words", "step"),
    [
        ('Failed to get "write" lock\nIs another process using the image [/a.qcow2]?', "stop the machine that has it already"),
        ("Network not found: no network with matching name", "lagotui --run start"),
        ("something new", ""),
    ],
)
def test_a_refusal_names_the_next_step_where_one_is_known(words: str, step: str) -> None:
    error = refused("cannot start machine 'vm0'", libvirt.libvirtError(words))
    assert error.message.startswith("cannot start machine 'vm0': libvirt says '")
    assert "\n" not in error.message
    assert step in error.hint
    assert bool(step) == bool(error.hint)


def test_a_full_disk_is_told_as_one() -> None:
    assert isinstance(refused("cannot start machine 'vm0'", libvirt.libvirtError("write: No space left on device")), DiskFull)
