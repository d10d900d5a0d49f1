"""What counts as a change of an init file, and what init only filled in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.plan.addressing import plan_addresses
from engine.plan.diff import EnvDiff, Fate, diff
from engine.spec import DhcpRange, DiskSpec, DiskType, EnvSpec, MachineSpec, NetSpec, NicSpec, Readiness

ROOT = DiskSpec("root", DiskType.TEMPLATE, "vda", template_name="tiny")
DATA = DiskSpec("data", DiskType.EMPTY, "vdb", size="1G")


def lan(**values: object) -> NetSpec:
    """Return the management net as an init file has it."""
    return NetSpec("lan", management=True, dns_domain_name="lago.local", **values)  # type: ignore[arg-type]


def written() -> EnvSpec:
    """Return what an init file says of two machines on a net."""
    machine = MachineSpec("a", nics=(NicSpec("lan"),), disks=(ROOT, DATA), metadata={"k": 1})
    return EnvSpec({"a": machine, "b": replace(machine, name="b")}, {"lan": lan(dns_records={"www": "1.2.3.4"})})


def made(file: EnvSpec) -> EnvSpec:
    """Return the environment that init makes of it: subnets, addresses, versions, paths, metadata of templates filled in."""
    env = plan_addresses(file, {})

    def placed(machine: str, disk: DiskSpec) -> DiskSpec:
        version = "7" if disk.type is DiskType.TEMPLATE else None
        return replace(disk, path=f"/p/images/{machine}_{disk.name}", template_version=version, metadata={"distro": "debian"})

    machines = {
        name: replace(machine, distro="debian", disks=tuple(placed(name, disk) for disk in machine.disks))
        for name, machine in env.machines.items()
    }
    return EnvSpec(machines, env.nets)


def changed(change: Callable[[EnvSpec], EnvSpec], *, known: bool = True) -> EnvDiff:
    """Return the diff between an environment and the changed file; `known`: the file that it was made from is known."""
    file = written()
    return diff(change(file), made(file), file if known else None)


def machine(**values: object) -> Callable[[EnvSpec], EnvSpec]:
    return lambda file: EnvSpec({**file.machines, "a": replace(file.machines["a"], **values)}, file.nets)  # type: ignore[arg-type]


def net(**values: object) -> Callable[[EnvSpec], EnvSpec]:
    return lambda file: EnvSpec(file.machines, {"lan": replace(file.nets["lan"], **values)})  # type: ignore[arg-type]


def told(changes: EnvDiff) -> set[tuple[str, str, str]]:
    return {(item.fate.value, item.kind, item.name) for item in changes.items}


@pytest.mark.parametrize("known", [True, False])
def test_what_init_filled_in_is_no_change(known: bool) -> None:
    assert changed(lambda file: file, known=known).is_empty


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("change", "items"),
    [
        (machine(memory_mib=4096), {("change", "machine", "a")}),
        (machine(vcpu=9, groups=("x",)), {("change", "machine", "a")}),
        (machine(metadata={"k": 2}), {("change", "machine", "a")}),
        (machine(ready=Readiness(tcp=80)), {("change", "machine", "a")}),
        (machine(disks=(ROOT,)), {("remove", "disk", "a:data")}),
        (machine(disks=(DATA,)), {("replace", "machine", "a"), ("remove", "disk", "a:root")}),
        (machine(disks=(DATA, ROOT)), {("change", "machine", "a")}),
        (machine(disks=(replace(DATA, name="new"), ROOT, DATA)), {("replace", "machine", "a"), ("replace", "disk", "a:new")}),
        (machine(disks=(ROOT, DATA, replace(ROOT, name="more", dev="vdc"))), {("create", "disk", "a:more")}),
        (machine(disks=(ROOT, DATA, replace(DATA, name="more", dev="vdc"))), {("create", "disk", "a:more")}),
        (machine(disks=(ROOT, replace(DATA, dev="vdd"))), {("change", "disk", "a:data")}),
        (machine(disks=(ROOT, replace(DATA, size="1M"))), {("replace", "disk", "a:data")}),
        (machine(disks=(ROOT, replace(DATA, size="2048M"))), {("change", "disk", "a:data")}),
        (machine(disks=(replace(ROOT, template_name="x"), DATA)), {("replace", "machine", "a"), ("replace", "disk", "a:root")}),
        (machine(disks=(replace(ROOT, template_version="8"), DATA)), {("replace", "machine", "a"), ("replace", "disk", "a:root")}),
        (machine(disks=(replace(ROOT, template_version="7"), DATA)), set()),
        (machine(nics=(NicSpec("lan"), NicSpec("lan"))), {("create", "nic", "a:eth1")}),
        (machine(nics=()), {("remove", "nic", "a:eth0")}),
        (machine(nics=(NicSpec("lan", "10.0.0.2"),)), set()),
        (machine(nics=(NicSpec("lan", "10.0.0.9"),)), {("change", "nic", "a:eth0")}),
        (machine(ssh_user="me"), {("replace", "machine", "a")}),
        (net(dhcp=DhcpRange(10, 20)), {("change", "net", "lan")}),
        (net(dns_records={}), {("change", "net", "lan")}),
        (net(gw="192.168.200.1"), set()),
        (net(gw="192.168.233.1"), {("replace", "net", "lan"), ("change", "nic", "a:eth0"), ("change", "nic", "b:eth0")}),
        (lambda file: EnvSpec({"a": file.machines["a"]}, file.nets), {("remove", "machine", "b")}),
        (lambda file: EnvSpec({**file.machines, "c": MachineSpec("c")}, file.nets), {("create", "machine", "c")}),
        (lambda file: EnvSpec(file.machines, {**file.nets, "n": NetSpec("n")}), {("create", "net", "n")}),
    ],
)
def test_a_change_has_a_fate(change: Callable[[EnvSpec], EnvSpec], items: set[tuple[str, str, str]], known: bool) -> None:
    assert told(changed(change, known=known)) == items


def test_machines_on_a_net_that_goes_change_over_to_another() -> None:
    def gone(file: EnvSpec) -> EnvSpec:
        machines = {name: replace(machine, nics=(NicSpec("wan"),)) for name, machine in file.machines.items()}
        return EnvSpec(machines, {"wan": replace(lan(), name="wan")})

    changes = changed(gone)
    assert (changes.names(Fate.REMOVE, "net"), changes.names(Fate.CREATE, "net")) == (("lan",), ("wan",))
    assert changes.names(Fate.CHANGE, "nic") == ("a:eth0", "b:eth0")
    assert changes.losses == ("the net 'lan'",)


def test_another_image_below_a_file_disk_is_seen_where_the_old_file_is_known() -> None:
    disk = DiskSpec("x", DiskType.FILE, "vda", path="/images/one.qcow2")
    file = EnvSpec({"a": MachineSpec("a", nics=(NicSpec("lan"),), disks=(disk,))}, {"lan": lan()})
    other = EnvSpec({"a": replace(file.machines["a"], disks=(replace(disk, path="/images/two.qcow2"),))}, file.nets)
    assert told(diff(other, made(file), file)) == {("replace", "machine", "a"), ("replace", "disk", "a:x")}
    assert diff(other, made(file)).is_empty


def test_what_is_lost_is_said() -> None:
    snapshots = {"clean": (ROOT,)}
    file = written()
    env = made(file)
    env = EnvSpec({**env.machines, "b": replace(env.machines["b"], snapshots=snapshots)}, env.nets)
    changes = diff(EnvSpec({"a": file.machines["a"]}, file.nets), env, file)
    assert changes.losses == ("machine 'b': everything on its disks (root, data), its snapshots (clean)",)


def test_a_disk_that_goes_is_all_that_is_lost() -> None:
    file, snapshots = written(), {"clean": (ROOT, DATA), "bare": (ROOT,)}
    env = made(file)
    env = EnvSpec({**env.machines, "a": replace(env.machines["a"], snapshots=snapshots)}, env.nets)
    changes = diff(machine(disks=(ROOT,))(file), env, file)
    assert changes.losses == ("disk 'data' of machine 'a': everything on it, in its snapshots (clean) too",)


def test_an_image_of_the_users_is_not_lost() -> None:
    own = DiskSpec("own", DiskType.FILE, "vdb", path="/images/own.qcow2", in_place=True)
    file = EnvSpec({"a": MachineSpec("a", nics=(NicSpec("lan"),), disks=(ROOT, own))}, {"lan": lan()})
    without = EnvSpec({"a": replace(file.machines["a"], disks=(ROOT,))}, file.nets)
    assert diff(without, made(file), file).losses == ()


def test_a_machine_that_is_made_anew_loses_its_disks_once() -> None:
    changes = changed(machine(ssh_user="me", disks=(ROOT,)))
    assert changes.losses == ("machine 'a': everything on its disks (root, data)",)


def test_a_value_that_somebody_else_changed_in_the_prefix_is_not_the_files_change() -> None:
    file = written()
    env = made(file)
    env = EnvSpec({**env.machines, "a": replace(env.machines["a"], memory_mib=77)}, env.nets)
    assert diff(file, env, file).is_empty
