"""Document → typed machines and nets, and what is wrong with their keys. One bad machine does not hide the faults of the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from pydantic import ValidationError

from ..spec import EXTERNAL_PROVIDER
from .diagnostics import Diagnostic, Path, quoted
from .kinds import kind_of
from .model import TOP_KEYS, Domain, Net, Section, Status
from .tree import MAX_DEPTH, MAX_VALUES, Document, size_of

NEAR = 0.75
"""difflib ratio from which an unknown key counts as a slip of a known one."""

FEW = 50
"""Names that one is compared with."""

MAX_KEY_PROBLEMS = 5_000
"""Unknown keys that are told of; a file has none, a few, or is something else."""

AnySection = TypeVar("AnySection", bound=Section)


@dataclass(slots=True)
class InitFile:
    """What of a document could be read."""

    document: Document
    domains: dict[str, Domain] = field(default_factory=dict)
    """Those with wrong keys stand here without them, so that the rest of them is checked all the same."""
    without: dict[str, frozenset[str]] = field(default_factory=dict)
    """Domain → its keys that could not be read."""
    nets: dict[str, Net] = field(default_factory=dict)
    """Without those whose keys or types are wrong."""
    raw_domains: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Every domain that is a mapping, with what it is based on filled in."""
    raw_nets: dict[str, dict[str, Any]] = field(default_factory=dict)
    net_names: tuple[str, ...] = ()
    """Every net that is named, readable or not."""
    nets_are_whole: bool = False
    """No net is missing from `nets`."""


def read_init_file(document: Document) -> tuple[InitFile, list[Diagnostic]]:
    """Check keys and types of `document`, whose text could be read to its end."""
    reader = _Reader(document)
    reader.read()
    return reader.init, reader.problems


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.init = InitFile(document)
        self.problems: list[Diagnostic] = []
        self._circles: set[frozenset[str]] = set()
        """Prototypes that are based on each other, and were told of."""
        self._inherited = 0
        """Values that were taken over from prototypes."""

    def read(self) -> None:
        top = self.document.data
        if not isinstance(top, dict):
            message = f"an init file is a mapping with 'domains' and 'nets', not {kind_of(top)}"
            self._say("E010", (), message, "see sample_initfiles/one_vm.yaml")
            return
        for key in top:
            if key not in TOP_KEYS:
                self._unknown_top_key(key)
        self._read_domains(self._named(top, "domains", "E217", "domains: {vm0: {nics: [{net: lan}], disks: []}}"))
        self._read_nets({} if self._needs_no_nets(top) else self._named(top, "nets", "E218", "nets: {lan: {type: nat}}"))
        self._check_prototypes(top.get("prototypes"))

    def _needs_no_nets(self, top: Mapping[str, Any]) -> bool:
        """Whether there are only machines that exist without us, and so are on nets of their own."""
        providers = {domain.vm_provider for domain in self.init.domains.values()}
        return "nets" not in top and providers == {EXTERNAL_PROVIDER}

    def _named(self, top: Mapping[str, Any], key: str, missing_code: str, example: str) -> dict[str, Any]:
        if key not in top:
            near = get_close_matches(key, [each for each in top if each not in TOP_KEYS], n=1, cutoff=NEAR)
            hint = f"write {quoted(near[0])} as '{key}'" if near else f"add one, for example {example}"
            self._say(missing_code, (), f"the init file has no '{key}'", hint)
            return {}
        value = top[key]
        if not isinstance(value, dict):
            self._say("E101", (key,), f"'{key}' must be a mapping of names, not {kind_of(value)}")
            return {}
        return value

    def _unknown_top_key(self, key: str) -> None:
        near = get_close_matches(key, TOP_KEYS, n=1, cutoff=NEAR)
        hint = f"did you mean '{near[0]}'?" if near else "it is only kept; fine where it holds anchors"
        self._say("W101", (key,), f"unknown key {quoted(key)}", hint, key=True)

    def _read_domains(self, domains: Mapping[str, Any]) -> None:
        for name, written in domains.items():
            path = ("domains", name)
            if not isinstance(written, dict):
                self._say("E101", path, f"machine {quoted(name)} must be a mapping, not {kind_of(written)}")
                continue
            data = self._with_prototype(path, written)
            self.init.raw_domains[name] = data
            domain, wrong = self._section(Domain, path, data)
            if domain is None:
                self.init.without[name] = wrong
                domain = Domain.model_validate({key: value for key, value in data.items() if key not in wrong})
            self.init.domains[name] = domain

    def _check_prototypes(self, prototypes: Any) -> None:
        """Check prototypes by themselves, those too that nothing is based on; what a machine said of one already is told once only."""
        if prototypes is not None and not isinstance(prototypes, dict):
            self._say("E101", ("prototypes",), f"'prototypes' must be a mapping of names, not {kind_of(prototypes)}")
            return
        for name, written in (prototypes or {}).items():
            path = ("prototypes", name)
            if isinstance(written, dict):
                self._section(Domain, path, self._with_prototype(path, written, name))
            else:
                self._say("E101", path, f"prototype {quoted(name)} must be a mapping, not {kind_of(written)}")

    def _read_nets(self, nets: Mapping[str, Any]) -> None:
        self.init.net_names = tuple(nets)
        for name, written in nets.items():
            data = {} if written is None else written
            if not isinstance(data, dict):
                self._say("E101", ("nets", name), f"net {quoted(name)} must be a mapping, not {kind_of(data)}")
                continue
            self.init.raw_nets[name] = data
            net, _ = self._section(Net, ("nets", name), data)
            if net is not None:
                self.init.nets[name] = net
        self.init.nets_are_whole = len(self.init.nets) == len(nets)

    def _section(self, section: type[AnySection], path: Path, data: dict[str, Any]) -> tuple[AnySection | None, frozenset[str]]:
        """Read one machine or net; where that fails, return which of its keys are wrong."""
        if len(self.problems) < MAX_KEY_PROBLEMS:
            self.problems.extend(islice(_key_problems(self.document, section, data, path), MAX_KEY_PROBLEMS))
        try:
            return section.model_validate(data), frozenset()
        except ValidationError as error:
            found = error.errors(include_url=False)
        self.problems.extend(_from_pydantic(self.document, (*path, *each["loc"]), each) for each in found)
        return None, frozenset(str(each["loc"][0]) for each in found)

    def _with_prototype(self, path: Path, written: dict[str, Any], *names: str) -> dict[str, Any]:
        """Fill in the keys that `written` does not have from what it is based on, and from what that is based on in turn.

        Args:
            path: of what is filled in.
            written: its keys.
            names: of the prototype that it is, none for a machine.
        """
        data, seen = dict(written), list(names)
        place, base = path, written.get("based-on")
        while base is not None:
            source: Path = (*place, "based-on")
            if isinstance(base, str):
                prototype = self._prototype(source, base, seen)
                if prototype is None:
                    return data
                source, base = ("prototypes", base), prototype
            elif not isinstance(base, dict):
                self._say("E101", source, f"'based-on' must be a mapping or the name of a prototype, not {kind_of(base)}")
                return data
            missing = [key for key in base if key not in data]
            self._inherited += sum(size_of(base[key]) for key in missing)
            if self._inherited > MAX_VALUES:
                self._say("E007", (*path, "based-on"), f"there are more than {MAX_VALUES:,} values, prototypes followed")
                return data
            for key in missing:
                data[key] = base[key]
                self.document.inherit((*path, key), (*source, key))
            place, base = source, base.get("based-on")
        return data

    def _prototype(self, place: Path, name: str, seen: list[str]) -> dict[str, Any] | None:
        prototypes = self.document.data.get("prototypes")
        known = prototypes if isinstance(prototypes, dict) else {}
        if name in seen:
            circle = frozenset(seen[seen.index(name) :])
            if circle not in self._circles:
                self._circles.add(circle)
                self._say("E107", place, f"prototype {quoted(name)} is based on itself")
        elif len(seen) >= MAX_DEPTH:
            self._say("E107", place, f"prototypes are based on each other more than {MAX_DEPTH} deep")
        elif name not in known:
            self._say("E107", place, f"there is no prototype {quoted(name)}", nearest(name, known, "prototypes"))
        elif not isinstance(known[name], dict):
            self._say("E101", ("prototypes", name), f"prototype {quoted(name)} must be a mapping, not {kind_of(known[name])}")
        else:
            seen.append(name)
            found: dict[str, Any] = known[name]
            return found
        return None

    def _say(self, code: str, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        self.problems.append(self.document.report(code, path, message, hint, key=key))


def _alike(name: str, known: Iterable[str]) -> list[str]:
    """Return what is worth to be compared: comparing is slow, and there may be hundreds of names in hundreds of places."""
    some = list(known)
    if len(some) > FEW:
        some = [each for each in some if abs(len(each) - len(name)) <= 3 and (each[:1] == name[:1] or each[-1:] == name[-1:])]
    return some[:FEW]


def nearest(name: str, known: Mapping[str, Any] | tuple[str, ...], plural: str) -> str:
    """Return the hint for a name that is not known: the nearest one, else the first few there are."""
    near = get_close_matches(name, _alike(name, known), n=1)
    if near:
        return f"did you mean {quoted(near[0])}?"
    shown = ", ".join(quoted(each) for each in list(known)[:5])
    return f"{plural}: {shown}{', …' if len(known) > 5 else ''}" if shown else f"there are no {plural}"


def _key_problems(document: Document, section: type[Section], data: Mapping[str, Any], path: Path) -> Iterator[Diagnostic]:
    """Find unknown keys, and known ones that have no effect yet, in `data` and below."""
    known = section.keys()
    for key in data:
        info = known.get(key)
        if info is None:
            yield _unknown_key(document, section, key, path)
        elif info.status is Status.DEPRECATED:
            yield document.report("W103", (*path, key), f"{quoted(key)} is out of date", info.note, key=True)
    for key, (shape, child) in section.nested.items():
        value = data.get(key)
        if shape == "one" and isinstance(value, dict):
            yield from _key_problems(document, child, value, (*path, key))
        elif shape == "list" and isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    yield from _key_problems(document, child, item, (*path, key, index))


def _unknown_key(document: Document, section: type[Section], key: str, path: Path) -> Diagnostic:
    near = _near_key(section, key)
    message = f"unknown key {quoted(key)} of a {section.title}"
    if near:
        return document.report("E103", (*path, key), message, f"did you mean '{near}'?", key=True)
    return document.report("W101", (*path, key), message, "it is only kept", key=True)


@cache
def _near_key(section: type[Section], key: str) -> str:
    return next(iter(get_close_matches(key, section.keys(), n=1, cutoff=NEAR)), "")


def _from_pydantic(document: Document, path: Path, error: Mapping[str, Any]) -> Diagnostic:
    kind, context, written = error["type"], error.get("ctx") or {}, error["input"]
    key = quoted(path[-1]) if isinstance(path[-1], str) else f"item {path[-1] + 1} of {quoted(path[-2])}"
    if kind.startswith("E"):
        return document.report(kind, path, context["said"].replace("{key}", key), context["hint"])
    if kind == "missing":
        return document.report("E102", path, f"{key} is missing from {_holder(path[:-1])}", _how_to_add(str(path[-1])))
    if kind == "literal_error":
        choices = context["expected"].replace(" or ", ", ").replace("'", "")
        near = get_close_matches(str(written), choices.split(", "), n=1)
        hint = f"did you mean '{near[0]}'?" if near else ""
        return document.report("E104", path, f"{key} must be one of {choices}; it is {kind_of(written)}", hint)
    if kind == "greater_than_equal":
        return document.report("E104", path, f"{key} must be at least {context['ge']}")
    if kind == "less_than_equal":
        return document.report("E104", path, f"{key} must be at most {context['le']}")
    wanted = {"list_type": "a list", "dict_type": "a mapping", "model_type": "a mapping"}.get(kind, "something else")
    return document.report("E101", path, f"{key} must be {wanted}, not {kind_of(written)}")


def _holder(path: Path) -> str:
    """Name what should hold a missing key: `disk 1 of 'vm0'`."""
    if isinstance(path[-1], int):
        return f"{str(path[-2]).removesuffix('s')} {path[-1] + 1} of {quoted(path[-3])}"
    return quoted(path[-1])


def _how_to_add(key: str) -> str:
    examples = {"net": "net: lan", "type": "type: template", "name": "name: root", "start": "start: 100", "end": "end: 254"}
    return f"add it: {examples[key]}" if key in examples else ""
