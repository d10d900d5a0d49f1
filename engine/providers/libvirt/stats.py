"""Live figures of the machines of an environment, by one bulk call."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import libvirt

from ...spec import EnvRef
from ..base import MachineStats
from .domain import machine_of

_WANTED = (
    libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_INTERFACE
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)
_HOW = (
    # A machine that is busy (saving, snapshotting) tells less instead of holding everybody up.
    libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
)


def read_stats(conn: libvirt.virConnect, env: EnvRef) -> Mapping[str, MachineStats]:
    """Return the figures of every machine of `env` that is up."""
    records = conn.getAllDomainStats(_WANTED, _HOW)
    at_s = time.monotonic()
    found = ((machine_of(env, domain), record) for domain, record in records)
    return {name: machine_stats(record, at_s) for name, record in found if name}


def machine_stats(record: Mapping[str, Any], at_s: float) -> MachineStats:
    """Return one domain's record of libvirt's bulk statistics as ours."""
    return MachineStats(
        at_s=at_s,
        cpu_time_s=record.get("cpu.time", 0) / 1e9,
        vcpu=int(record.get("vcpu.current", 0)),
        memory_used_mib=_used_kib(record) // 1024,
        memory_mib=int(record.get("balloon.maximum", 0)) // 1024,
        disk_read_bytes=_sum(record, "block", "rd.bytes"),
        disk_written_bytes=_sum(record, "block", "wr.bytes"),
        net_received_bytes=_sum(record, "net", "rx.bytes"),
        net_sent_bytes=_sum(record, "net", "tx.bytes"),
    )


def _used_kib(record: Mapping[str, Any]) -> int:
    """Return what the guest says it uses; before its balloon driver has spoken, what qemu holds on the host, at most all of it."""
    available = record.get("balloon.available")
    spare = record.get("balloon.usable", record.get("balloon.unused"))
    if available is not None and spare is not None:
        return max(0, int(available) - int(spare))
    return min(int(record.get("balloon.rss", 0)), int(record.get("balloon.maximum", 0)))


def _sum(record: Mapping[str, Any], group: str, what: str) -> int:
    return sum(int(record.get(f"{group}.{index}.{what}", 0)) for index in range(int(record.get(f"{group}.count", 0))))
