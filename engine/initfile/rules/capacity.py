"""What the environment asks of the host, against what the host has: warnings, since both change."""

from __future__ import annotations

from collections.abc import Iterator

from ...spec import EXTERNAL_PROVIDER
from ..diagnostics import Diagnostic, quoted
from ..model import Domain
from ..values import size_bytes
from .scope import Scope

GIB = 1024**3


def _ours(scope: Scope) -> dict[str, Domain]:
    """Return the machines that run on the host: others bring what they need."""
    return {name: domain for name, domain in scope.init.domains.items() if domain.vm_provider != EXTERNAL_PROVIDER}


def check_capacity(scope: Scope) -> Iterator[Diagnostic]:
    yield from _cores(scope)
    yield from _memory(scope)
    yield from _disks(scope)


def _cores(scope: Scope) -> Iterator[Diagnostic]:
    cores = scope.facts.cores
    for name, domain in _ours(scope).items():
        if cores is not None and domain.vcpu > cores:
            message = f"machine {quoted(name)} has {domain.vcpu} virtual CPUs, the host has {cores} {'core' if cores == 1 else 'cores'}"
            yield scope.report("W202", ("domains", name, "vcpu"), message, "it runs, but slower than with fewer")


def _memory(scope: Scope) -> Iterator[Diagnostic]:
    free = scope.facts.memory_mib
    if free is None:
        return
    ours = _ours(scope)
    large = [name for name, domain in ours.items() if domain.memory > free]
    for name in large:
        message = f"machine {quoted(name)} has {scope.init.domains[name].memory:,} MiB of memory, the host has {free:,} MiB free"
        yield scope.report("W202", ("domains", name, "memory"), message, "give it less, or free some")
    wanted = sum(domain.memory for domain in ours.values())
    if wanted > free and not large:
        message = f"the machines together have {wanted:,} MiB of memory, the host has {free:,} MiB free"
        yield scope.report("W202", ("domains",), message, "give them less, or start only some of them", key=True)


def _disks(scope: Scope) -> Iterator[Diagnostic]:
    free = scope.facts.disk_bytes
    if free is None:
        return
    wanted = sum(size_bytes(disk.size) for domain in _ours(scope).values() for disk in domain.disks if disk.size is not None)
    if wanted > free:
        message = f"the disks may grow to {wanted / GIB:,.0f} GiB together, the host has {free / GIB:,.0f} GiB free"
        yield scope.report("W202", ("domains",), message, "they start small: this matters only once they are filled", key=True)
