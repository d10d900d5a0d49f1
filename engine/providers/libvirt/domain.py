"""Machines of an environment as libvirt domains: find, start, stop, see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import libvirt

from ...errors import HostRefused, MachineStateError
from ...spec import EnvRef, MachineSpec, MachineStatus
from .metadata import domain_uuid, read_tag
from .refusals import foreign, is_code, refused
from .xml_domain import Ground, domain_xml

STATUS_OF_STATE = {
    libvirt.VIR_DOMAIN_NOSTATE: MachineStatus.NO_STATE,
    libvirt.VIR_DOMAIN_RUNNING: MachineStatus.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: MachineStatus.BLOCKED,
    libvirt.VIR_DOMAIN_PAUSED: MachineStatus.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: MachineStatus.STOPPING,
    libvirt.VIR_DOMAIN_SHUTOFF: MachineStatus.SHUT_OFF,
    libvirt.VIR_DOMAIN_CRASHED: MachineStatus.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: MachineStatus.SUSPENDED,
}


def start_machine(conn: libvirt.virConnect, env: EnvRef, machine: MachineSpec, seed: Path | None, ground: Ground) -> bool:
    """Start a machine; returns false when it was up already.

    Raises:
        HostRefused: the host cannot run it, or somebody else's domain has its name.
    """
    if find(conn, env, machine.name) is not None:
        return False
    xml = domain_xml(env, machine, seed, ground)
    fresh_log(env.serial_log(machine.name))
    try:
        conn.createXML(xml, 0)
    except libvirt.libvirtError as error:
        # Another run may have started the machine between our look and our call.
        if find(conn, env, machine.name) is not None:
            return False
        raise refused(f"cannot start machine '{machine.name}'", error) from error
    return True


def stop_machine(conn: libvirt.virConnect, env: EnvRef, name: str) -> bool:
    """End a machine at once; returns false when it was not there.

    Raises:
        HostRefused: the host cannot end it, or it is somebody else's.
    """
    domain = find(conn, env, name)
    if domain is None:
        return False
    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        # It may have ended by itself, or by another run, at this moment.
        if not is_code(error, libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            raise refused(f"cannot stop machine '{name}'", error) from error
    return True


def press_power(conn: libvirt.virConnect, env: EnvRef, name: str) -> bool:
    """Press a machine's power button; returns false when it is not there.

    Raises:
        HostRefused: the host cannot, or it is somebody else's.
    """
    return _pressed(conn, env, name, lambda domain: domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN))


def press_reset(conn: libvirt.virConnect, env: EnvRef, name: str) -> bool:
    """Let a machine shut itself down and start again at once, on the same disks; as `press_power`."""
    return _pressed(conn, env, name, lambda domain: domain.reboot(libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN))


def _pressed(conn: libvirt.virConnect, env: EnvRef, name: str, press: Callable[[libvirt.virDomain], object]) -> bool:
    domain = find(conn, env, name)
    if domain is None:
        return False
    try:
        press(domain)
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_DOMAIN):
            return False
        raise refused(f"machine '{name}' cannot be asked to go", error) from error
    return True


def states(conn: libvirt.virConnect, env: EnvRef) -> Mapping[str, MachineStatus]:
    """Return the machines of `env` that the host knows, by one bulk call."""
    records = conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
    found = ((machine_of(env, domain), record) for domain, record in records)
    return {name: STATUS_OF_STATE.get(record.get("state.state"), MachineStatus.UNKNOWN) for name, record in found if name}


def machine_of(env: EnvRef, domain: libvirt.virDomain) -> str:
    """Return which machine of `env` a domain is, "" when it is none; asks the host nothing."""
    name = domain.name().removeprefix(env.scoped_name(""))
    return name if domain.name() == env.scoped_name(name) and domain.UUIDString() == domain_uuid(env, name) else ""


def tagged(conn: libvirt.virConnect, uuid: str) -> frozenset[str]:
    """Return the domains that carry an environment's tag, by their name on the host."""
    found = ((domain, read_tag(domain.XMLDesc())) for domain in conn.listAllDomains())
    return frozenset(domain.name() for domain, tag in found if tag is not None and tag.uuid == uuid)


def find(conn: libvirt.virConnect, env: EnvRef, machine: str) -> libvirt.virDomain | None:
    """Return the machine's domain, None when it is not there.

    Raises:
        HostRefused: a domain of that name was made by somebody else.
    """
    name = env.scoped_name(machine)
    try:
        domain = conn.lookupByName(name)
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_DOMAIN):
            return None
        raise refused(f"cannot look for machine '{machine}'", error) from error
    if domain.UUIDString() != domain_uuid(env, machine):
        raise foreign("domain", name)
    return domain


def running(conn: libvirt.virConnect, env: EnvRef, machine: str) -> libvirt.virDomain:
    """Return the domain of a machine that is up.

    Raises:
        MachineStateError: it is down.
    """
    domain = find(conn, env, machine)
    if domain is None:
        raise MachineStateError(f"machine '{machine}' is not running", hint=f"start it with: lagotui --run start {machine}")
    return domain


def fresh_log(log: Path) -> None:
    """Make an empty log that belongs to us.

    What is there goes first: a log daemon that runs as root may have rotated the file, and then it is not ours to write.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        for old in (log, *log.parent.glob(f"{log.name}.*")):
            old.unlink(missing_ok=True)
        log.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise HostRefused(f"cannot make the console log '{log}': {error.strerror}", hint="make the folder writable") from error
