from __future__ import annotations

from typing import Any

import pytest

from engine.providers.libvirt.stats import machine_stats

RECORD: dict[str, Any] = {
    "cpu.time": 2_500_000_000,
    "vcpu.current": 2,
    "balloon.maximum": 262144,
    "balloon.rss": 400000,
    "net.count": 2,
    "net.0.rx.bytes": 1,
    "net.1.rx.bytes": 2,
    "net.0.tx.bytes": 10,
    "block.count": 2,
    "block.0.rd.bytes": 100,
    "block.1.rd.bytes": 200,
    "block.1.wr.bytes": 5,
}


def test_record_of_libvirt_becomes_one_reading() -> None:
    stats = machine_stats(RECORD, at_s=1.0)
    assert (stats.cpu_time_s, stats.vcpu, stats.memory_mib) == (2.5, 2, 256)


def test_figures_of_all_nics_and_disks_are_added() -> None:
    stats = machine_stats(RECORD, at_s=1.0)
    assert (stats.net_received_bytes, stats.net_sent_bytes, stats.disk_read_bytes, stats.disk_written_bytes) == (3, 10, 300, 5)


@pytest.mark.parametrize(
    ("said", "used_mib"),
    [
        ({}, 256),
        ({"balloon.available": 204800, "balloon.usable": 102400, "balloon.unused": 51200}, 100),
        ({"balloon.available": 204800, "balloon.unused": 51200}, 150),
        ({"balloon.rss": 51200}, 50),
    ],
)
def test_memory_use_is_the_guests_word_else_what_the_host_holds(said: dict[str, Any], used_mib: int) -> None:
    assert machine_stats({**RECORD, **said}, at_s=1.0).memory_used_mib == used_mib


def test_busy_machine_that_tells_nothing_reads_as_zero() -> None:
    assert machine_stats({}, at_s=1.0).cpu_time_s == 0
