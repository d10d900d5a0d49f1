"""What an init file means, checked without touching the world: everything outside of the file comes in as `Facts`."""

from __future__ import annotations

from collections.abc import Iterator

from ..spec import EXTERNAL_PROVIDER
from .diagnostics import Diagnostic, Path, has_errors, in_file_order
from .facts import Facts
from .rules.capacity import check_capacity
from .rules.disks import check_disks
from .rules.external import check_external
from .rules.machines import check_machine, check_names
from .rules.nets import check_nets
from .rules.order import check_order
from .rules.scope import Scope, management_nets
from .tree import Document, no_collection
from .validate import InitFile, read_init_file

__all__ = ["Facts", "check", "check_all", "management_nets"]


def check(document: Document, facts: Facts) -> list[Diagnostic]:
    """Return everything there is to say about `document`, in the order of the file."""
    return check_all(document, facts)[1]


def check_all(document: Document, facts: Facts) -> tuple[InitFile | None, list[Diagnostic]]:
    """Check `document`, and return what was read as well where it has no errors."""
    if document.data is None and document.problems:
        return None, document.problems
    with no_collection():
        init, problems = read_init_file(document)
        problems += _problems(Scope(init, facts))
    unread = {(each.line, each.column) for each in document.problems}
    about_values = [each for each in problems if (each.line, each.column) not in unread]
    found = in_file_order([*document.problems, *about_values])
    return (None if has_errors(found) else init), found


def _problems(scope: Scope) -> Iterator[Diagnostic]:
    yield from _top(scope)
    yield from check_nets(scope)
    yield from check_names(scope)
    taken: dict[tuple[str, int], tuple[str, Path]] = {}
    for name, domain in scope.init.domains.items():
        if domain.vm_provider == EXTERNAL_PROVIDER:
            yield from check_external(scope, name, domain)
            continue
        yield from check_machine(scope, taken, name, domain)
        if domain.disks:
            yield from check_disks(scope, name, domain.disks, scope.init.raw_domains[name]["disks"])
    yield from check_order(scope)
    yield from check_capacity(scope)


def _top(scope: Scope) -> Iterator[Diagnostic]:
    data = scope.document.data
    if isinstance(data, dict) and data.get("domains") == {}:
        yield scope.report("W201", ("domains",), "the environment has no machines", key=True)
    if isinstance(data, dict) and data.get("nets") == {}:
        yield scope.report("E218", ("nets",), "the environment has no nets", "add one, for example nets: {lan: {}}", key=True)
