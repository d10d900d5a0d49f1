"""Machines: names, nics and addresses, the management rule, CPUs, providers, scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..diagnostics import Diagnostic, Path, quoted
from ..kinds import SERVICE_PROVIDERS
from ..model import Domain, Nic
from ..validate import nearest
from ..values import UnsetVariable, expand_url, file_of, is_dns_name, is_good_name, octets
from .nets import NAME_HINT, subnet_of
from .scope import Scope

DEFAULT_TYPE = "default"
LATER_PROVIDERS = ("lxd",)
"""Providers that come with a later version."""
SCRIPTS, OLD_SCRIPTS = "deploy-scripts", "ovirt-scripts"

_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that XML 1.0 does not allow."""
_ELEMENT = re.compile(r"@?[A-Za-z_][A-Za-z0-9_.-]*\Z|#text\Z")


def check_machine(scope: Scope, taken: dict[tuple[str, int], tuple[str, Path]], name: str, domain: Domain) -> Iterator[Diagnostic]:
    """Check one machine without its disks.

    Args:
        scope: what is known.
        taken: (net, last octet) → machine and place of the first nic that has it; what this one has is added.
        name: of the machine.
        domain: its keys.
    """
    path: Path = ("domains", name)
    for index, nic in enumerate(domain.nics):
        yield from _nic(scope, taken, (*path, "nics", index), name, nic)
    yield from _management_rule(scope, name, domain)
    yield from _cpu(scope, path, domain)
    yield from _provider(scope, path, domain)
    yield from _origin(scope, path, name, domain)
    if domain.ssh is not None:
        message = f"'ssh' of machine {quoted(name)} has no effect without vm-provider: ssh"
        yield scope.report("W104", (*path, "ssh"), message, "add vm-provider: ssh when the machine exists already", key=True)
    yield from check_use(scope, path, name, domain)


def check_use(scope: Scope, path: Path, name: str, domain: Domain) -> Iterator[Diagnostic]:
    """Check what is done in a machine, whoever runs it."""
    if domain.metadata:
        yield from _scripts(scope, (*path, "metadata"), domain.metadata)
    if domain.ready and (domain.ready.tcp, domain.ready.command, domain.ready.log) == (None, None, None):
        message = f"'ready' of machine {quoted(name)} says nothing"
        yield scope.report("E102", (*path, "ready"), message, "add tcp: 22, command: true, or log: 'login:'", key=True)


def check_names(scope: Scope) -> Iterator[Diagnostic]:
    """Check the machines' names, and that no two things have one name in DNS."""
    owners: dict[str, str] = {}
    for name in scope.init.raw_domains:
        if not (is_good_name(name) and is_dns_name(name)):
            yield scope.report("E214", ("domains", name), f"{quoted(name)} cannot be the name of a machine", NAME_HINT, key=True)
    for name, domain in scope.init.domains.items():
        nics = enumerate(domain.nics)
        for dns_name in {name, *(each for index, nic in nics for each in (f"{name}-eth{index}", f"{name}-{nic.net}"))}:
            owner = owners.setdefault(dns_name.lower(), name)
            if owner != name:
                line = scope.document.span(("domains", owner), key=True).line
                message = f"the name {quoted(dns_name)} would mean both machine {quoted(name)} and machine {quoted(owner)} (line {line})"
                yield scope.report("W205", ("domains", name), message, "rename one of them", key=True)


def _management_rule(scope: Scope, name: str, domain: Domain) -> Iterator[Diagnostic]:
    init = scope.init
    if "nics" in init.without.get(name, ()) or not init.nets_are_whole or not init.nets:
        return
    if any(nic.net not in init.nets for nic in domain.nics):
        return
    on = [nic.net for nic in domain.nics if nic.net in scope.management]
    if len(on) == 1:
        return
    nets = ", ".join(quoted(net) for net in (on or sorted(scope.management)))
    if on:
        message = f"machine {quoted(name)} has {len(on)} nics on management nets ({nets}), it needs exactly one"
        hint = "leave one of them, or take the mark management from a net"
    else:
        message = f"machine {quoted(name)} has no nic on a management net ({nets})"
        hint = f"add '- net: {min(scope.management)}' to its nics"
    yield scope.report("E204", ("domains", name), message, hint, key=True)


def _nic(scope: Scope, taken: dict[tuple[str, int], tuple[str, Path]], path: Path, machine: str, nic: Nic) -> Iterator[Diagnostic]:
    if nic.net not in scope.init.net_names:
        message = f"machine {quoted(machine)} is on the net {quoted(nic.net)}, which is not in this file"
        yield scope.report("E201", (*path, "net"), message, nearest(nic.net, scope.init.net_names, "nets"))
    elif nic.ip is not None and nic.net in scope.init.nets:
        if scope.init.nets[nic.net].kind == "bridge":
            message = f"machine {quoted(machine)} cannot have an address on net {quoted(nic.net)}, which is a bridge"
            yield scope.report("E227", (*path, "ip"), message, "leave ip out: the guest gets its address by itself there")
        else:
            yield from _address(scope, taken, (*path, "ip"), machine, nic.net, nic.ip)


def _address(
    scope: Scope, taken: dict[tuple[str, int], tuple[str, Path]], path: Path, machine: str, net: str, written: str
) -> Iterator[Diagnostic]:
    address = octets(written)
    gateway = scope.gateways.get(net)
    if address is None:
        yield scope.report("E208", path, f"{quoted(written)} is no IPv4 address", "write it like 192.168.210.7")
        return
    if scope.init.nets[net].gw is not None and gateway is None:
        return
    if gateway and address[:3] != gateway[:3]:
        subnet = subnet_of(gateway)
        message = f"the address {written} is outside of net {quoted(net)}, which is {subnet}"
        yield scope.report("E207", path, message, f"choose one from {subnet}, or leave ip out")
        return
    if not 1 <= address[3] <= 254:
        yield scope.report("E208", path, f"{written} is the net's or the broadcast address, no address of a machine")
        return
    if address[3] == (gateway[3] if gateway else 1):
        line = scope.line_of(("nets", net, "gw"))
        which = f"the gateway of net {quoted(net)}" + (f" (line {line})" if gateway else ": without gw it is .1")
        yield scope.report("E206", path, f"{written} is {which}", "choose another ip, or leave it out")
        return
    first = taken.setdefault((net, address[3]), (machine, path))
    if first[1] is not path:
        line = scope.line_of(first[1])
        message = f"machine {quoted(machine)} has the address {written}, which machine {quoted(first[0])} has already (line {line})"
        yield scope.report("E205", path, message, "choose another ip, or leave it out")
    if not gateway:
        message = f"the subnet of net {quoted(net)} is chosen at init: of {written} only the last octet .{address[3]} is kept"
        yield scope.report("I201", path, message, f"give net {net} a gw to fix the subnet")


def _cpu(scope: Scope, path: Path, domain: Domain) -> Iterator[Diagnostic]:
    if domain.cpu_model is not None and domain.cpu_custom is not None:
        yield scope.excludes(path, "cpu_model", "cpu_custom")
    if domain.cpu_model is not None:
        yield from _cpu_model(scope, (*path, "cpu_model"), domain.cpu_model)
    if domain.cpu_custom is not None:
        yield from _cpu_elements(scope, (*path, "cpu_custom"), domain.cpu_custom)
        model = domain.cpu_custom.get("model")
        place: Path = (*path, "cpu_custom", "model")
        if isinstance(model, dict):
            model, place = model.get("#text"), (*place, "#text")
        if isinstance(model, str):
            yield from _cpu_model(scope, place, model)


def _cpu_model(scope: Scope, path: Path, model: str) -> Iterator[Diagnostic]:
    known = scope.facts.cpu_models
    if known is not None and model not in known:
        message = f"the host knows no CPU model {quoted(model)}"
        yield scope.report("E222", path, message, nearest(model, known, "CPU models"))
        return
    processor = scope.facts.processor() if scope.facts.processor else None
    if processor is not None and processor.usable and model not in processor.usable:
        message = f"this host, whose own processor is {processor}, cannot run the CPU model {quoted(model)}"
        near = nearest(model, tuple(sorted(processor.usable)), "usable CPU models")
        yield scope.report("W207", path, message, f"{near}; or leave it out for that of the host")


def _cpu_elements(scope: Scope, path: Path, element: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Check that a mapping can be written as XML: elements, attributes and text."""
    for key, value in element.items():
        place = (*path, key)
        if not _ELEMENT.match(key):
            message = f"{quoted(key)} cannot be an element or an attribute of a CPU"
            yield scope.report("E228", place, message, "write elements as model:, attributes as '@mode':, text as '#text':", key=True)
        elif key[0] in "@#" and isinstance(value, dict | list):
            yield scope.report("E228", place, f"{quoted(key)} must be one value: it is an attribute or text", key=True)
        elif isinstance(value, str) and _UNWRITABLE.search(value):
            yield scope.report("E228", place, f"the value of {quoted(key)} has a character that XML cannot hold: {quoted(value)}")
        elif isinstance(value, dict):
            yield from _cpu_elements(scope, place, value)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    yield from _cpu_elements(scope, (*place, index), item)
                elif isinstance(item, list):
                    yield scope.report("E228", (*place, index), f"an item of {quoted(key)} must be a value or a mapping")


def _provider(scope: Scope, path: Path, domain: Domain) -> Iterator[Diagnostic]:
    yield from _plugged(scope, (*path, "vm-type"), "vm", (DEFAULT_TYPE,), domain.vm_type)
    if domain.service_provider is not None:
        yield from _plugged(scope, (*path, "service_provider"), "vm_service", SERVICE_PROVIDERS, domain.service_provider)
    known, wanted = scope.facts.vm_providers, domain.vm_provider
    if known is None or wanted in known:
        return
    known = (*known, *(scope.facts.plugged("vm_provider") if scope.facts.plugged is not None else ()))
    if wanted in known:
        return
    if wanted in LATER_PROVIDERS:
        message = f"the vm-provider {quoted(wanted)} is not supported yet"
        yield scope.report("E105", (*path, "vm-provider"), message, f"use {known[0]}, or leave the key out")
    else:
        message = f"there is no vm-provider {quoted(wanted)}"
        yield scope.report("E221", (*path, "vm-provider"), message, nearest(wanted, known, "vm-providers"))


def _plugged(scope: Scope, path: Path, kind: str, ours: tuple[str, ...], wanted: str) -> Iterator[Diagnostic]:
    """Look whether a name is one of ours, or of a plugin's."""
    if wanted in ours or scope.facts.plugged is None:
        return
    known = (*ours, *scope.facts.plugged(kind))
    if wanted not in known:
        key = str(path[-1])
        yield scope.report("E221", path, f"there is no {key} {quoted(wanted)}", nearest(wanted, known, f"{key}s"))


def _origin(scope: Scope, path: Path, name: str, domain: Domain) -> Iterator[Diagnostic]:
    if domain.kind == "ova" and domain.url is None:
        message = f"'url' is missing from machine {quoted(name)}: type: ova needs it"
        yield scope.report("E102", (*path, "type"), message, "add it: url: http://server/machine.ova", key=True)
    elif domain.kind == "ova" and domain.url is not None:
        found = fault_of_url(scope, (*path, "url"), domain.url)
        if found:
            yield found
    elif domain.url is not None:
        message = "'url' of a machine has no effect without type: ova"
        yield scope.report("W104", (*path, "url"), message, "add type: ova, or give the url to a disk of type file", key=True)


def fault_of_url(scope: Scope, path: Path, written: str) -> Diagnostic | None:
    """Return what is wrong with an address that init fetches from."""
    try:
        url = expand_url(written, scope.facts.variables, scope.facts.files_base)
    except UnsetVariable as unset:
        return scope.unset(path, written, unset)
    file = file_of(url)
    if file is not None and not scope.is_there(file):
        return scope.report("E216", path, f"there is no file {quoted(file)}", "relative paths start at the folder of the init file")
    return None


def _scripts(scope: Scope, path: Path, metadata: Mapping[str, Any]) -> Iterator[Diagnostic]:
    if OLD_SCRIPTS in metadata:
        if SCRIPTS in metadata:
            yield scope.excludes(path, OLD_SCRIPTS, SCRIPTS, "they mean the same")
        yield scope.report("W103", (*path, OLD_SCRIPTS), "'ovirt-scripts' is the old name of 'deploy-scripts'", "rename it", key=True)
    for key in (SCRIPTS, OLD_SCRIPTS):
        written = metadata.get(key)
        if written is None:
            continue
        if not isinstance(written, list) or not all(isinstance(each, str) for each in written):
            yield scope.report("E101", (*path, key), f"{quoted(key)} must be a list of paths", f"{key}: [scripts/deploy.sh]")
            continue
        for index, script in enumerate(written):
            found = scope.missing_file((*path, key, index), script, also_in=scope.facts.scripts_base)
            if found:
                yield found
