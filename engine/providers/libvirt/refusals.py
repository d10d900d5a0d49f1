"""libvirt's refusals in our voice: what was asked, libvirt's own words, and the next step where there is one."""

from __future__ import annotations

import libvirt

from ...errors import DiskFull, EngineError, HostRefused

_LET_QEMU_IN = "let the host's qemu user read the image and pass the folders above it, or use your own private host: --libvirt_url private"
_NEXT_STEPS = (
    ("is another process using the image", "stop the machine that has it already: ps -ef | grep qemu-system names it by its folder"),
    ("is already in use by interface", "choose another gw, or leave gw out and one is chosen for you"),
    ("iptables", "install iptables, or end the firewall that locks its tables: sudo apt-get install iptables"),
    ("nft", "install nftables: sudo apt-get install nftables"),
    ("accept_ra", "sudo sysctl -w net.ipv6.conf.INTERFACE.accept_ra=2, or set ipv6: false on the net"),
    ("cpu mode 'host-", "take '@mode': maximum: the host's own processor takes KVM"),
    ("firewalld", "restart the firewall and try again: sudo systemctl restart firewalld"),
    ("dnsmasq", "install dnsmasq: sudo apt-get install dnsmasq-base"),
    ("cannot allocate memory", "give the machine less memory, or stop others"),
    ("unable to create bridge", "load the kernel's bridge support: sudo modprobe bridge"),
    ("/dev/net/tun", "load the kernel's tap support: sudo modprobe tun"),
    ("cannot access storage file", _LET_QEMU_IN),
    ("permission denied", _LET_QEMU_IN),
    ("virtlogd", "start libvirt's log daemon: sudo systemctl start virtlogd.socket"),
    ("network not found", "start the whole environment: lagotui --run start"),
    ("is not active", "start the whole environment: lagotui --run start"),
    ("emulator", "install QEMU: sudo apt-get install qemu-system-x86"),
)


def refused(asked: str, error: libvirt.libvirtError) -> EngineError:
    """Return the error for an operation that libvirt refused.

    Args:
        asked: what could not be done, e.g. `cannot start net 'lago'`.
        error: libvirt's.
    """
    words = _words(error)
    if "No space left on device" in words:
        return DiskFull(f"{asked}: {words}")
    lowered = words.lower()
    return HostRefused(f"{asked}: libvirt says '{words}'", hint=next((step for sign, step in _NEXT_STEPS if sign in lowered), ""))


def foreign(what: str, name: str) -> HostRefused:
    """Return the error for a domain or network that has our name but was made by somebody else."""
    tool = "net-destroy" if what == "network" else "destroy"
    return HostRefused(f"the host has a {what} '{name}' that lagotui did not make", hint=f"look at it, then remove it: virsh {tool} {name}")


def is_code(error: libvirt.libvirtError, *codes: int) -> bool:
    """Return whether libvirt failed with one of these `VIR_ERR_*`."""
    return error.get_error_code() in codes


def _words(error: libvirt.libvirtError) -> str:
    """Return libvirt's message without its generic prefix, on one line."""
    message = " ".join((error.get_error_message() or str(error)).split())
    return message.removeprefix("internal error: ")
