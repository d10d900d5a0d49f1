from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import libvirt
import pytest

from engine.errors import HostRefused, MachineStateError
from engine.providers.libvirt import domain
from engine.providers.libvirt.xml_domain import Ground
from engine.spec import EnvRef, MachineSpec, MachineStatus


def start(conn: Any, env: EnvRef, machine: MachineSpec) -> bool:
    return domain.start_machine(conn, env, machine, None, Ground("test"))


def foreign_domain(conn: Any, name: str) -> None:
    conn.createXML(f"<domain type='test'><name>{name}</name><memory>1024</memory><os><type>hvm</type></os></domain>")


def test_started_machine_is_running(conn: Any, env: EnvRef, machine: MachineSpec) -> None:
    start(conn, env, machine)
    assert domain.states(conn, env) == {"vm0": MachineStatus.RUNNING}


def test_start_of_a_machine_that_is_up_changes_nothing(conn: Any, env: EnvRef, machine: MachineSpec) -> None:
    assert [start(conn, env, machine) for _ in range(2)] == [True, False]


def test_paused_machine_is_told_as_paused(conn: Any, env: EnvRef, machine: MachineSpec) -> None:
    start(conn, env, machine)
    conn.lookupByName("763e40cc-vm0").suspend()
    assert domain.states(conn, env) == {"vm0": MachineStatus.PAUSED}


def test_stopped_machine_is_not_known_any_more(conn: Any, env: EnvRef, machine: MachineSpec) -> None:
    start(conn, env, machine)
    domain.stop_machine(conn, env, "vm0")
    assert domain.states(conn, env) == {}


def test_stop_of_a_machine_that_is_down_changes_nothing(conn: Any, env: EnvRef) -> None:
    assert domain.stop_machine(conn, env, "vm0") is False


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_domain_of_somebody_else_is_left_alone(verb: str, conn: Any, env: EnvRef, machine: MachineSpec) -> None:
    foreign_domain(conn, "763e40cc-vm0")
    with pytest.raises(HostRefused, match="did not make"):
        if verb == "start":
            start(conn, env, machine)
        else:
            domain.stop_machine(conn, env, "vm0")


def test_domains_of_somebody_else_have_no_state_of_ours(conn: Any, env: EnvRef) -> None:
    foreign_domain(conn, "763e40cc-vm0")
    assert domain.states(conn, env) == {}


def test_machines_of_an_environment_with_alike_uuid_do_not_count(conn: Any, env: EnvRef, machine: MachineSpec) -> None:
    start(conn, replace(env, uuid=env.uuid[:8] + "f" * 24), machine)
    assert (domain.states(conn, env), domain.tagged(conn, env.uuid)) == ({}, frozenset())


def test_tagged_machines_are_found_by_uuid_alone(conn: Any, env: EnvRef, machine: MachineSpec) -> None:
    start(conn, env, machine)
    assert domain.tagged(conn, env.uuid) == {"763e40cc-vm0"}


def test_start_empties_the_console_log(conn: Any, env: EnvRef, machine: MachineSpec) -> None:
    log = env.serial_log("vm0")
    log.parent.mkdir()
    log.write_text("of the last start")
    Path(f"{log}.0").write_text("of the one before")
    start(conn, env, machine)
    assert (log.read_text(), Path(f"{log}.0").exists()) == ("", False)


def test_verbs_that_need_a_running_machine_say_how_to_start_it(conn: Any, env: EnvRef) -> None:
    with pytest.raises(MachineStateError, match="start vm0"):
        domain.running(conn, env, "vm0")


def test_every_state_of_libvirt_has_a_word() -> None:
    assert set(domain.STATUS_OF_STATE) == set(range(libvirt.VIR_DOMAIN_PMSUSPENDED + 1))
