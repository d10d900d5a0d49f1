"""From an environment back to an init file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.errors import InitFileError
from engine.plan.generating import init_file, without_paths
from engine.spec import EnvSpec
from tests.engine.bench import HELLO, Bench

FULL = """
nets:
  n0: {type: nat, management: true, dhcp: {start: 100, end: 254}, dns_records: {www: 192.168.200.9}, mtu: 1400}
  n1: {type: nat, gw: 192.168.222.1}
domains:
  vm0:
    memory: 128
    vcpu: 1
    groups: [web, db]
    metadata: {k: [1, 2]}
    ready: {tcp: 80}
    nics: [{net: n0}, {net: n1, ip: 192.168.222.40}]
    disks:
      - {template_name: small, type: template, name: root, dev: vda}
      - {type: empty, name: data, dev: vdb, size: 1M, format: qcow2}
  vm1: {memory: 64, vcpu: 1, depends_on: [vm0], nics: [{net: n0}], disks: []}
"""


@pytest.mark.parametrize("text", [HELLO, FULL])
def test_what_is_generated_makes_the_same_environment_again(bench: Bench, text: str) -> None:
    first = bench.init(text)
    data = bench.engine.generate_init(first)
    bench.engine.destroy(first).result(60)
    second = bench.init(yaml.safe_dump(data, sort_keys=False))
    assert bench.engine.generate_init(second) == data


def test_what_init_chose_is_left_open_and_what_the_user_chose_stays(bench: Bench) -> None:
    data = bench.engine.generate_init(bench.init(FULL))
    assert "gw" not in data["nets"]["n0"]
    assert data["nets"]["n1"]["gw"] == "192.168.222.1"
    assert data["nets"]["n0"]["dns_records"] == {"www": "192.168.200.9"}
    assert data["domains"]["vm0"]["nics"] == [{"net": "n0"}, {"net": "n1", "ip": "192.168.222.40"}]
    assert not {"name", "mgmt_net", "snapshots", "distro"} & data["domains"]["vm0"].keys()


def test_without_the_old_file_everything_that_may_be_chosen_is_left_open(bench: Bench) -> None:
    prefix = bench.init(FULL)
    data = init_file(prefix.load_env())
    assert all("gw" not in net for net in data["nets"].values())
    assert data["domains"]["vm0"]["nics"] == [{"net": "n0"}, {"net": "n1"}]
    assert data["nets"]["n0"]["dns_records"] == {"www": "192.168.200.9"}


def test_an_image_of_unknown_origin_is_used_as_it_is_now(bench: Bench) -> None:
    env = bench.init().load_env()
    machine = env.machines["vm0"]
    disks = (replace(machine.disks[0], template_name=None),)
    disk = init_file(EnvSpec({"vm0": replace(machine, disks=disks)}, env.nets))["domains"]["vm0"]["disks"][0]
    assert disk["type"] == "file"
    assert Path(disk["path"]).is_file()


DATA: dict[str, Any] = {"domains": {"a": {"disks": [{"x": 1}, {"x": 2}], "k": 1}, "b": {"disks": [], "k": 2}}, "nets": {"n": {}}}


@pytest.mark.parametrize(
    ("path", "left"),
    [
        ("nets", {"domains": DATA["domains"]}),
        ("domains/a/k", {"domains": {"a": {"disks": [{"x": 1}, {"x": 2}]}, "b": {"disks": [], "k": 2}}, "nets": {"n": {}}}),
        ("domains/*/disks", {"domains": {"a": {"k": 1}, "b": {"k": 2}}, "nets": {"n": {}}}),
        ("domains/*/disks/*/x", {"domains": {"a": {"disks": [{}, {}], "k": 1}, "b": {"disks": [], "k": 2}}, "nets": {"n": {}}}),
        ("domains/a/disks/1/x", {"domains": {"a": {"disks": [{"x": 1}, {}], "k": 1}, "b": {"disks": [], "k": 2}}, "nets": {"n": {}}}),
        ("domains/*", {"domains": {}, "nets": {"n": {}}}),
        ("nets/n/missing", DATA),
    ],
)
def test_paths_are_left_out(path: str, left: dict[str, Any]) -> None:
    assert without_paths(DATA, [path]) == left


@pytest.mark.parametrize("path", ["nowhere/k", "domains/c/k", "domains/a/k/x", "domains/a/disks/7/x", "domains/a/disks/*/x/y"])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(InitFileError):
        without_paths(DATA, [path])
