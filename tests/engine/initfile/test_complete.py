"""What is offered at the cursor (`¦` in the texts), and said about what is there."""

from __future__ import annotations

import time

import pytest

from engine.initfile.complete import Kind, Suggestion, complete, hover
from engine.initfile.facts import Facts, Processor
from tests.engine.initfile.test_load import big_file

FACTS = Facts(
    templates={"tiny": ("1",), "el7-base": ("v2", "v1")},
    cpu_models=("Nehalem", "Snowridge", "Westmere"),
    processor=lambda: Processor("Westmere", "Intel", frozenset({"Nehalem", "Westmere"})),
    bridges=("br0",),
    vm_providers=("local-libvirt",),
)
NETS = "nets:\n  lan: {management: true, gw: 192.168.210.1}\n  wan:\n    type: bridge\n"


def place(text: str) -> tuple[str, int, int]:
    before, after = text.split("¦")
    return before + after, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def at(text: str) -> list[Suggestion]:
    return complete(*place(text), FACTS)


def labels(text: str) -> list[str]:
    return [each.label for each in at(text)]


def machine(keys: str) -> str:
    return f"domains:\n  vm0:\n    {keys}\n  vm1:\n    vcpu: 1\nprototypes:\n  small:\n    vcpu: 1\n{NETS}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("¦", ["domains", "nets", "prototypes"]),
        ("do¦", ["domains"]),
        ("domains: {}\nne¦", ["nets"]),
        (machine("mem¦"), ["memory"]),
        (machine("memory: 1\n    mem¦"), []),
        (machine("vm-p¦"), ["vm-provider"]),
        (machine("nics:\n      - ¦"), ["net", "ip"]),
        (machine("nics:\n      - net: lan\n        ¦"), ["ip"]),
        (machine("nics:\n      ¦"), ["- net"]),
        (machine("nics:\n    - ¦"), ["net", "ip"]),
        (machine("nics:\n      - net: ¦"), ["lan", "wan"]),
        (machine("nics:\n      - net: w¦"), ["wan"]),
        (machine("nics: [{net: ¦"), ["lan", "wan"]),
        (machine("nics: [{net: lan, ¦}]"), ["ip"]),
        (machine("disks: [{name: a, type: te¦}]"), ["template"]),
        (machine("disks:\n      - name: a\n        template_name: ¦"), ["tiny", "el7-base"]),
        (machine("disks:\n      - template_version: ¦\n        template_name: el7-base"), ["v2", "v1"]),
        (machine("disks:\n      - format: ¦"), ["qcow2", "raw", "iso"]),
        (machine("depends_on: ¦"), ["vm1"]),
        (machine("depends_on: [¦]"), ["vm1"]),
        (machine("depends_on: [vm1, ¦]"), []),
        (machine("depends_on:\n      - ¦"), ["vm1"]),
        (machine("depends_on:\n      ¦"), ["- vm1"]),
        (machine("based-on: ¦"), ["small"]),
        (machine("cpu_model: west¦"), ["Westmere"]),
        (machine("vm-provider: ¦"), ["local-libvirt"]),
        (machine("bootstrap: ¦"), ["true", "false"]),
        (machine("service_provider: sysv¦"), ["sysvinit"]),
        (machine("ready:\n      t¦"), ["tcp", "timeout_sec"]),
        (machine("cloud-init: {¦}"), ["user-data", "network-config"]),
        (machine("type: ¦"), ["ova"]),
        (machine("metadata:\n      ¦"), []),
        (machine("memory: ¦"), []),
        (machine("# mem¦"), []),
        (machine("distro: el7 # x¦"), []),
        (machine("cloud-init:\n      user-data: |\n        #cloud-config\n        mem¦"), []),
        ("domains: {}\nnets:\n  lan:\n    type: ¦", ["nat", "bridge"]),
        ("domains: {}\nnets:\n  lan:\n    bridge: ¦", ["br0"]),
        ("domains: {}\nnets:\n  lan:\n    dhcp: {start: 2, ¦", ["end"]),
        ("prototypes:\n  small:\n    mem¦", ["memory"]),
        ('{"domains": {"vm0": {"vcp¦', ["vcpu"]),
        ('{"domains": {"vm0": {"nics": [{"net": "¦"}]}}, "nets": {"lan": {}}}', ["lan"]),
    ],
)
def test_offered(text: str, expected: list[str]) -> None:
    assert labels(text) == expected


def test_needed_keys_come_first() -> None:
    assert labels(machine("disks:\n      - ¦"))[:2] == ["type", "name"]


def test_keys_that_the_program_writes_are_not_offered() -> None:
    assert not {"name", "mgmt_net", "snapshots", "service_class"} & set(labels(machine("¦")))


def test_key_is_inserted_with_its_colon_in_place_of_what_is_typed() -> None:
    (found,) = at(machine("mem¦"))
    assert (found.insert, found.replaces, found.kind) == ("memory: ", 3, Kind.KEY)


def test_key_of_json_is_quoted() -> None:
    (found,) = at('{"domains": {"vm0": {"vcp¦')
    assert (found.insert, found.replaces) == ('"vcpu": ', 4)


def test_details_say_what_a_name_is() -> None:
    assert [each.detail for each in at(machine("nics: [{net: ¦"))] == ["nat net, 192.168.210.1, management", "bridge net"]


def test_cpu_models_begin_with_that_of_the_host() -> None:
    assert [(each.label, each.detail) for each in at(machine("cpu_model: ¦"))] == [
        ("Westmere", "CPU model, the host's own"),
        ("Nehalem", "CPU model"),
        ("Snowridge", "CPU model that the host cannot run"),
    ]


def test_brackets_that_were_never_closed_end_with_the_next_key() -> None:
    assert labels("domains:\n  vm0:\n    nics: [{net: lan\n    vc¦") == ["vcpu"]


def test_without_facts_the_world_offers_nothing() -> None:
    assert complete(*place(machine("cpu_model: ¦"))) == []


def said(text: str) -> tuple[str, str] | None:
    found = hover(*place(text), FACTS)
    return found and (found.title, found.text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (machine("mem¦ory: 1"), ("memory of a machine", "Memory: a number of MiB, or 512M, 2G.\nWithout it: 1024.")),
        (machine("vcpu: ¦2"), ("vcpu of a machine", "Number of virtual CPUs.\nWithout it: 2.")),
        (machine("nics: [{net: l¦an}]"), ("net lan", "nat net, 192.168.210.1, management\n1 nic")),
        (machine("disks: [{template_name: el7¦-base}]"), ("template el7-base", "versions: v2, v1")),
        (
            machine("cpu_model: Snow¦ridge"),
            ("cpu_model Snowridge", "CPU model that the host cannot run.\nThe host's own processor is Westmere of Intel."),
        ),
        (machine("depends_on: [v¦m1]"), ("machine vm1", "vcpu: 1")),
        ("dom¦ains: {}", ("domains", "The machines: name → keys.")),
        (machine("colour: ¦red"), None),
        (machine("memory: 1 ¦"), None),
        ("¦", None),
    ],
)
def test_hover(text: str, expected: tuple[str, str] | None) -> None:
    assert said(text) == expected


def test_hover_knows_its_place() -> None:
    found = hover(*place(machine("mem¦ory: 1")), FACTS)
    assert found is not None
    assert (found.line, found.column, found.end_column) == (3, 5, 11)


@pytest.mark.parametrize(("line", "column"), [(0, 0), (99, 1), (1, 999)])
def test_cursor_outside_of_the_text_is_no_fault(line: int, column: int) -> None:
    complete(NETS, line, column, FACTS)
    hover(NETS, line, column, FACTS)


def test_completion_in_a_thousand_machines_is_quick() -> None:
    text = big_file(1000)
    started_s = time.process_time()
    complete(text, 7000, 5, FACTS)
    assert time.process_time() - started_s < 5.0


@pytest.mark.parametrize(
    "text", ["a" + " " * 100_000, "- " * 50_000, "{" * 50_000, "'" * 50_001, "&" * 50_000, "a:b" * 20_000, "{a b " + "c d " * 20_000]
)
def test_completion_never_hangs(text: str) -> None:
    started_s = time.process_time()
    complete(text, 1, len(text) + 1, FACTS)
    hover(text, 1, 5, FACTS)
    assert time.process_time() - started_s < 5.0
