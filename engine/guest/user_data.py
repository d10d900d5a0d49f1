"""What the init file adds to a machine's `#cloud-config`, merged into what every seed says.

Ours wins where we could not find, name or trust the machine otherwise: its name, its host keys, root's login, the keys that we log in with.
Everything else is the user's; lists are joined, ours first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..spec import Json

_JOINED = ("runcmd", "bootcmd", "write_files", "packages", "ssh_authorized_keys")
"""Lists of which both sides may have a part."""
_THEIRS = ("manage_etc_hosts",)
"""Keys of ours that are only defaults."""


def merged(ours: Mapping[str, Json], theirs: Mapping[str, Json]) -> dict[str, Json]:
    """Return our `#cloud-config` with the user's merged in; neither is changed."""
    data = {**theirs, **ours}
    for key in _JOINED:
        if key in ours and key in theirs:
            data[key] = [*ours[key], *_listed(theirs[key])]
    data |= {key: theirs[key] for key in _THEIRS if key in theirs}
    if "users" in theirs:
        data["users"] = _users(ours.get("users", ()), _listed(theirs["users"]))
    if "ssh_pwauth" in theirs:
        data["ssh_pwauth"] = ours.get("ssh_pwauth") or theirs["ssh_pwauth"]
    if isinstance(theirs.get("chpasswd"), dict):
        data["chpasswd"] = _passwords(ours.get("chpasswd") or {}, theirs["chpasswd"])
    return data


def _users(ours: Iterable[Mapping[str, Json]], theirs: list[Json]) -> list[Json]:
    """Join two lists of users: one that both name is theirs, with our keys first."""
    named = {_name(each): each for each in theirs if isinstance(each, dict)}
    known = [_user(user, named.get(user["name"], {})) for user in ours]
    names = [user["name"] for user in known]
    return [*known, *(each for each in theirs if _name(each) not in names)]


def _name(entry: Json) -> str:
    """Return the name of a user in a list of users; "" where it has none that is text."""
    name = entry.get("name") if isinstance(entry, dict) else entry
    return name if isinstance(name, str) else ""


def _user(ours: Mapping[str, Json], theirs: Mapping[str, Json]) -> dict[str, Json]:
    keys = [*ours["ssh_authorized_keys"], *_listed(theirs.get("ssh_authorized_keys"))]
    return {**ours, **theirs, "ssh_authorized_keys": list(dict.fromkeys(keys))}


def _passwords(ours: Mapping[str, Json], theirs: Mapping[str, Json]) -> dict[str, Json]:
    """Join two `chpasswd`: the password that the init file itself gives a user wins over the one in the user-data."""
    given = _listed(ours.get("users"))
    names = [each["name"] for each in given]
    more = [each for each in _listed(theirs.get("users")) if _name(each) not in names]
    users = [*given, *more]
    return {**ours, **theirs, **({"users": users} if users else {})}


def _listed(value: Json) -> list[Json]:
    """Return a list of cloud-init as one: where it has a single entry, users leave the brackets out."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
