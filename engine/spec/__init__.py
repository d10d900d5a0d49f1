"""An environment as data: what an init file means, and what a prefix remembers.

Plain dataclasses, so that reading a prefix loads no validator.

Key names are the predecessor's (`vm-type`, `mgmt_net`, `dev` …): `to_json` and `from_json` are their only place.
Keys that lagotui does not know are kept in `extra` and written back.
"""

from __future__ import annotations

from .disks import DiskSpec, DiskType
from .env import EnvRef, EnvSpec
from .history import History, SnapshotNote
from .json import Json
from .machines import (
    DEFAULT_BOOT_TIME_S,
    DEFAULT_MEMORY_MIB,
    DEFAULT_VCPU,
    EXTERNAL_PROVIDER,
    LOCAL_PROVIDER,
    SSH_PORT,
    CloudInit,
    MachineSpec,
    MachineStatus,
    Readiness,
    ServiceState,
    SshAccess,
)
from .nets import DEFAULT_DNS_DOMAIN, DEFAULT_MTU, DhcpRange, NetSpec, NetType, NicSpec, stable_mac

__all__ = [
    "DEFAULT_BOOT_TIME_S",
    "DEFAULT_DNS_DOMAIN",
    "DEFAULT_MEMORY_MIB",
    "DEFAULT_MTU",
    "DEFAULT_VCPU",
    "EXTERNAL_PROVIDER",
    "LOCAL_PROVIDER",
    "SSH_PORT",
    "CloudInit",
    "DhcpRange",
    "DiskSpec",
    "DiskType",
    "EnvRef",
    "EnvSpec",
    "History",
    "Json",
    "MachineSpec",
    "MachineStatus",
    "NetSpec",
    "NetType",
    "NicSpec",
    "Readiness",
    "ServiceState",
    "SnapshotNote",
    "SshAccess",
    "stable_mac",
]
