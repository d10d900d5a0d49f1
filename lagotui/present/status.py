"""EnvState → the structure that `status` prints, in the predecessor's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.spec import MachineSpec
from engine.state.env import EnvState, MachineState, NetState

NO_ADDRESS = "N/A"


def status_data(state: EnvState) -> dict[str, Any]:
    """Return what `status` says of one environment."""
    return {
        "Prefix": {
            "Base directory": state.ref.prefix,
            "UUID": state.ref.uuid,
            "Networks": {name: net_data(net) for name, net in state.nets.items()},
            "VMs": {name: machine_data(machine) for name, machine in state.machines.items()},
        }
    }


def net_data(net: NetState) -> dict[str, Any]:
    return {"gateway": net.spec.gw, "status": "up" if net.up else "down", "management": net.spec.management}


def machine_data(machine: MachineState) -> dict[str, Any]:
    spec = machine.spec
    return {
        "distro": spec.distro,
        "root password": spec.root_password or spec.ssh_password,
        "status": machine.status.value,
        "snapshots": ", ".join(sorted(spec.snapshots)),
        "metadata": dict(spec.metadata),
        "NICs": {f"eth{number}": {"network": nic.net, "ip": nic.ip or NO_ADDRESS} for number, nic in enumerate(spec.nics)},
    }


def snapshot_data(machines: Mapping[str, MachineSpec]) -> dict[str, Any]:
    """Return what `snapshot --list` says: machine → snapshot → its disks, `path` being the frozen image."""
    return {
        name: {snapshot: [disk.to_json() for disk in disks] for snapshot, disks in spec.snapshots.items()}
        for name, spec in machines.items()
    }
