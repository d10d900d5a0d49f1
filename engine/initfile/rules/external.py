"""Machines that exist already: `vm-provider: ssh`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..diagnostics import Diagnostic, Path, quoted
from ..model import Domain
from .machines import check_use
from .scope import Scope

_WITHOUT_EFFECT = ("nics", "disks", "cloud-init", "cpu_model", "cpu_custom", "type", "root-password")
"""What only machines have that we make."""
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9._:%-]*\Z")
"""Of addresses and names; programs would take what begins with a dash for an option."""


def check_external(scope: Scope, name: str, domain: Domain) -> Iterator[Diagnostic]:
    """Check one machine that exists already."""
    path: Path = ("domains", name)
    for key in _WITHOUT_EFFECT:
        if key in scope.init.raw_domains[name]:
            message = f"{quoted(key)} has no effect: machine {quoted(name)} exists already, and is only reached by ssh"
            yield scope.report("W104", (*path, key), message, "leave it out, or leave vm-provider out", key=True)
    if domain.ssh is None:
        if "ssh" not in scope.init.without.get(name, ()):
            message = f"'ssh' is missing from machine {quoted(name)}: vm-provider: ssh needs it"
            yield scope.report("E102", (*path, "vm-provider"), message, "add it: ssh: {address: 10.0.0.7}", key=True)
        return
    if not _HOST.match(domain.ssh.address):
        message = f"{quoted(domain.ssh.address)} is no address or name of a machine"
        yield scope.report("E208", (*path, "ssh", "address"), message, "write it like 10.0.0.7 or build.example.com")
    for index, key in enumerate(domain.ssh.key_files):
        listed = isinstance(scope.init.raw_domains[name]["ssh"]["keys"], list)
        place: Path = (*path, "ssh", "keys", index) if listed else (*path, "ssh", "keys")
        found = scope.missing_file(place, key)
        if found:
            yield found
    yield from check_use(scope, path, name, domain)
