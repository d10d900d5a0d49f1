"""KVM only where it really works."""

from __future__ import annotations

import pytest

from engine.errors import HostRefused
from engine.providers.base import Accel
from engine.providers.libvirt.accel import KvmFacts, probe_accel

WORKS = KvmFacts("", frozenset({"fpu", "vmx"}))
AMD = KvmFacts("", frozenset({"svm"}))
NO_FLAG = KvmFacts("", frozenset({"fpu"}))
NO_FLAGS_HERE = KvmFacts("", None)
CLOSED = KvmFacts("'/dev/kvm' does not open: Permission denied", frozenset({"vmx"}))


@pytest.mark.parametrize(
    ("facts", "accel"),
    [(WORKS, Accel.KVM), (AMD, Accel.KVM), (NO_FLAG, Accel.TCG), (NO_FLAGS_HERE, Accel.KVM), (CLOSED, Accel.TCG)],
)
def test_auto_takes_kvm_only_where_it_works(facts: KvmFacts, accel: Accel) -> None:
    assert probe_accel("auto", lambda: facts).accel is accel


def test_a_device_without_the_cpu_flag_is_told() -> None:
    assert probe_accel("auto", lambda: NO_FLAG).why == "'/dev/kvm' is there, but the processor has neither vmx nor svm"


def test_kvm_can_be_forced_against_the_flags() -> None:
    assert probe_accel("kvm", lambda: NO_FLAG).accel is Accel.KVM


def test_kvm_cannot_be_forced_without_its_device() -> None:
    with pytest.raises(HostRefused, match=r"Permission denied.*usermod -aG kvm"):
        probe_accel("kvm", lambda: CLOSED)


def test_tcg_asks_nothing() -> None:
    assert probe_accel("tcg", lambda: pytest.fail("it asked")).accel is Accel.TCG


@pytest.mark.parametrize(("wanted", "virt_type", "mode"), [("kvm", "kvm", "host-passthrough"), ("tcg", "qemu", "custom")])
def test_the_domain_gets_the_type_and_cpu_of_the_accelerator(wanted: str, virt_type: str, mode: str) -> None:
    choice = probe_accel(wanted, lambda: WORKS)
    assert (choice.virt_type, choice.cpu().get("mode")) == (virt_type, mode)


def test_this_machine_can_be_asked() -> None:
    assert probe_accel().why
