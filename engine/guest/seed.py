"""The cloud-init NoCloud seed: a small CD image that tells a machine its name, its keys and what to run at its first boot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from ..spec import Json
from ..state.atomic import write_bytes
from .keys import KeyPair
from .user_data import merged

SEED_LABEL = "cidata"
"""The volume label by which cloud-init's NoCloud knows a seed."""

_ISO_NAMES = {"meta-data": "META_DAT.;1", "user-data": "USER_DAT.;1", "network-config": "NETWORK_.;1"}
"""Plain ISO 9660 has no hyphens and eight characters; Rock Ridge and Joliet carry the real names."""


@dataclass(frozen=True, slots=True)
class Seed:
    hostname: str
    instance_id: str
    """A machine that sees another one than at its last boot takes the whole seed in again."""
    domain: str = ""
    """DNS domain of the management net; "" when it has none."""
    ssh_user: str = "root"
    """Gets the authorized keys, as root does; is made where it is not there."""
    authorized_keys: tuple[str, ...] = ()
    host_key: KeyPair | None = None
    """ed25519; None lets the machine make its own."""
    root_password: str | None = None
    """None: no password, keys only."""
    ssh_password: bool = False
    """Whether ssh takes passwords too."""
    macs: tuple[str, ...] = ()
    """Of all its NICs; each asks DHCP for its address."""
    runcmd: tuple[str | tuple[str, ...], ...] = ()
    """Run once: a line for the shell, or the words of a command."""
    user_data: Mapping[str, Json] = field(default_factory=dict)
    """Of the init file, merged into ours."""
    network_config: Mapping[str, Json] | None = None
    """Of the init file; takes the place of ours."""
    renew_network: bool = False
    """Let cloud-init take the network configuration in at every boot, not only at the first: the nics are others than they were."""

    @property
    def fqdn(self) -> str:
        return f"{self.hostname}.{self.domain}" if self.domain else self.hostname


def write_seed(path: Path, seed: Seed) -> None:
    """Write the seed image at `path`, whole or not at all, readable by its owner only (it holds a private key)."""
    write_bytes(path, iso_image(seed_files(seed)), mode=0o600)


def seed_files(seed: Seed) -> dict[str, bytes]:
    """Return the files of the seed by name; cloud-init itself takes them as they are."""
    files = {
        "meta-data": _dump({"instance-id": seed.instance_id, "local-hostname": seed.hostname}),
        "user-data": "#cloud-config\n" + _dump(merged(_user_data(seed), seed.user_data)),
    }
    if seed.network_config is not None:
        files["network-config"] = _dump(seed.network_config)
    elif seed.macs:
        files["network-config"] = _dump(_network_config(seed.macs))
    return {name: text.encode() for name, text in files.items()}


def iso_image(files: Mapping[str, bytes]) -> bytes:
    """Return an ISO 9660 image labelled as a seed, with Joliet and Rock Ridge names."""
    from pycdlib import PyCdlib

    iso = PyCdlib()
    iso.new(interchange_level=1, joliet=3, rock_ridge="1.09", vol_ident=SEED_LABEL)
    for name, content in files.items():
        iso.add_fp(BytesIO(content), len(content), f"/{_ISO_NAMES[name]}", rr_name=name, joliet_path=f"/{name}", file_mode=0o100600)
    image = BytesIO()
    iso.write_fp(image)
    iso.close()
    return image.getvalue()


def _user_data(seed: Seed) -> dict[str, Json]:
    names = list(dict.fromkeys(("root", seed.ssh_user)))
    data: dict[str, Json] = {
        "hostname": seed.hostname,
        "fqdn": seed.fqdn,
        "prefer_fqdn_over_hostname": False,
        "manage_etc_hosts": "localhost",
        "disable_root": False,
        "ssh_pwauth": seed.ssh_password,
        "users": [_user(name, seed.authorized_keys) for name in names],
    }
    if seed.host_key is not None:
        data["ssh_deletekeys"] = True
        data["ssh_keys"] = {"ed25519_private": seed.host_key.private_pem.decode(), "ed25519_public": seed.host_key.public_line}
    if seed.root_password is not None:
        password = {"name": "root", "password": seed.root_password, "type": "text"}
        data["chpasswd"] = {"expire": False, "users": [password]}
    if seed.renew_network:
        data["updates"] = {"network": {"when": ["boot-new-instance", "boot"]}}
    if seed.runcmd:
        data["runcmd"] = [command if isinstance(command, str) else list(command) for command in seed.runcmd]
    return data


def _user(name: str, authorized_keys: tuple[str, ...]) -> dict[str, Json]:
    user: dict[str, Json] = {"name": name, "lock_passwd": True, "ssh_authorized_keys": list(authorized_keys)}
    if name != "root":
        user |= {"shell": "/bin/bash", "sudo": "ALL=(ALL) NOPASSWD:ALL"}
    return user


def _network_config(macs: tuple[str, ...]) -> dict[str, Json]:
    nics = {f"nic{number}": _nic(mac, number) for number, mac in enumerate(macs)}
    return {"version": 2, "ethernets": nics}


def _nic(mac: str, number: int) -> dict[str, Json]:
    nic: dict[str, Json] = {"match": {"macaddress": mac.lower()}, "dhcp4": True}
    if number > 0:
        nic["dhcp4-overrides"] = {"route-metric": 100 + number}
        nic["optional"] = True
    return nic


def _dump(data: Json) -> str:
    """Return `data` as YAML in which every string is quoted and on one line: nothing in it can be taken for syntax."""
    import yaml

    class QuotingDumper(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:  # a part of the init file that is used twice is written out twice
            return True

    def quoted(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')

    QuotingDumper.add_representer(str, quoted)
    return yaml.dump(data, Dumper=QuotingDumper, width=float("inf"), sort_keys=False, allow_unicode=True)
