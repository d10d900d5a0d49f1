"""EnvState → the structure of `status`."""

from __future__ import annotations

from engine.spec import DiskSpec, DiskType, EnvRef, MachineSpec, MachineStatus, NetSpec, NetType, NicSpec
from engine.state.env import EnvState, MachineState, NetState
from lagotui.present.status import machine_data, net_data, snapshot_data, status_data

FROZEN = DiskSpec("root", DiskType.EMPTY, "vda", path="/p/images/vm0_root.qcow2")
VM0 = MachineSpec(
    "vm0",
    nics=(NicSpec("n1", "192.168.200.2"), NicSpec("n2")),
    distro="debian",
    ssh_password="secret",
    metadata={"role": "db"},
    snapshots={"late": (FROZEN,), "clean": (FROZEN,)},
)


def test_status_names_the_prefix_its_nets_and_its_machines() -> None:
    state = EnvState(
        EnvRef("/p", "763e"),
        "default",
        "private",
        {"vm0": MachineState(VM0, MachineStatus.RUNNING)},
        {"n1": NetState(NetSpec("n1", gw="192.168.200.1", management=True), True)},
    )
    prefix = status_data(state)["Prefix"]
    assert (prefix["Base directory"], prefix["UUID"]) == ("/p", "763e")
    assert prefix["Networks"] == {"n1": {"gateway": "192.168.200.1", "status": "up", "management": True}}
    assert list(prefix["VMs"]) == ["vm0"]


def test_a_machine_is_told_in_the_predecessors_words() -> None:
    assert machine_data(MachineState(VM0, MachineStatus.SHUT_OFF)) == {
        "distro": "debian",
        "root password": "secret",
        "status": "shut off",
        "snapshots": "clean, late",
        "metadata": {"role": "db"},
        "NICs": {"eth0": {"network": "n1", "ip": "192.168.200.2"}, "eth1": {"network": "n2", "ip": "N/A"}},
    }


def test_the_root_password_goes_before_that_of_ssh() -> None:
    spec = MachineSpec("vm0", ssh_password="ssh", root_password="root")
    assert machine_data(MachineState(spec, MachineStatus.DOWN))["root password"] == "root"


def test_a_bridge_has_no_gateway() -> None:
    assert net_data(NetState(NetSpec("b", NetType.BRIDGE), False)) == {"gateway": None, "status": "down", "management": False}


def test_snapshots_list_their_frozen_disks() -> None:
    assert snapshot_data({"vm0": VM0})["vm0"]["clean"][0]["path"] == "/p/images/vm0_root.qcow2"
