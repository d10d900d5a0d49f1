"""Ansible inventories: the predecessor's text, and the JSON of a dynamic inventory."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DEFAULT_KEYS = ("vm-type", "groups", "vm-provider")

_FIRST = ("ansible_host", "ansible_ssh_private_key_file")
"""What the predecessor's lines begin with, in its order."""


@dataclass(frozen=True, slots=True)
class InventoryHost:
    """One machine as Ansible is told of it."""

    name: str
    spec: Mapping[str, Any]
    """As it is saved; groups are made of it."""
    variables: Mapping[str, str | int] = field(default_factory=dict)
    """Ansible's names."""

    @property
    def groups(self) -> Sequence[str]:
        """The groups that the init file gives it."""
        return [str(group) for group in self.spec.get("groups") or ()]

    @property
    def line(self) -> str:
        """As it stands in an inventory of text."""
        names = [*(name for name in _FIRST if name in self.variables), *(name for name in self.variables if name not in _FIRST)]
        return " ".join([self.name, *(f"{name}={shlex.quote(str(self.variables[name]))}" for name in names)])


def inventory_text(hosts: Iterable[InventoryHost], keys: Sequence[str] = ()) -> str:
    """Return an inventory as the predecessor writes it: a group for every value of every key, and the machines' own groups."""
    lines: list[str] = []
    for group, members in _groups(hosts, keys).items():
        lines += [f"[{group}]", *sorted(member.line for member in members)]
    return "".join(f"{line}\n" for line in lines)


def inventory_data(hosts: Iterable[InventoryHost], keys: Sequence[str] = ()) -> dict[str, Any]:
    """Return what a dynamic inventory answers to `--list`."""
    known = list(hosts)
    groups = {group: {"hosts": sorted(member.name for member in members)} for group, members in _groups(known, keys).items()}
    variables = {host.name: dict(host.variables) for host in known}
    return {"_meta": {"hostvars": variables}, "all": {"hosts": sorted(variables), "children": sorted(groups)}, **groups}


def value_at(spec: Any, key: str) -> Any:
    """Return what is at a path in a machine's spec, None when nothing is.

    Args:
        spec: mappings and lists.
        key: words between `/`; a leading `/` may be left out, numbers index lists, also from their end; "" and `/` are all of it.
    """
    found = spec
    for word in key.removeprefix("/").split("/") if key.strip("/") else ():
        try:
            found = found[int(word)] if isinstance(found, list) else found[word]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return found


def _groups(hosts: Iterable[InventoryHost], keys: Sequence[str]) -> dict[str, list[InventoryHost]]:
    groups: dict[str, list[InventoryHost]] = {}
    for host in hosts:
        named = (f"{key}={value}" for key in keys or DEFAULT_KEYS for value in _values(value_at(host.spec, key)))
        for group in dict.fromkeys([*named, *host.groups]):
            groups.setdefault(group, []).append(host)
    return groups


def _values(found: Any) -> Sequence[Any]:
    """Return the values that each make a group."""
    if found is None:
        return ()
    return found if isinstance(found, list) else (found,)
