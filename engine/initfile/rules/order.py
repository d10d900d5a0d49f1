"""The order of starting: `depends_on` names machines that are there, and goes round in no circle."""

from __future__ import annotations

from collections.abc import Iterator

from ..diagnostics import Diagnostic, Path, quoted
from ..validate import nearest
from .scope import Scope


def check_order(scope: Scope) -> Iterator[Diagnostic]:
    domains = scope.init.domains
    if not any(domain.depends_on for domain in domains.values()):
        return
    names = tuple(scope.document.data["domains"])
    for name, domain in domains.items():
        for index, other in enumerate(domain.depends_on):
            if other not in names:
                message = f"machine {quoted(name)} depends on machine {quoted(other)}, which is not in this file"
                yield scope.report("E225", _place(scope, name, index), message, nearest(other, names, "machines"))
    yield from _circles(scope)


def _circles(scope: Scope) -> Iterator[Diagnostic]:
    """Walk from every machine, without recursion: a thousand may stand in a row."""
    done: set[str] = set()
    for start in scope.init.domains:
        way: dict[str, None] = {}
        waiting = [(start, 0)] if start not in done else []
        while waiting:
            name, index = waiting.pop()
            if index == 0:
                way[name] = None
            others = scope.init.domains[name].depends_on
            if index == len(others):
                done.add(way.popitem()[0])
                continue
            waiting.append((name, index + 1))
            other = others[index]
            if other in way:
                members = list(way)
                yield _circle(scope, name, index, members[members.index(other) :])
            elif other in scope.init.domains and other not in done:
                waiting.append((other, 0))


def _circle(scope: Scope, name: str, index: int, members: list[str]) -> Diagnostic:
    if len(members) == 1:
        message = f"machine {quoted(name)} depends on itself"
    else:
        shown = [*members, members[0]] if len(members) < 8 else [*members[:6], "…", members[-1], members[0]]
        message = f"the machines depend on each other in a circle: {' → '.join(shown)}"
    return scope.report("E224", _place(scope, name, index), message, "take one of them out of depends_on")


def _place(scope: Scope, name: str, index: int) -> Path:
    path: Path = ("domains", name, "depends_on")
    return (*path, index) if isinstance(scope.init.raw_domains[name].get("depends_on"), list) else path
