"""A small environment, libvirt's own fake hypervisor to define it on, and golden files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from engine.spec import DhcpRange, DiskSpec, DiskType, EnvRef, MachineSpec, NetSpec, NicSpec

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare text with a golden file; `LAGOTUI_WRITE_GOLDEN=1` writes it instead."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if os.environ.get("LAGOTUI_WRITE_GOLDEN"):
            path.write_text(text)
        assert text == path.read_text()

    return compare


@pytest.fixture
def conn() -> Iterator[Any]:
    """libvirt's fake hypervisor, empty but for its own machine and network; gone after the test."""
    connection = libvirt.open("test:///default")
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    yield connection
    connection.close()


@pytest.fixture
def env(tmp_path: Path) -> EnvRef:
    return EnvRef(str(tmp_path), "763e40cc0123456789abcdef01234567")


@pytest.fixture
def fixed_env() -> EnvRef:
    """An environment whose paths may stand in golden files."""
    return EnvRef("/work/dir/default", "763e40cc0123456789abcdef01234567")


@pytest.fixture
def nets() -> dict[str, NetSpec]:
    lago = NetSpec(
        "lago",
        gw="192.168.200.1",
        dhcp=DhcpRange(100, 254),
        management=True,
        dns_domain_name="lago.local",
        dns_records={"mirror.example": "10.1.2.3", "vm0": "10.9.9.9"},
        mapping={
            "vm0": "192.168.200.2",
            "vm0-eth0": "192.168.200.2",
            "vm0-lago": "192.168.200.2",
            "vm0-lago-0": "192.168.200.2",
            "vm1": "192.168.200.3",
        },
    )
    storage = NetSpec("storage", gw="192.168.201.1", mtu=1400, mapping={"vm0-eth1": "192.168.201.2", "vm0-storage": "192.168.201.2"})
    return {"lago": lago, "storage": storage}


@pytest.fixture
def machine() -> MachineSpec:
    return MachineSpec(
        name="vm0",
        memory_mib=128,
        vcpu=2,
        nics=(NicSpec("lago", "192.168.200.2"), NicSpec("storage", "192.168.201.2", mtu=1400)),
        disks=(
            DiskSpec("root", DiskType.TEMPLATE, "vda", path="/work/dir/default/images/vm0_root.qcow2"),
            DiskSpec("data", DiskType.EMPTY, "sda", format="raw", path="/work/dir/default/images/vm0_data.raw"),
            DiskSpec("cd", DiskType.FILE, "vdb", format="iso", path="/work/dir/cd.iso"),
        ),
        mgmt_net="lago",
    )
