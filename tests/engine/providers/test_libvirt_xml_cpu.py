from __future__ import annotations

from collections.abc import Callable
from typing import Any

import libvirt
import pytest
from lxml import etree

from engine.errors import HostRefused
from engine.providers.base import Accel, HostCpu
from engine.providers.libvirt.accel import AccelChoice
from engine.providers.libvirt.cpu import CpuFacts, CpuModel, models_in, read_cpu_facts
from engine.providers.libvirt.xml_cpu import machine_cpu, numa_cells
from engine.providers.libvirt.xml_domain import Ground, domain_xml
from engine.spec import EnvRef, MachineSpec

KVM, TCG = AccelChoice(Accel.KVM, ""), AccelChoice(Accel.TCG, "")
MODELS = (CpuModel("EPYC", True, "AMD"), CpuModel("Skylake-Client", False, "Intel"), CpuModel("Westmere", True, "Intel"))
INTEL = CpuFacts(HostCpu("Skylake-Client", "Intel"), frozenset({"vmx", "aes"}), MODELS)
CUSTOM = {
    "@mode": "custom",
    "@match": "exact",
    "model": {"@fallback": "allow", "#text": "Westmere"},
    "feature": [{"@policy": "optional", "@name": "vmx"}, {"@policy": "disable", "@name": "aes"}],
    "numa": {"cell": [{"@id": 0, "@cpus": 0, "@memory": 64, "@unit": "MiB"}, {"@id": 1, "@cpus": 1, "@memory": 64, "@unit": "MiB"}]},
}
"""The manual's example."""


def not_asked() -> CpuFacts:
    raise AssertionError("the host was asked for its models")


def cpu(accel: AccelChoice = KVM, facts: Callable[[], CpuFacts] = lambda: INTEL, **spec: Any) -> Any:
    return machine_cpu(MachineSpec("vm0", **{"memory_mib": 128, "vcpu": 2, **spec}), accel, facts)


# cells


def cells(count: int, each: int, size: int) -> list[tuple[str, int]]:
    firsts = [number * size for number in range(count)]
    return [(str(first) if size == 1 else f"{first}-{first + size - 1}", each) for first in firsts]


@pytest.mark.parametrize(
    ("vcpu", "expected"),
    [
        (1, []),
        (2, cells(2, 500, 1)),
        (3, cells(3, 333, 1)),
        (4, [("0-1", 500), ("2-3", 500)]),
        (5, cells(5, 200, 1)),
        (6, cells(3, 333, 2)),
        (8, [("0-3", 500), ("4-7", 500)]),
        (9, cells(9, 111, 1)),
        (10, cells(5, 200, 2)),
        (12, cells(3, 333, 4)),
    ],
)
def test_cells_are_those_of_the_predecessor(vcpu: int, expected: list[tuple[str, int]]) -> None:
    assert numa_cells(vcpu, 1000) == expected


@pytest.mark.parametrize("vcpu", range(2, 129))
def test_cells_hold_every_processor_once(vcpu: int) -> None:
    held = []
    for name, _memory in numa_cells(vcpu, 4096):
        first, _dash, last = name.partition("-")
        held += range(int(first), int(last or first) + 1)
    assert held == list(range(vcpu))


def test_more_cells_than_qemu_takes_are_none() -> None:
    assert (len(numa_cells(127, 4096)), numa_cells(129, 4096)) == (127, [])


# without a choice


@pytest.mark.parametrize(("accel", "name"), [(KVM, "kvm"), (TCG, "tcg")])
def test_cpu_without_a_choice_is_the_golden_one(accel: AccelChoice, name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"cpu-{name}.xml", etree.tostring(cpu(accel, not_asked, vcpu=4), pretty_print=True, encoding="unicode"))


@pytest.mark.parametrize(("vcpu", "memory_mib", "words"), [(0, 128, "vcpu 0"), (256, 4096, "vcpu 256"), (3, 2, "2 MiB"), (1, 0, "0 MiB")])
def test_sizes_that_cannot_be_are_refused(vcpu: int, memory_mib: int, words: str) -> None:
    with pytest.raises(HostRefused, match=f"'vm0' has {words}"):
        cpu(vcpu=vcpu, memory_mib=memory_mib)


# by name


def test_model_is_exact_without_cells_and_may_nest(golden: Callable[[str, str], None]) -> None:
    golden("cpu-model.xml", etree.tostring(cpu(cpu_model="Westmere"), pretty_print=True, encoding="unicode"))


@pytest.mark.parametrize(
    ("accel", "facts", "model", "flags"),
    [
        (KVM, INTEL, "Westmere", ["vmx"]),
        (TCG, INTEL, "Westmere", []),
        (KVM, INTEL, "EPYC", []),
        (KVM, CpuFacts(HostCpu("EPYC", "AMD"), frozenset({"svm"}), MODELS), "EPYC", ["svm"]),
        (KVM, CpuFacts(HostCpu("EPYC", "AMD"), frozenset(), MODELS), "EPYC", []),
        (KVM, CpuFacts(HostCpu("", ""), frozenset({"vmx"}), (CpuModel("qemu64", True),)), "qemu64", []),
    ],
)
def test_guests_may_nest_on_a_host_of_their_vendor_that_can(accel: AccelChoice, facts: CpuFacts, model: str, flags: list[str]) -> None:
    found = cpu(accel, lambda: facts, cpu_model=model).findall("feature")
    assert [feature.get("name") for feature in found] == flags


def test_unknown_model_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(HostRefused, match="no cpu_model 'westmeer'") as refusal:
        cpu(cpu_model="westmeer")
    assert refusal.value.hint.startswith("choose 'Westmere'")


def test_unknown_model_like_none_is_refused_with_some_names() -> None:
    with pytest.raises(HostRefused) as refusal:
        cpu(cpu_model="zzz")
    assert "'EPYC' or 'Westmere'" in refusal.value.hint


def test_model_that_cannot_run_is_refused_with_those_that_can() -> None:
    with pytest.raises(HostRefused, match="cannot run the cpu_model 'Skylake-Client'") as refusal:
        cpu(TCG, cpu_model="Skylake-Client")
    assert "EPYC, Westmere;" in refusal.value.hint


def test_models_are_read_from_domain_capabilities() -> None:
    said = """<domainCapabilities><cpu><mode name='maximum' supported='yes'/><mode name='custom' supported='yes'>
        <model usable='yes' vendor='AMD'>A</model><model usable='no' vendor='Intel'>B</model><model usable='unknown' vendor='x'>C</model>
        </mode></cpu></domainCapabilities>"""
    assert models_in(said) == [CpuModel("A", True, "AMD"), CpuModel("B", False, "Intel"), CpuModel("C", True, "x")]


def test_host_without_domain_capabilities_tells_what_libvirt_knows(conn: Any) -> None:
    assert {"qemu64", "Westmere", "EPYC"} <= set(read_cpu_facts(conn, "test").usable)


# whole


def test_custom_cpu_is_the_golden_one(golden: Callable[[str, str], None]) -> None:
    golden("cpu-custom.xml", etree.tostring(cpu(facts=not_asked, cpu_custom=CUSTOM), pretty_print=True, encoding="unicode"))


def test_custom_topology_is_kept() -> None:
    found = cpu(cpu_custom={"topology": {"@sockets": 1, "@cores": 2, "@threads": 1}}).findall("topology")
    assert [topology.get("cores") for topology in found] == ["2"]


@pytest.mark.parametrize(
    ("value", "xml"),
    [
        ({"model": "Westmere"}, "<model>Westmere</model>"),
        ({"model": None}, "<model/>"),
        ({"feature": []}, ""),
        ({"vendor": {"#text": 5}}, "<vendor>5</vendor>"),
        ({"maxphysaddr": {"@mode": "emulate", "@bits": 42}}, '<maxphysaddr mode="emulate" bits="42"/>'),
        ({"cell": {"@discard": True}}, '<cell discard="yes"/>'),
    ],
)
def test_mapping_becomes_elements(value: dict[str, Any], xml: str) -> None:
    found = [etree.tostring(child, encoding="unicode") for child in cpu(cpu_custom=value) if child.tag != "topology"]
    assert "".join(found) == xml


def test_migratable_is_on_or_off_as_libvirt_says_it() -> None:
    assert cpu(cpu_custom={"@mode": "maximum", "@migratable": False}).get("migratable") == "off"


def deep(levels: int) -> dict[str, Any]:
    return {"a": deep(levels - 1)} if levels else {}


@pytest.mark.parametrize("value", [{"a b": 1}, {"@x": {}}, {"#text": []}, {"a": "\0"}, {"": 1}, {"x": [[1]]}, {"@": 1}, deep(40)])
def test_mapping_that_makes_no_xml_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(HostRefused, match="cpu_custom of machine 'vm0' makes no XML"):
        cpu(cpu_custom=value)


def test_both_choices_at_once_are_refused() -> None:
    with pytest.raises(HostRefused, match="both cpu_model and cpu_custom"):
        cpu(cpu_model="Westmere", cpu_custom=CUSTOM)


@pytest.mark.parametrize("spec", [{}, {"cpu_model": "Westmere"}, {"cpu_custom": CUSTOM}, {"vcpu": 12}, {"vcpu": 1}])
def test_every_kind_of_cpu_is_accepted_by_libvirt(spec: dict[str, Any], conn: Any, env: EnvRef) -> None:
    machine = MachineSpec("vm0", **{"memory_mib": 128, "vcpu": 2, **spec})
    domain: libvirt.virDomain = conn.createXML(domain_xml(env, machine, None, Ground("test", machine_cpu(machine, TCG, lambda: INTEL))))
    assert domain.isActive()
