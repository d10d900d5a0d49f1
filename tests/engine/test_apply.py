"""A changed init file, on a host in memory: what `up` does with it, and what it refuses to do."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from engine.context import TaskContext
from engine.errors import ChangeRefused, HostRefused, InitFileError, NotReady
from engine.spec import DhcpRange, MachineStatus
from engine.state.prefix import Prefix
from engine.tasks.applying import prepare_changes
from engine.tasks.journal import Journal
from engine.tasks.runs import journal_folder
from engine.tasks.steps import performer
from tests.engine.bench import HELLO, Bench

THIRD = HELLO.replace(
    "nets:",
    "  vm2: {memory: 64, vcpu: 1, nics: [{net: n0}], disks: [{template_name: small, type: template, name: root, dev: vda}]}\nnets:",
)
WITHOUT_VM1 = "\n".join(line for line in HELLO.splitlines() if "vm1" not in line)
MORE_MEMORY = HELLO.replace("vm1: {memory: 128", "vm1: {memory: 256")
EXTRA_DISK = HELLO.replace("dev: vda}]}\n  vm1", "dev: vda}, {type: empty, name: data, dev: vdb, size: 1M, format: qcow2}]}\n  vm1", 1)
OTHER_SUBNET = HELLO.replace("type: nat,", "type: nat, gw: 192.168.220.1,")
SECOND_NET = HELLO.replace("nets:\n", "nets:\n  n1: {type: nat}\n")
SECOND_NIC = SECOND_NET.replace("nics: [{net: n0}]", "nics: [{net: n0}, {net: n1}]", 1)
OTHER_PASSWORD = HELLO.replace("memory: 128", "root-password: secret, memory: 128")
OTHER_DATA = EXTRA_DISK.replace("size: 1M, format: qcow2", "size: 2M, format: raw")
OTHER_PASSWORD_AND_SIZE = EXTRA_DISK.replace("size: 1M", "size: 3M").replace("memory: 128", "root-password: secret, memory: 128")
DISK = "vm0_root.qcow2"


def names_known(prefix: Prefix) -> set[str]:
    """Return everything that a host key is known by."""
    return {line.split()[0] for line in prefix.known_hosts.read_text().splitlines()}


def agreed(bench: Bench, text: str) -> Prefix:
    request = replace(bench.request(text), agreed=True)
    bench.engine.up(request).result(60)
    return Prefix.at(request.prefix)


def files(prefix: Prefix) -> dict[str, bytes]:
    """Return every file of a prefix that a change could touch."""
    kept = [path for path in prefix.path.rglob("*") if path.is_file() and not path.is_relative_to(prefix.journal)]
    return {str(path.relative_to(prefix.path)): path.read_bytes() for path in kept if "logs" not in path.parts}


def test_the_same_file_again_changes_nothing(bench: Bench) -> None:
    prefix = bench.up()
    before = files(prefix)
    bench.up()
    assert files(prefix) == before


def test_a_comment_is_no_change_but_is_remembered(bench: Bench) -> None:
    prefix = bench.up()
    bench.up(HELLO + "# more to come\n")
    assert (prefix.init_file or ("", ""))[1].endswith("# more to come\n")


def test_a_new_machine_is_made_and_started_beside_the_others(bench: Bench) -> None:
    prefix = bench.up()
    seed = (prefix.seeds / "vm0.iso").read_bytes()
    bench.up(THIRD)
    state = bench.engine.state(prefix)
    assert {name: machine.status for name, machine in state.machines.items()} == dict.fromkeys(("vm0", "vm1", "vm2"), MachineStatus.RUNNING)
    assert [machine.spec.ip for machine in state.machines.values()] == ["192.168.200.2", "192.168.200.3", "192.168.200.4"]
    assert Path(state.machines["vm2"].spec.disks[0].path or "").is_file()
    assert (prefix.seeds / "vm0.iso").read_bytes() == seed


def test_the_host_key_of_a_new_machine_is_known(bench: Bench) -> None:
    bench.up()
    names = {line.split()[0] for line in bench.up(THIRD).known_hosts.read_text().splitlines()}
    assert {"vm0", "vm2", "192.168.200.4"} <= names


def test_a_net_that_is_up_learns_the_new_names(bench: Bench) -> None:
    prefix = bench.up()
    bench.up(THIRD)
    assert bench.host.nets[prefix.uuid, "n0"].mapping["vm2"] == "192.168.200.4"


def test_memory_of_a_running_machine_changes_with_its_next_start(bench: Bench) -> None:
    prefix = bench.up()
    bench.up(MORE_MEMORY)
    assert prefix.machine("vm1").memory_mib == 256
    assert bench.host.machines[prefix.uuid, "vm1"].memory_mib == 128


def test_a_new_disk_of_a_machine_that_is_down_is_simply_made(bench: Bench) -> None:
    prefix = bench.init()
    bench.up(EXTRA_DISK)
    disks = prefix.machine("vm0").disks
    assert [disk.name for disk in disks] == ["root", "data"]
    assert all(Path(disk.path or "").is_file() for disk in disks)


def test_a_disk_of_a_machine_that_is_down_grows(bench: Bench) -> None:
    prefix = bench.init(EXTRA_DISK)
    bench.up(EXTRA_DISK.replace("size: 1M", "size: 3M"))
    path = prefix.machine("vm0").disks[1].path
    info = subprocess.run(["qemu-img", "info", "--output=json", str(path)], check=True, capture_output=True, text=True).stdout
    assert json.loads(info)["virtual-size"] == 3 * 1024**2


def test_dependencies_come_up_in_one_run(bench: Bench) -> None:
    needs = HELLO.replace("vm0: {memory: 128,", "vm0: {depends_on: [vm1], memory: 128,")
    prefix = bench.up(needs)
    assert bench.waited == ["vm1", "vm0"]
    assert bench.engine.state(prefix).up_count == 2


def test_readiness_is_waited_for(bench: Bench) -> None:
    bench.up(HELLO.replace("vm0: {memory: 128,", 'vm0: {ready: {log: "login:"}, memory: 128,'))
    with pytest.raises(NotReady, match="'vm1' was not ready within 1 s"):
        bench.up(HELLO.replace("vm1: {memory: 128,", 'vm1: {ready: {log: "never", timeout_sec: 1}, memory: 128,'))


def test_a_new_disk_of_a_running_machine_needs_agreement_and_a_restart(bench: Bench) -> None:
    prefix = bench.up()
    with pytest.raises(ChangeRefused, match="what runs on it"):
        bench.up(EXTRA_DISK)
    agreed(bench, EXTRA_DISK)
    assert [disk.name for disk in bench.host.machines[prefix.uuid, "vm0"].disks] == ["root", "data"]


@pytest.mark.parametrize("text", [WITHOUT_VM1, OTHER_PASSWORD], ids=["machine gone", "told at first boot"])
def test_what_would_be_lost_is_said_and_nothing_is_changed(bench: Bench, text: str) -> None:
    prefix = bench.up()
    before = files(prefix)
    with pytest.raises(ChangeRefused, match="everything on its disks") as refusal:
        bench.up(text)
    assert "vm1" in str(refusal.value)
    assert files(prefix) == before


def test_a_machine_that_is_gone_from_the_file_goes_when_agreed(bench: Bench) -> None:
    prefix = bench.up()
    agreed(bench, WITHOUT_VM1)
    assert list(prefix.load_env().machines) == ["vm0"]
    assert [name for _, name in bench.host.machines] == ["vm0"]
    assert not [path for path in prefix.path.rglob("*vm1*") if "journal" not in path.parts]


def test_another_subnet_gives_machines_other_addresses_and_leaves_their_disks(bench: Bench) -> None:
    prefix = bench.up()
    disks = {path.name: path.stat().st_ino for path in prefix.images.iterdir()}
    agreed(bench, OTHER_SUBNET)
    env = prefix.load_env()
    assert {path.name: path.stat().st_ino for path in prefix.images.iterdir()} == disks
    assert {"vm0", "192.168.220.2"} <= names_known(prefix)
    assert [machine.ip for machine in env.machines.values()] == ["192.168.220.2", "192.168.220.3"]
    assert [path.name for path in (bench.folder / "subnets").glob("*.lease")] == ["220.lease"]
    assert bench.host.nets[prefix.uuid, "n0"].gw == "192.168.220.1"


def test_a_new_net_leases_its_subnet(bench: Bench) -> None:
    prefix = bench.up()
    bench.up(SECOND_NET)
    assert sorted(path.name for path in (bench.folder / "subnets").glob("*.lease")) == ["200.lease", "201.lease"]
    assert prefix.load_env().nets["n1"].gw == "192.168.201.1"


def test_a_failure_takes_the_change_back(bench: Bench) -> None:
    prefix = bench.up()
    (prefix.path / "LagoInitFile").unlink()
    (prefix.path / "LagoInitFile").mkdir()  # what is written last cannot be
    before = files(prefix)
    with pytest.raises(Exception, match="LagoInitFile"):
        agreed(bench, OTHER_PASSWORD)
    assert files(prefix) == before
    assert sorted(name for _, name in bench.host.machines) == ["vm0", "vm1"]


def test_a_new_machine_that_the_host_refuses_stays_down_but_made(bench: Bench) -> None:
    prefix = bench.up()
    bench.host.refuse = frozenset({"vm2"})
    with pytest.raises(HostRefused):
        bench.up(THIRD)
    assert bench.engine.state(prefix).machines["vm2"].status is MachineStatus.DOWN


def test_a_file_with_errors_changes_nothing(bench: Bench) -> None:
    prefix = bench.up()
    before = files(prefix)
    with pytest.raises(InitFileError):
        bench.up(HELLO.replace("n0}", "nowhere}"))
    assert files(prefix) == before


def test_an_environment_is_started_without_its_init_file(bench: Bench) -> None:
    prefix = bench.init()
    bench.engine.up(replace(bench.request(), text=None)).result(60)
    assert bench.engine.state(prefix).up_count == 2
    with pytest.raises(InitFileError):
        bench.engine.up(replace(bench.request(), text=None, named=True)).result(60)


def test_the_file_that_it_was_made_from_is_read_again_when_none_is_named(bench: Bench) -> None:
    file = bench.folder / "mine.yaml"
    file.write_text(HELLO)
    request = replace(bench.request(), text=None, init_file=file)
    bench.engine.up(request).result(60)
    file.write_text(MORE_MEMORY)
    bench.engine.up(replace(request, init_file=Path())).result(60)
    assert Prefix.at(request.prefix).machine("vm1").memory_mib == 256


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(OTHER_SUBNET, id="subnet"),
        pytest.param(OTHER_PASSWORD, id="password"),
        pytest.param(SECOND_NIC, id="nic"),
        pytest.param(OTHER_DATA, id="disk"),
        pytest.param(HELLO, id="disk gone"),
        pytest.param(THIRD, id="machine"),
    ],
)
def test_an_apply_that_died_is_undone(text: str, bench: Bench) -> None:
    prefix = bench.up(EXTRA_DISK)
    before = files(prefix)
    with TaskContext.root(bench.engine.bus, "dies", run_id="dead") as ctx:
        prepared = prepare_changes(bench.engine.kit, ctx, bench.request(text))
        assert prepared is not None
        plan = prepared.plans[0]
        journal = Journal.create(journal_folder(plan), "dead", plan)
        scope = bench.engine.kit.scope_of(plan)
        scope.catalogue, scope.store = prepared.images
        for step in plan.steps[:-1]:
            journal.begin(step)
            performer(scope)(ctx, step.kind, step.subject, step.args)
            journal.done(step)
        journal.close()
    bench.engine.recover(prefix).result(60)
    assert files(prefix) == before
    assert bench.engine.state(prefix).up_count == 2


def test_a_second_nic_of_a_machine_that_is_down_is_simply_there(bench: Bench) -> None:
    prefix = bench.init()
    disks = files(prefix)[f"images/{DISK}"]
    bench.up(SECOND_NIC)
    nics = bench.host.machines[prefix.uuid, "vm0"].nics
    assert [(nic.net, nic.ip) for nic in nics] == [("n0", "192.168.200.2"), ("n1", "192.168.201.2")]
    assert files(prefix)[f"images/{DISK}"] == disks
    assert {"vm0-eth1", "192.168.201.2"} <= names_known(prefix)
    assert b"54:52:c0:a8:c9:02" in (prefix.seeds / "vm0.iso").read_bytes()
    assert b"boot-new-instance" in (prefix.seeds / "vm0.iso").read_bytes()


def test_the_host_key_stays_the_same_under_its_new_names(bench: Bench) -> None:
    prefix = bench.init()
    key = (prefix.seeds / "vm0_host_key").read_bytes()
    bench.up(SECOND_NIC)
    lines = [line.split() for line in prefix.known_hosts.read_text().splitlines()]
    assert len({data for name, _, data, *_ in lines if name in ("vm0", "vm0-eth0", "vm0-eth1")}) == 1
    assert (prefix.seeds / "vm0_host_key").read_bytes() == key


def test_a_machine_that_nothing_changes_for_is_left_alone(bench: Bench) -> None:
    prefix = bench.up()
    seed, since_s = (prefix.seeds / "vm1.iso").stat(), bench.host.started_at_s[prefix.uuid, "vm1"]
    agreed(bench, SECOND_NIC)
    assert (prefix.seeds / "vm1.iso").stat() == seed
    assert bench.host.started_at_s[prefix.uuid, "vm1"] == since_s


def test_a_second_nic_of_a_running_machine_needs_agreement_and_a_restart(bench: Bench) -> None:
    prefix = bench.up()
    with pytest.raises(ChangeRefused, match=r"machine 'vm0': what runs on it \(it is stopped for its nics, and started again\)") as refusal:
        bench.up(SECOND_NIC)
    assert "vm1" not in str(refusal.value)
    agreed(bench, SECOND_NIC)
    assert len(bench.host.machines[prefix.uuid, "vm0"].nics) == 2
    assert bench.engine.state(prefix).up_count == 2


def test_nics_that_change_places_keep_their_addresses(bench: Bench) -> None:
    prefix = bench.init(SECOND_NIC)
    bench.up(SECOND_NIC.replace("nics: [{net: n0}, {net: n1}]", "nics: [{net: n1}, {net: n0}]"))
    assert [(nic.net, nic.ip) for nic in prefix.machine("vm0").nics] == [("n1", "192.168.201.2"), ("n0", "192.168.200.2")]
    assert prefix.load_env().nets["n1"].mapping["vm0-eth0"] == "192.168.201.2"


def test_a_nic_that_goes_takes_nothing_along(bench: Bench) -> None:
    prefix = bench.init(SECOND_NIC)
    bench.up(SECOND_NIC.replace(", {net: n1}", ""))
    assert len(prefix.machine("vm0").nics) == 1
    assert b"54:52:c0:a8:c9:02" not in (prefix.seeds / "vm0.iso").read_bytes()


def test_another_data_disk_is_all_that_is_lost(bench: Bench) -> None:
    prefix = bench.init(EXTRA_DISK)
    root = prefix.machine("vm0").disks[0]
    inode = Path(root.path or "").stat().st_ino
    with pytest.raises(ChangeRefused, match="disk 'data' of machine 'vm0': everything on it"):
        bench.up(OTHER_DATA)
    agreed(bench, OTHER_DATA)
    assert prefix.machine("vm0").disks[0] == root
    assert Path(root.path or "").stat().st_ino == inode
    data = Path(prefix.machine("vm0").disks[1].path or "")
    assert data.stat().st_size == 2 * 1024**2
    assert sorted(path.name for path in prefix.images.glob("vm0*")) == sorted([Path(root.path or "").name, data.name])


def test_a_disk_that_goes_takes_its_file_and_its_frozen_images_along(bench: Bench) -> None:
    prefix = bench.init(EXTRA_DISK)
    bench.engine.snapshot(prefix, "clean").result(60)
    agreed(bench, HELLO)
    machine = prefix.machine("vm0")
    assert [disk.name for disk in machine.disks] == ["root"]
    assert [disk.name for disk in machine.snapshots["clean"]] == ["root"]
    assert not [path for path in prefix.images.iterdir() if "data" in path.name]
    bench.engine.revert(prefix, "clean").result(60)


def test_a_disk_that_moves_to_another_device_goes_back_to_its_own_past(bench: Bench) -> None:
    prefix = bench.init(EXTRA_DISK)
    bench.engine.snapshot(prefix, "clean").result(60)
    new = "{type: empty, name: more, dev: vdb, size: 2M, format: qcow2}"
    bench.up(
        EXTRA_DISK.replace("name: data, dev: vdb, size: 1M, format: qcow2}", f"name: data, dev: vdc, size: 1M, format: qcow2}}, {new}")
    )
    more = next(disk for disk in prefix.machine("vm0").disks if disk.name == "more")
    before = Path(more.path or "").read_bytes()
    bench.engine.revert(prefix, "clean").result(60)
    assert Path(more.path or "").read_bytes() == before


def test_another_nic_costs_the_memory_of_snapshots_and_says_so(bench: Bench) -> None:
    prefix = bench.up()
    bench.engine.snapshot(prefix, "warm", memory=True).result(60)
    memory = prefix.machine("vm0").history.note("warm").memory
    assert memory is not None
    with pytest.raises(ChangeRefused, match=r"machine 'vm0': the memory of its snapshots \(warm\)"):
        bench.up(SECOND_NIC)
    agreed(bench, SECOND_NIC)
    history = prefix.machine("vm0").history
    assert (history.note("warm").memory, history.note("warm").checkpoint, memory in history.leftovers) == (None, False, True)
    assert prefix.machine("vm1").history.note("warm").memory is not None
    bench.engine.revert(prefix, "warm").result(60)
    assert bench.engine.state(prefix).up_count == 2


def test_a_machine_that_goes_takes_the_memory_of_its_snapshots_along(bench: Bench) -> None:
    prefix = bench.up()
    bench.engine.snapshot(prefix, "warm", memory=True).result(60)
    agreed(bench, WITHOUT_VM1)
    assert not [path for path in prefix.path.rglob("*.mem") if "vm1" in str(path)]


def test_a_disk_of_a_machine_that_is_made_anew_is_not_grown_as_well(bench: Bench) -> None:
    prefix = bench.init(EXTRA_DISK)
    agreed(bench, OTHER_PASSWORD_AND_SIZE)
    info = subprocess.run(
        ["qemu-img", "info", "--output=json", str(prefix.machine("vm0").disks[1].path)], check=True, capture_output=True, text=True
    ).stdout
    assert json.loads(info)["virtual-size"] == 3 * 1024**2


def test_a_pool_of_a_net_that_is_up_changes_at_once(bench: Bench) -> None:
    prefix = bench.up()
    bench.up(HELLO.replace("end: 254", "end: 199"))
    assert bench.host.nets[prefix.uuid, "n0"].dhcp == DhcpRange(100, 199)


def test_what_takes_a_restart_is_said_with_what_to_do(bench: Bench) -> None:
    bench.up()
    notes = bench.engine.plan(bench.request(HELLO.replace("type: nat,", "type: nat, mtu: 1400,"))).notes
    assert notes == (
        "net 'n0' is up: mtu changes when it is stopped, with all of its machines, and started: lagotui --run stop, then lagotui --run up",
    )


def test_the_plan_of_a_change_says_what_up_would_do(bench: Bench) -> None:
    bench.up()
    plan = bench.engine.plan(bench.request(OTHER_SUBNET))
    assert plan.exists
    assert {(item.fate.value, item.kind, item.name) for item in plan.changes.items} == {
        ("replace", "net", "n0"),
        ("change", "nic", "vm0:eth0"),
        ("change", "nic", "vm1:eth0"),
    }
    assert plan.step_count > 0


def test_planning_claims_and_writes_nothing(bench: Bench) -> None:
    plan = bench.engine.plan(bench.request())
    assert (plan.exists, [net.subnet for net in plan.nets]) == (False, ["192.168.200.0/24"])
    assert [path.name for path in bench.folder.iterdir() if path.name in ("work", "subnets", "store")] == []


def test_plans_forecast_from_what_ran_before(bench: Bench) -> None:
    assert bench.engine.plan(bench.request()).forecast.seconds is None
    bench.up()
    forecast = bench.engine.plan(bench.request(name="other")).forecast
    assert forecast.seconds is not None
    assert forecast.unknown == ()
