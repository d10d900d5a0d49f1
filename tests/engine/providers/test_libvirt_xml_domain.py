from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest
from lxml import etree

from engine.errors import HostRefused
from engine.providers.libvirt.chain import Chains, Layer
from engine.providers.libvirt.metadata import Tag, domain_uuid, read_tag
from engine.providers.libvirt.xml_domain import Ground, domain_xml
from engine.spec import DiskSpec, DiskType, EnvRef, MachineSpec, NicSpec, stable_mac

SEED = Path("/work/dir/default/seeds/vm0.iso")
CHAINS = {"vda": (Layer("/work/dir/default/images/vm0_root.frozen", "qcow2"), Layer("/store/lagotui:tiny:1", "raw"))}


def tcg_cpu() -> Any:
    return etree.fromstring('<cpu mode="custom" match="exact"><model fallback="forbid">qemu64</model></cpu>')


def parsed(env: EnvRef, machine: MachineSpec, seed: Path | None = None, chains: Chains | None = None) -> Any:
    return etree.fromstring(domain_xml(env, machine, seed, Ground("qemu", chains=chains or {})))


def disk(dev: str, form: str = "qcow2") -> DiskSpec:
    return DiskSpec(dev, DiskType.FILE, dev, format=form, path=f"/images/{dev}")


def test_domain_xml_under_tcg_is_the_golden_one(fixed_env: EnvRef, machine: MachineSpec, golden: Callable[[str, str], None]) -> None:
    golden("domain-tcg.xml", domain_xml(fixed_env, machine, SEED, Ground("qemu", tcg_cpu(), CHAINS)))


def test_domain_xml_under_kvm_is_the_golden_one(fixed_env: EnvRef, machine: MachineSpec, golden: Callable[[str, str], None]) -> None:
    cpu = etree.fromstring('<cpu mode="host-passthrough"/>')
    golden("domain-kvm.xml", domain_xml(fixed_env, machine, None, Ground("kvm", cpu, CHAINS)))


FEATURES: dict[str, dict[str, Any]] = {
    "disks": {
        "disks": (
            disk("vda"),
            disk("sda", "raw"),
            disk("sdp"),
            disk("hdc", "raw"),
            disk("sdb", "iso"),
            disk("vdb", "iso"),
        )
    },
    "nics": {"nics": (NicSpec("lago", "192.168.200.2"), NicSpec("lago", "192.168.200.3"), NicSpec("wire", mtu=9000), NicSpec("wire"))},
}


@pytest.mark.parametrize("feature", FEATURES)
def test_domain_xml_of_a_feature_is_the_golden_one_and_accepted_by_libvirt(
    feature: str, conn: Any, fixed_env: EnvRef, env: EnvRef, machine: MachineSpec, golden: Callable[[str, str], None]
) -> None:
    featured = replace(machine, **FEATURES[feature])
    golden(f"domain-{feature}.xml", domain_xml(fixed_env, featured, None, Ground("test")))
    conn.createXML(domain_xml(env, featured, None, Ground("test")))


def test_domain_xml_is_accepted_by_libvirt(conn: Any, env: EnvRef, machine: MachineSpec) -> None:
    domain = conn.createXML(domain_xml(env, machine, SEED, Ground("test", tcg_cpu(), CHAINS)))
    assert (domain.name(), domain.UUIDString(), domain.isPersistent()) == ("763e40cc-vm0", domain_uuid(env, "vm0"), 0)


def test_domain_keeps_our_tag(conn: Any, env: EnvRef, machine: MachineSpec) -> None:
    domain = conn.createXML(domain_xml(env, machine, None, Ground("test")))
    assert read_tag(domain.XMLDesc()) == Tag(env.uuid, env.prefix, "vm0")


def test_domains_of_others_have_no_tag(conn: Any) -> None:
    assert read_tag(conn.lookupByName("test").XMLDesc()) is None


@pytest.mark.parametrize(
    ("dev", "form", "target", "bus", "device"),
    [
        ("vda", "qcow2", "vda", "virtio", "disk"),
        ("sda", "raw", "sda", "scsi", "disk"),
        ("sdb", "iso", "sdb", "scsi", "cdrom"),
        ("vdb", "iso", "hda", "ide", "cdrom"),
        ("hdc", "iso", "hdc", "ide", "cdrom"),
    ],
)
def test_bus_follows_the_name_in_the_guest(
    dev: str, form: str, target: str, bus: str, device: str, env: EnvRef, machine: MachineSpec
) -> None:
    element = parsed(env, replace(machine, disks=(disk(dev, form),))).find("devices/disk")
    assert (element.find("target").get("dev"), element.find("target").get("bus"), element.get("device")) == (target, bus, device)


def test_iso_is_attached_raw(env: EnvRef, machine: MachineSpec) -> None:
    assert parsed(env, replace(machine, disks=(disk("vda", "iso"),))).find("devices/disk/driver").get("type") == "raw"


def test_disks_carry_their_number_as_serial(env: EnvRef, machine: MachineSpec) -> None:
    assert [serial.text for serial in parsed(env, machine, SEED).findall("devices/disk/serial")] == ["1", "2", "3", "seed"]


def test_seed_comes_behind_the_users_virtio_disks(env: EnvRef, machine: MachineSpec) -> None:
    disks = (disk("vda"), disk("vdd"))
    assert parsed(env, replace(machine, disks=disks), SEED).findall("devices/disk")[-1].find("target").get("dev") == "vde"


def test_seed_is_read_only(env: EnvRef, machine: MachineSpec) -> None:
    assert parsed(env, machine, SEED).findall("devices/disk")[-1].find("readonly") is not None


@pytest.mark.parametrize(("devs", "controllers"), [(("vda",), 0), (("sda",), 1), (("sda", "sdb", "vda"), 1)])
def test_one_scsi_controller_only_when_it_is_needed(devs: tuple[str, ...], controllers: int, env: EnvRef, machine: MachineSpec) -> None:
    root = parsed(env, replace(machine, disks=tuple(disk(dev) for dev in devs)))
    assert len(root.findall("devices/controller[@type='scsi']")) == controllers


def test_controllers_follow_the_names_of_the_disks(env: EnvRef, machine: MachineSpec) -> None:
    disks = tuple(disk(dev) for dev in ("sda", "sdp", "sdae"))
    found = parsed(env, replace(machine, disks=disks)).findall("devices/controller[@type='scsi']")
    assert [(each.get("index"), each.get("model")) for each in found] == [(str(index), "virtio-scsi") for index in range(3)]


def test_cdrom_leaves_names_that_others_have(env: EnvRef, machine: MachineSpec) -> None:
    disks = (disk("vda", "iso"), disk("hda", "iso"), disk("hdb"))
    targets = parsed(env, replace(machine, disks=disks)).findall("devices/disk/target")
    assert [(target.get("dev"), target.get("bus")) for target in targets] == [("hdc", "ide"), ("hda", "ide"), ("hdb", "ide")]


def test_seed_finds_a_name_behind_twenty_six_disks(env: EnvRef, machine: MachineSpec) -> None:
    disks = tuple(disk(f"vd{letter}") for letter in ascii_lowercase)
    assert parsed(env, replace(machine, disks=disks), SEED).findall("devices/disk")[-1].find("target").get("dev") == "vdaa"


def test_fifth_ide_cdrom_is_refused(env: EnvRef, machine: MachineSpec) -> None:
    with pytest.raises(HostRefused, match="more than four"):
        parsed(env, replace(machine, disks=tuple(disk(f"vd{letter}", "iso") for letter in "abcde")))


def test_disk_without_image_is_refused(env: EnvRef, machine: MachineSpec) -> None:
    with pytest.raises(HostRefused, match="'root'"):
        parsed(env, replace(machine, disks=(DiskSpec("root", DiskType.TEMPLATE, "vda"),)))


def test_nics_without_address_get_macs_that_stay(env: EnvRef, machine: MachineSpec) -> None:
    def macs() -> list[str]:
        found = parsed(env, replace(machine, nics=(NicSpec("wire"), NicSpec("wire")))).findall("devices/interface/mac")
        return [mac.get("address") for mac in found]

    assert macs() == macs() == [stable_mac(env.uuid, machine.name, index) for index in (0, 1)]


@pytest.mark.parametrize("other", [("f" * 32, "vm0", 0), ("e" * 32, "vm1", 0), ("e" * 32, "vm0", 1)])
def test_generated_mac_is_of_one_nic_of_one_machine(other: tuple[str, str, int]) -> None:
    assert stable_mac("e" * 32, "vm0", 0) != stable_mac(*other)


def test_generated_mac_is_for_local_use_and_of_one_station() -> None:
    assert int(stable_mac("e" * 32, "vm0", 0)[:2], 16) & 3 == 2


def test_net_may_repeat(env: EnvRef, machine: MachineSpec) -> None:
    nics = (NicSpec("lago", "192.168.200.2"), NicSpec("lago", "192.168.200.3"))
    found = parsed(env, replace(machine, nics=nics)).findall("devices/interface")
    assert [(nic.find("source").get("network"), nic.find("mac").get("address")) for nic in found] == [
        ("763e-lago", "54:52:c0:a8:c8:02"),
        ("763e-lago", "54:52:c0:a8:c8:03"),
    ]


def test_names_with_xml_in_them_stay_text(env: EnvRef, machine: MachineSpec) -> None:
    odd = replace(machine, disks=(replace(machine.disks[0], path="/images/<a>&'\".qcow2"),))
    assert parsed(env, odd).find("devices/disk/source").get("file") == "/images/<a>&'\".qcow2"


def test_images_below_a_disk_are_left_to_their_owner(env: EnvRef, machine: MachineSpec) -> None:
    sources = parsed(env, machine, chains=CHAINS).findall("devices/disk//backingStore/source")
    assert [(source.get("file"), source.find("seclabel").get("relabel")) for source in sources] == [
        (layer.path, "no") for layer in CHAINS["vda"]
    ]


def test_disk_that_stands_alone_says_so(env: EnvRef, machine: MachineSpec) -> None:
    assert parsed(env, machine, chains={"vda": ()}).find("devices/disk/backingStore").attrib == {}
