from __future__ import annotations

import json
from pathlib import Path

import pytest

LAGO_UUID = "763e40ccd51d11e8b1e6525400caa6ab"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    for variable in ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    return home


def lago_disk(name: str, dev: str, path: str, **more: object) -> dict[str, object]:
    return {"name": name, "dev": dev, "format": "qcow2", "type": "template", "path": path, "metadata": {}, **more}


@pytest.fixture
def lago_workdir(tmp_path: Path) -> Path:
    """A workdir as Lago 1.0 writes it: one prefix, one VM, one NAT net."""
    workdir = tmp_path / "project" / ".lago"
    prefix = workdir / "default"
    for folder in ("images", "scripts", "logs", "virt"):
        (prefix / folder).mkdir(parents=True)
    (workdir / "current").symlink_to("default")
    (prefix / "uuid").write_text(LAGO_UUID)
    (prefix / "initialized").write_text("")
    (prefix / "metadata").write_text(json.dumps({"lago_version": "1.0.0"}, indent=4))
    (prefix / "virt" / "env").write_text(json.dumps({"nets": ["lan"], "vms": ["vm0"]}, indent=4))
    net = {
        "name": "lan",
        "type": "nat",
        "gw": "192.168.200.1",
        "dhcp": {"start": 100, "end": 254},
        "management": True,
        "dns_domain_name": "lago.local",
        "dns_records": {"vm0": "192.168.200.2"},
        "mapping": {"vm0": "192.168.200.2", "vm0-eth0": "192.168.200.2"},
        "main_dns": True,
    }
    (prefix / "virt" / "net-lan").write_text(json.dumps(net, indent=4))
    root = lago_disk("root", "sda", "$LAGO_PREFIX_PATH/images/vm0_root.qcow2", template_name="el7", template_type="lago")
    image = lago_disk("data", "sdb", "/srv/data.img", type="file", format="raw")
    machine = {
        "memory": "1024",
        "vcpu": 2,
        "nics": [{"net": "lan", "ip": "192.168.200.2"}],
        "disks": [root, image],
        "name": "vm0",
        "mgmt_net": "lan",
        "vm-type": "default",
        "vm-provider": "local-libvirt",
        "snapshots": {"clean": [lago_disk("root", "sda", "$LAGO_PREFIX_PATH/images/vm0_root.qcow2")]},
        "metadata": {"deploy-scripts": ["$LAGO_PREFIX_PATH/scripts/_a.sh"]},
        "ssh-password": "123456",
        "ssh-user": "root",
        "root-password": 123456,
        "artifacts": ["/var/log"],
        "service_provider": "systemd",
    }
    (prefix / "virt" / "vm-vm0").write_text(json.dumps(machine, indent=4))
    return workdir
