"""An environment that the predecessor made: opened, run, snapshotted and destroyed by us."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.live.conftest import Person

ONE = """
nets:
  lab: {type: nat, management: true, gw: 192.168.217.1, dhcp: {start: 100, end: 200}}
domains:
  one:
    memory: 128
    vcpu: 1
    nics: [{net: lab}]
    disks: [{template_name: tiny, type: template, name: root, dev: vda, format: qcow2}]
"""
BACKING_FORMAT = bytes.fromhex("e2792aca")
"""Type of the header extension of a qcow2 image that says what format the image below has. (QEMU, docs/interop/qcow2.rst)"""
UNKNOWN = bytes.fromhex("12345678")


def as_lago_left_it(prefix: Path) -> None:
    """Take away what only we write, write the specs as the predecessor does, and let the disk forget the format below it."""
    for ours in ("known_hosts", "seeds", "journal", "LagoInitFile", "aside"):
        subprocess.run(["rm", "-rf", str(prefix / ours)], check=True)
    write(prefix / "metadata", {"lago_version": "1.0.0"})
    machine = json.loads((prefix / "virt/vm-one").read_text())
    disk = machine["disks"][0]
    kept = {name: disk[name] for name in ("template_name", "type", "name", "dev", "format", "path")}
    spec = {
        "memory": 128,
        "vcpu": 1,
        "nics": [{"ip": machine["nics"][0]["ip"], "net": "lab"}],
        "disks": [{**kept, "metadata": {"distro": "debian", "arch": "x86_64"}}],
        "name": "one",
        "mgmt_net": "lab",
        "vm-type": "default",
        "vm-provider": "local-libvirt",
        "ssh-password": "123456",
        "ssh-user": "root",
        "snapshots": {},
        "metadata": {},
    }
    write(prefix / "virt/vm-one", spec)
    net = json.loads((prefix / "virt/net-lab").read_text())
    net = {name: net[name] for name in ("type", "gw", "dhcp", "management", "mapping", "dns_domain_name", "dns_records", "name")}
    write(prefix / "virt/net-lab", net)
    image = prefix / "images/one_root.qcow2"
    head = image.read_bytes()[:65536]
    assert BACKING_FORMAT in head
    with image.open("r+b") as file:
        file.write(head.replace(BACKING_FORMAT, UNKNOWN, 1))


def write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=4))


def test_an_environment_of_the_predecessor_is_ours_to_run(ordinary: Person) -> None:
    ordinary.write("LagoInitFile", ONE)
    ordinary.lago("up")
    ordinary.lago("shell", "one", "echo kept > /root/state; sync")
    ordinary.lago("stop")
    as_lago_left_it(ordinary.home / ".lago/default")

    assert ordinary.lago("list").strip() == "default"
    status = ordinary.status()
    assert status["VMs"]["one"]["status"] == "down"
    assert status["VMs"]["one"]["root password"] == "123456"
    ordinary.lago("snapshot", "off")
    ordinary.lago("start")
    assert ordinary.lago("shell", "one", "cat /root/state").strip() == "kept"
    ordinary.lago("shell", "one", "echo lost > /root/state; sync")
    ordinary.lago("revert", "off")
    assert ordinary.lago("shell", "one", "cat /root/state").strip() == "kept"
    ordinary.lago("snapshot", "up")
    assert sorted(json.loads(ordinary.lago("-f", "json", "snapshot", "--list"))["one"]) == ["off", "up"]
    ordinary.lago("destroy", "-y")
    assert not (ordinary.home / ".lago").exists()
    assert ordinary.wait_gone() == []
