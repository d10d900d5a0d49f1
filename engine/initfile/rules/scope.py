"""What every rule is given: what was read, where it is written, what is known of the world."""

from __future__ import annotations

from collections.abc import Mapping

from ..diagnostics import Diagnostic, Path, quoted
from ..facts import Facts
from ..model import Net
from ..validate import InitFile
from ..values import UnsetVariable, expand_path


def management_nets(nets: Mapping[str, Net]) -> tuple[str, ...]:
    """Return the nets for management, sorted: those marked so, else the alphabetically first one."""
    marked = sorted(name for name, net in nets.items() if net.management)
    return tuple(marked or sorted(nets)[:1])


class Scope:
    def __init__(self, init: InitFile, facts: Facts) -> None:
        self.init = init
        self.facts = facts
        self.document = init.document
        self.report = init.document.report
        self.line_of = init.document.line_of
        self.management = frozenset(management_nets(init.nets))
        self.gateways: dict[str, tuple[int, int, int, int]] = {}
        """Net → gateway, of the nets whose gateway can be used."""
        self._answers: dict[str, bool] = {}
        """Path → whether there is such a file; each is asked for once."""

    def excludes(self, path: Path, one: str, other: str, why: str = "", hint: str = "leave one of them", *, key: bool = True) -> Diagnostic:
        """Say of two keys of one place (or of their values) that they exclude each other: at the later one."""
        first, later = self.in_order((*path, one), (*path, other))
        line = self.document.span(first, key=True).line
        message = f"{quoted(later[-1])} and {quoted(first[-1])} (line {line}) exclude each other{why and ': ' + why}"
        return self.report("E106", later, message, hint, key=key)

    def in_order(self, one: Path, other: Path) -> tuple[Path, Path]:
        """Return two places as they stand in the file."""
        if self.document.span(other, key=True)[:2] < self.document.span(one, key=True)[:2]:
            return other, one
        return one, other

    def is_there(self, path: str) -> bool:
        """Whether there is such a file; unknown files are."""
        if self.facts.exists is None:
            return True
        if path not in self._answers:
            self._answers[path] = self.facts.exists(path)
        return self._answers[path]

    def missing_file(self, path: Path, written: str, *, also_in: str | None = None) -> Diagnostic | None:
        """Look for the file that is written at `path`; return what is wrong with it."""
        try:
            wanted = expand_path(written, self.facts.variables, self.facts.files_base)
            second = expand_path(written, self.facts.variables, also_in) if also_in else wanted
        except UnsetVariable as unset:
            return self.unset(path, written, unset)
        if self.is_there(wanted) or self.is_there(second):
            return None
        hint = "relative paths start at the folder of the init file"
        return self.report("E216", path, f"there is no file {quoted(wanted)}", hint)

    def unset(self, path: Path, written: str, unset: UnsetVariable) -> Diagnostic:
        message = f"the variable {quoted('$' + unset.name)} in {quoted(written)} is not set"
        return self.report("E220", path, message, "set it, or write the path out")
