"""What can be said about an init file: a severity, a stable code, a place, a sentence and a next step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

Path = tuple[str | int, ...]
"""Keys and list indexes from the top of the file to a value: `("domains", "vm0", "nics", 0, "ip")`."""


MAX_QUOTED = 60
"""Characters of the file that a message repeats."""


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


_SEVERITIES = {"E": Severity.ERROR, "W": Severity.WARNING, "I": Severity.INFO}

CODES: Mapping[str, str] = MappingProxyType(
    {
        "E001": "the file cannot be read",
        "E002": "bytes that are no text",
        "E003": "neither YAML nor JSON",
        "E004": "a tab in the indentation",
        "E005": "a key written twice",
        "E006": "a tag or a value that cannot be used",
        "E007": "too deep, too long or too often repeated",
        "E008": "a merge or an anchor that cannot be followed",
        "E009": "a key that is no text",
        "E010": "not a mapping at the top",
        "E101": "a value of the wrong type",
        "E102": "a key is missing",
        "E103": "an unknown key that looks like a known one",
        "E104": "a value out of its range or choice",
        "E105": "a thing of the language that is not supported yet",
        "E106": "keys that exclude each other",
        "E107": "a prototype that cannot be followed",
        "W101": "an unknown key",
        "W103": "a key that is out of date",
        "W104": "a key without effect in its place",
        "E201": "a net that is not there",
        "E202": "a template that is not there",
        "E203": "a template version that is not there",
        "E204": "not exactly one management nic",
        "E205": "two nics with one address",
        "E206": "a nic with the address of the gateway",
        "E207": "an address outside of its net",
        "E208": "no address",
        "E209": "a gateway that cannot be used",
        "E210": "two nets with one subnet",
        "E211": "a dhcp range that cannot be used",
        "E212": "two disks with one device",
        "E213": "two disks with one name",
        "E214": "a name that cannot be used",
        "E215": "no size",
        "E216": "a file that is not there",
        "E217": "no domains",
        "E218": "no nets",
        "E219": "DNS on a net without management",
        "E220": "a variable that is not set",
        "E221": "a provider or a type that is not there",
        "E222": "a CPU model that the host does not know",
        "E223": "a bridge that the host does not have",
        "E224": "machines that depend on each other in a circle",
        "E225": "a machine to depend on that is not there",
        "E226": "a cloud-init text that cannot be read",
        "E227": "an address on a net without addresses",
        "E228": "a CPU that cannot be written as XML",
        "E229": "an image or an archive that cannot be used",
        "E230": "more disks than a machine can have",
        "W201": "an environment without machines",
        "W202": "more than the host has",
        "W203": "a subnet that is in use right now",
        "W204": "a management net without addresses",
        "W205": "two machines with one name in DNS",
        "W206": "more than the subnets have room for",
        "W207": "a CPU model that the host cannot run",
        "I201": "only the last octet of an address is kept",
        "I202": "a file disk without a file is made empty",
        "I203": "a template by a name that stands for another",
    }
)
"""Every code with what it stands for. A code keeps its meaning for ever; new ones are added."""


class Span(NamedTuple):
    """A piece of the file, counted from 1; the end is the place after its last character."""

    line: int
    column: int
    end_line: int
    end_column: int


FILE_START = Span(1, 1, 1, 1)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    severity: Severity
    code: str
    message: str
    hint: str
    """The next step; "" when there is none."""
    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    @classmethod
    def at(cls, code: str, file: str, span: Span, message: str, hint: str = "") -> Diagnostic:
        """Make a diagnostic; its severity is the first letter of the code."""
        return cls(_SEVERITIES[code[0]], code, message, hint, file, *span)

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.severity} {self.code}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text

    def to_json(self) -> dict[str, str | int]:
        return asdict(self)


def quoted(value: object) -> str:
    """Show a piece of the file in a message: in quotes, on one line, not endless, and harmless to a terminal."""
    text = str(value)
    short = text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 1] + "…"
    return "'" + "".join(each if each.isprintable() else each.encode("unicode_escape", "replace").decode() for each in short) + "'"


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(each.severity is Severity.ERROR for each in diagnostics)


def in_file_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Sort by place, and keep one of those that say the same thing about one place (anchors, merges and prototypes repeat)."""
    first_said: dict[tuple[str, int, int, int, int], Diagnostic] = {}
    for each in diagnostics:
        first_said.setdefault((each.code, each.line, each.column, each.end_line, each.end_column), each)
    return sorted(first_said.values(), key=lambda each: (each.line, each.column, each.code))
