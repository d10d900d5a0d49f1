"""ansible_hosts: an inventory as text, or as the JSON that Ansible asks a program for."""

from __future__ import annotations

import json
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..exit_codes import ExitCode
from ..present.ansible import DEFAULT_KEYS, InventoryHost, inventory_data, inventory_text
from . import Command
from .session import Session

if TYPE_CHECKING:
    from engine.api import SshWay

_SAID_OTHERWISE = frozenset({"User", "Port", "IdentityFile", "BatchMode", "PreferredAuthentications", "LogLevel", "ControlPath"})
"""Options that Ansible has variables for, or that are its own affair."""
SSH_PORT = 22


def _arguments(parser: ArgumentParser) -> None:
    keys = " ".join(DEFAULT_KEYS)
    parser.add_argument("-k", "--keys", nargs="+", metavar="KEY", default=[], help=f"paths into the machines' specs to group by ({keys})")
    answer = parser.add_mutually_exclusive_group()
    answer.add_argument("--list", action="store_true", dest="listed", help="the whole inventory as JSON, as Ansible asks a program for it")
    answer.add_argument("--host", metavar="NAME", help="the variables of one machine as JSON")


def _ansible_hosts(session: Session, arguments: Namespace) -> int:
    env = session.env()
    if arguments.host is not None:
        way = session.engine.ssh_ways(env, (arguments.host,))[arguments.host]
        session.write(_json(dict(host_of(way).variables)))
        return ExitCode.OK
    hosts = [host_of(way) for way in session.engine.ssh_ways(env).values()]
    session.write(_json(inventory_data(hosts, arguments.keys)) if arguments.listed else inventory_text(hosts, arguments.keys))
    return ExitCode.OK


def host_of(way: SshWay) -> InventoryHost:
    """Return a machine as Ansible is told of it: its host key is checked, and it is reached as we reach it."""
    target = way.target
    variables: dict[str, str | int] = {"ansible_host": target.address}
    keys = (target.key_file,) if target.own is None else target.own.keys
    if keys:
        variables["ansible_ssh_private_key_file"] = str(keys[0])
    variables["ansible_user"] = target.user
    if target.port != SSH_PORT:
        variables["ansible_port"] = target.port
    options = [(name, value) for name, value in way.options() if name not in _SAID_OTHERWISE]
    options += [("IdentityFile", str(key)) for key in keys[1:]]
    variables["ansible_ssh_common_args"] = shlex.join(word for name, value in options for word in ("-o", f"{name}={value}"))
    return InventoryHost(target.name, way.machine.to_json(), variables)


def _json(data: Mapping[str, object]) -> str:
    return json.dumps(data, indent=4, sort_keys=True) + "\n"


COMMANDS: Mapping[str, Command] = {"ansible_hosts": Command(_ansible_hosts, _arguments)}
