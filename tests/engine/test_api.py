"""The verbs, end to end on a host in memory: what a user finds on disk, on the host and in the lease store afterwards."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.api import Engine
from engine.context import TaskContext
from engine.errors import (
    Cancelled,
    HashMismatch,
    HostRefused,
    InitFileError,
    MachineStateError,
    PrefixBusy,
    PrefixExists,
    PrefixNotFound,
    SnapshotError,
    SubnetTaken,
    UnknownMachine,
)
from engine.events import EnvChanged, MachineChanged, TaskFinished, TaskLog
from engine.providers.fake import FakeHost, FakeProvider
from engine.providers.hosts import OneHost
from engine.spec import MachineStatus
from engine.state.prefix import Prefix
from engine.tasks.runs import pending_runs
from engine.tasks.scope import RunScope
from tests.engine.bench import HELLO, Bench


def left_behind(bench: Bench) -> list[str]:
    """Return everything of an environment that can be found anywhere."""
    work = [str(path) for path in (bench.folder / "work").rglob("*")] if (bench.folder / "work").exists() else []
    leases = [path.name for path in (bench.folder / "subnets").glob("*.lease")]
    journals = [str(path) for path in (bench.folder / "xdg" / "state" / "lagotui" / "journal").rglob("*")]
    return [*work, *leases, *journals, *map(str, bench.host.machines), *map(str, bench.host.nets)]


def test_init_makes_a_prefix_that_can_be_read_back(bench: Bench) -> None:
    prefix = bench.init()
    env = prefix.load_env()
    assert [machine.ip for machine in env.machines.values()] == ["192.168.200.2", "192.168.200.3"]
    assert env.nets["n0"].gw == "192.168.200.1"
    assert all(Path(disk.path or "").is_file() for machine in env.machines.values() for disk in machine.disks)
    assert env.machines["vm0"].distro == "debian"


def test_init_makes_keys_that_only_the_user_reads(bench: Bench) -> None:
    prefix = bench.init()
    secrets = [prefix.private_key, *prefix.seeds.iterdir()]
    assert {oct(path.stat().st_mode & 0o077) for path in secrets if path.suffix != ".pub"} == {"0o0"}


def test_init_files_every_name_of_a_machine_in_known_hosts(bench: Bench) -> None:
    names = {line.split()[0] for line in bench.init().known_hosts.read_text().splitlines()}
    assert {"vm0", "vm0.lago.local", "vm0-eth0", "192.168.200.2", "vm1"} <= names


def test_up_makes_starts_and_waits(bench: Bench) -> None:
    prefix = bench.up()
    state = bench.engine.state(prefix)
    assert {name: machine.status for name, machine in state.machines.items()} == {
        "vm0": MachineStatus.RUNNING,
        "vm1": MachineStatus.RUNNING,
    }
    assert sorted(bench.waited) == ["vm0", "vm1"]


def test_up_again_changes_nothing(bench: Bench) -> None:
    first = bench.up()
    assert bench.up().uuid == first.uuid


def test_the_first_prefix_of_a_workdir_becomes_current(bench: Bench) -> None:
    prefix = bench.init()
    assert (prefix.path.parent / "current").readlink() == Path("default")


def test_init_of_a_prefix_that_is_there_is_refused(bench: Bench) -> None:
    bench.init()
    with pytest.raises(PrefixExists):
        bench.engine.init(bench.request()).result(60)


def test_init_with_a_broken_file_leaves_nothing(bench: Bench) -> None:
    with pytest.raises(InitFileError, match=r"LagoInitFile:\d+:\d+: error"):
        bench.engine.init(bench.request(HELLO.replace("net: n0", "net: n1"))).result(60)
    assert left_behind(bench) == []


def test_init_with_a_wrong_hash_leaves_nothing(bench: Bench, template_repo: Path) -> None:
    (template_repo / "small.qcow2.hash").write_text("0" * 40)
    with pytest.raises(HashMismatch):
        bench.engine.init(bench.request()).result(60)
    assert left_behind(bench) == []
    assert [path.name for path in (bench.folder / "store").iterdir() if not path.name.endswith(".lock")] == []


def test_a_failed_init_keeps_the_workdirs_other_prefix(bench: Bench, template_repo: Path) -> None:
    first = bench.init()
    (template_repo / "small.qcow2").unlink()
    (bench.folder / "store" / "here:small:v1").unlink()
    with pytest.raises(Exception, match=r"small\.qcow2"):
        bench.engine.init(bench.request(name="second")).result(60)
    assert sorted(path.name for path in first.path.parent.iterdir()) == ["current", "default"]


def test_two_environments_get_two_subnets(bench: Bench) -> None:
    bench.init()
    second = bench.init(name="second")
    assert second.load_env().nets["n0"].gw == "192.168.201.1"


def test_nets_of_users_whose_leases_we_cannot_see_are_passed_over(bench: Bench) -> None:
    bench.up()
    settings = replace(bench.engine.settings, lease_dir=bench.folder / "leases-of-another")
    other = Bench(bench.folder, bench.host, Engine(settings, hosts=OneHost(FakeProvider(bench.host))))
    assert other.init(name="second").load_env().nets["n0"].gw == "192.168.201.1"


def test_a_fixed_gateway_that_is_leased_is_refused(bench: Bench) -> None:
    bench.init()
    with pytest.raises(SubnetTaken, match=r"192\.168\.200"):
        bench.engine.init(bench.request(HELLO.replace("type: nat", "type: nat, gw: 192.168.200.1"), "second")).result(60)


def test_a_subnet_of_a_host_interface_is_not_chosen(bench_on: Callable[[FakeHost], Bench]) -> None:
    bench = bench_on(FakeHost(subnets=frozenset({"192.168.200.0/23"})))
    assert bench.init().load_env().nets["n0"].gw == "192.168.202.1"


def test_start_of_one_machine_leaves_the_others_down(bench: Bench) -> None:
    prefix = bench.init()
    bench.engine.start(prefix, ["vm1"]).result(60)
    assert [name for _, name in bench.host.machines] == ["vm1"]


def test_a_failed_start_stops_what_it_started_and_nothing_else(bench_on: Callable[[FakeHost], Bench]) -> None:
    bench = bench_on(FakeHost())
    prefix = bench.init()
    bench.engine.start(prefix, ["vm0"]).result(60)
    bench.host.refuse = frozenset({"vm1"})
    with pytest.raises(HostRefused, match="vm1"):
        bench.engine.start(prefix).result(60)
    assert [name for _, name in bench.host.machines] == ["vm0"]
    assert [name for _, name in bench.host.nets] == ["n0"]


def test_a_cancelled_start_takes_back_what_it_did(bench_on: Callable[[FakeHost], Bench]) -> None:
    bench = bench_on(FakeHost(start_s=60))
    prefix = bench.init()
    handle = bench.engine.start(prefix)
    threading.Timer(0.2, handle.cancel).start()
    with pytest.raises(Cancelled):
        handle.result(30)
    assert (bench.host.machines, bench.host.nets) == ({}, {})
    assert pending_runs(prefix.path) == []


def test_stop_of_one_machine_keeps_the_net_that_another_uses(bench: Bench) -> None:
    prefix = bench.up()
    bench.engine.stop(prefix, ["vm0"]).result(60)
    assert ([name for _, name in bench.host.machines], [name for _, name in bench.host.nets]) == (["vm1"], ["n0"])


def test_stop_without_names_stops_everything(bench: Bench) -> None:
    prefix = bench.up()
    bench.engine.stop(prefix).result(60)
    assert (bench.host.machines, bench.host.nets) == ({}, {})


@pytest.mark.parametrize("running", [True, False])
def test_snapshot_freezes_the_disk_and_goes_on_with_an_overlay(bench: Bench, running: bool) -> None:
    prefix = bench.up() if running else bench.init()
    before = prefix.machine("vm0").disks[0].path
    bench.engine.snapshot(prefix, "clean").result(60)
    machine = prefix.machine("vm0")
    assert machine.snapshots["clean"][0].path == before
    assert machine.disks[0].path != before
    assert Path(machine.disks[0].path or "").exists()


def test_revert_stops_puts_back_and_starts(bench: Bench) -> None:
    prefix = bench.up()
    bench.engine.snapshot(prefix, "clean").result(60)
    bench.engine.revert(prefix, "clean").result(60)
    assert bench.engine.state(prefix).up_count == 2


def test_a_snapshot_name_is_used_once(bench: Bench) -> None:
    prefix = bench.init()
    bench.engine.snapshot(prefix, "clean").result(60)
    with pytest.raises(SnapshotError, match="there already"):
        bench.engine.snapshot(prefix, "clean").result(60)


def test_revert_to_an_unknown_snapshot_names_those_that_there_are(bench: Bench) -> None:
    prefix = bench.init()
    bench.engine.snapshot(prefix, "clean").result(60)
    with pytest.raises(SnapshotError, match="there is: clean"):
        bench.engine.revert(prefix, "clan").result(60)


def test_destroy_leaves_nothing(bench: Bench) -> None:
    prefix = bench.up()
    bench.engine.snapshot(prefix, "clean").result(60)
    bench.engine.destroy(prefix).result(60)
    assert left_behind(bench) == []
    assert bench.engine.environments() == []


def test_destroy_of_a_damaged_prefix_stops_what_its_host_knows(bench: Bench) -> None:
    prefix = bench.up()
    (prefix.virt / "env").write_text("{")
    bench.engine.destroy(prefix).result(60)
    assert left_behind(bench) == []


def test_destroy_of_a_prefix_without_uuid_removes_the_folder(bench: Bench) -> None:
    prefix = bench.init()
    prefix.uuid_path.unlink()
    bench.engine.destroy(Prefix.at(prefix.path)).result(60)
    assert not prefix.path.exists()


def test_unknown_machines_are_refused_with_the_nearest_name(bench: Bench) -> None:
    prefix = bench.init()
    with pytest.raises(UnknownMachine, match="did you mean 'vm0'"):
        bench.engine.start(prefix, ["wm0"]).result(60)


def test_verbs_on_nothing_say_so(bench: Bench) -> None:
    with pytest.raises(PrefixNotFound):
        bench.engine.start(Prefix.at(bench.folder / "nothing")).result(60)


def test_two_runs_on_one_prefix_at_once_are_refused(bench_on: Callable[[FakeHost], Bench]) -> None:
    bench = bench_on(FakeHost(start_s=60))
    prefix = bench.init()
    first = bench.engine.start(prefix)
    started = bench.engine.bus.subscribe(since=0)
    while not any(getattr(event, "name", "").startswith("Starting VM") for event in started.take(5)):
        assert not first.done
    with pytest.raises(PrefixBusy, match="'start'"):
        bench.engine.stop(prefix).result(60)
    first.cancel()
    with pytest.raises(Cancelled):
        first.result(30)


def test_changes_of_machines_are_pushed(bench: Bench) -> None:
    prefix = bench.init()
    bench.engine.watch(prefix)
    events = bench.engine.bus.subscribe()
    bench.engine.start(prefix, ["vm0"]).result(60)
    pushed = [event for event in events.take() if isinstance(event, MachineChanged)]
    assert [(event.env, event.machine, event.status) for event in pushed] == [(str(prefix.path), "vm0", "running")]


def test_environments_are_announced(bench: Bench) -> None:
    events = bench.engine.bus.subscribe()
    prefix = bench.init()
    bench.engine.destroy(prefix).result(60)
    assert [event.exists for event in events.take() if isinstance(event, EnvChanged)] == [True, False]


def test_every_task_that_starts_ends(bench: Bench) -> None:
    events = bench.engine.bus.subscribe()
    prefix = bench.up()
    bench.engine.destroy(prefix).result(60)
    seen = events.take()
    started = {event.task_id for event in seen if hasattr(event, "parent_id")}
    assert started == {event.task_id for event in seen if isinstance(event, TaskFinished)}


def test_the_story_of_an_init_is_in_the_log_of_its_prefix(bench: Bench) -> None:
    assert "Create disk root" in bench.init().log_file.read_text()


def test_the_log_of_a_failed_init_is_kept(bench: Bench, template_repo: Path) -> None:
    (template_repo / "small.qcow2.hash").write_text("0" * 40)
    handle = bench.engine.init(bench.request())
    with pytest.raises(HashMismatch):
        handle.result(60)
    (log,) = (bench.folder / "xdg" / "state" / "lagotui" / "logs").iterdir()
    assert handle.run_id in log.name


def test_a_destroy_that_went_well_leaves_no_log(bench: Bench) -> None:
    bench.engine.destroy(bench.up()).result(60)
    assert list((bench.folder / "xdg" / "state" / "lagotui" / "logs").iterdir()) == []


def test_what_libraries_log_lands_in_the_task_it_happened_in(bench: Bench) -> None:
    def chatty(ctx: TaskContext, scope: RunScope, machine: str) -> None:
        logging.getLogger("some.library").warning("look at %s", machine)

    engine = Engine(bench.engine.settings, hosts=OneHost(FakeProvider(bench.host)), wait_ready=chatty)
    events = engine.bus.subscribe()
    engine.up(bench.request()).result(60)
    engine.close()
    said = {event.message for event in events.take() if isinstance(event, TaskLog) and event.logger == "some.library"}
    assert said == {"look at vm0", "look at vm1"}


def test_a_paused_machine_is_let_go_on_by_start(bench: Bench) -> None:
    prefix = bench.up()
    bench.host.paused.add((prefix.uuid, "vm0"))
    bench.engine.start(prefix).result(60)
    assert {machine.status for machine in bench.engine.state(prefix).machines.values()} == {MachineStatus.RUNNING}


def test_a_template_that_is_gone_is_named_with_the_disk_that_stands_on_it(bench: Bench) -> None:
    prefix = bench.init()
    (template,) = (path for path in (bench.folder / "store").iterdir() if path.name.endswith(":v1"))
    kept = template.rename(bench.folder / "elsewhere")
    for verb in (lambda: bench.engine.start(prefix), lambda: bench.engine.snapshot(prefix, "s1")):
        with pytest.raises(MachineStateError, match=f"'{template}', which disk 'root' stands on, is gone"):
            verb().result(60)
    kept.rename(template)
    bench.engine.start(prefix).result(60)
