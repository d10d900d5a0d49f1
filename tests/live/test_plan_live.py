"""Machines that depend on each other, and an init file that grows while they run, on real machines."""

from __future__ import annotations

import json

from tests.live.conftest import Person

TWO = """
nets:
  lab: {type: nat, management: true, dns_domain_name: lab.test} # without dhcp: its machines have their addresses all the same
domains:
  db: &machine
    memory: 128
    vcpu: 1
    nics: [{net: lab}]
    disks: [{template_name: tiny, type: template, name: root, dev: vda}]
    ready: {tcp: 22, log: "login:", command: "test -d /root", timeout_sec: 120}
  web: {<<: *machine, depends_on: [db]}
"""
THREE = TWO + "  cache: *machine\n"


def test_dependencies_are_ready_first_and_a_third_machine_joins_the_others(ordinary: Person) -> None:
    file = ordinary.write("LagoInitFile", TWO)
    plan = json.loads(ordinary.lago("-f", "json", "plan"))
    assert (plan["exists"], plan["steps"]["wait-ready"]["count"]) == (False, 2)
    assert not (ordinary.home / ".lago").exists()

    ordinary.lago("up")
    log = (ordinary.home / ".lago" / "default" / "logs" / "lago.log").read_text()
    assert 0 < log.index("end task: Wait until db is ready") < log.index("start task: Starting VM web")
    booted = ordinary.lago("shell", "web", "cat /proc/sys/kernel/random/boot_id")

    file.write_text(THREE)
    changes = json.loads(ordinary.lago("-f", "json", "plan"))["changes"]
    assert [(each["fate"], each["kind"], each["name"]) for each in changes] == [("create", "machine", "cache")]
    ordinary.lago("up")
    assert ordinary.lago("shell", "cache", "hostname").strip() == "cache"
    assert "bytes from" in ordinary.lago("shell", "web", "ping -c 1 -W 5 cache.lab.test")
    assert ordinary.lago("shell", "web", "cat /proc/sys/kernel/random/boot_id") == booted

    file.write_text(TWO)
    assert "machine 'cache': everything on its disks" in ordinary.lago("up", code=2)
    ordinary.lago("up", "-y")
    assert set(ordinary.status()["VMs"]) == {"db", "web"}
    ordinary.lago("destroy", "-y")
    assert ordinary.wait_gone() == []
