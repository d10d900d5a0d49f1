"""What an editor can offer at the cursor, and say about what is there: from the same model as the checks, on half-written text too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .diagnostics import Path
from .facts import Facts, Processor
from .kinds import SERVICE_PROVIDERS
from .model import NAMED, TOP_KEYS, Names, Section, Status
from .outline import Entry, Outline, Place, Spot, place_of, read_outline
from .schema import key_schema

MAX_SHOWN = 8
"""Versions and choices that one line names."""


class Kind(StrEnum):
    KEY = "key"
    VALUE = "value"
    """One of the choices of a key."""
    NAME = "name"
    """Of something of this file, or of the world: a net, a template."""
    ITEM = "item"
    """Begins an item of a list."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    label: str
    insert: str
    """Takes the place of what is written of the word before the cursor."""
    detail: str
    kind: Kind
    replaces: int = 0
    """Characters before the cursor that `insert` takes the place of."""


@dataclass(frozen=True, slots=True)
class Hover:
    title: str
    text: str
    line: int
    """Of what it is about, from 1."""
    column: int
    end_column: int


def complete(text: str, line: int, column: int, facts: Facts | None = None) -> list[Suggestion]:
    """Return what can be written at the cursor, the likeliest first; lines and columns count from 1."""
    place = place_of(text, line, column)
    if place.spot is Spot.NOTHING:
        return []
    outline = read_outline(text)
    known = facts or Facts()
    found = _keys(outline, place, known) if place.spot is Spot.KEY else _values(outline, place, known)
    return _matching(found, place.typed)


def hover(text: str, line: int, column: int, facts: Facts | None = None) -> Hover | None:
    """Return what is to be said about the key or value at a place; None for nothing."""
    outline = read_outline(text)
    for path, entry in outline.entries.items():
        if entry.line == line and entry.column <= column < entry.end_column and isinstance(path[-1], str):
            said = _about_key(outline, path)
            return said and Hover(*said, entry.line, entry.column, entry.end_column)
        if entry.value_line == line and entry.value_column <= column < entry.value_end_column:
            said = _about_value(outline, path, entry, facts or Facts())
            return said and Hover(*said, line, entry.value_column, entry.value_end_column)
    return None


# keys


def _keys(outline: Outline, place: Place, facts: Facts) -> Iterator[Suggestion]:
    path = place.path
    if not path:
        yield from (Suggestion(key, f"{key}:", about, Kind.KEY) for key, about in TOP_KEYS.items() if key not in _others(outline, place))
        return
    section = _section(path)
    if section is not None:
        yield from _section_keys(section, set(_others(outline, place)), place.typed)
        return
    items = _items(path)
    if items is not None:
        first = next(key for key, field in items.model_fields.items() if field.is_required())
        written = items.model_fields[first].alias or first
        yield Suggestion(f"- {written}", f"- {written}: ", f"another {items.title}", Kind.ITEM)
    elif isinstance(path[-1], int):
        yield from _values(outline, place, facts)
    else:
        names = _names_of(path)
        yield from (
            Suggestion(f"- {each.label}", f"- {each.insert}", each.detail, Kind.ITEM) for each in _named(outline, path, names, facts)
        )


def _others(outline: Outline, place: Place) -> list[str]:
    return [key for key in outline.keys(place.path) if key != _plain(place.typed)]


def _section_keys(section: type[Section], present: set[str], typed: str) -> Iterator[Suggestion]:
    required = {field.alias or name for name, field in section.model_fields.items() if field.is_required()}
    offered = [key for key, info in section.keys().items() if info.status not in (Status.GENERATED, Status.DEPRECATED)]
    quote = typed[:1] if typed[:1] in ("'", '"') else ""
    for key in sorted(offered, key=lambda each: each not in required):
        if key not in present:
            about = section.keys()[key].description
            end = ":" if key in section.nested and not quote else ": "
            detail = f"{about} Needed." if key in required else about
            yield Suggestion(key, f"{quote}{key}{quote}{end}", detail, Kind.KEY)


def _section(path: Path) -> type[Section] | None:
    """Return the section whose keys stand in the mapping at `path`."""
    if len(path) < 2 or path[0] not in NAMED:
        return None
    section, rest = NAMED[str(path[0])], list(path[2:])
    while rest:
        shape, child = section.nested.get(str(rest.pop(0)), ("", None))
        if child is None or (shape == "list" and not rest):
            return None
        if shape == "list" and not isinstance(rest.pop(0), int):
            return None
        section = child
    return section


def _items(path: Path) -> type[Section] | None:
    """Return the section of the items of the list at `path`."""
    holder = _section(path[:-1])
    shape, child = holder.nested.get(str(path[-1]), ("", None)) if holder else ("", None)
    return child if shape == "list" else None


# values


def _values(outline: Outline, place: Place, facts: Facts) -> Iterator[Suggestion]:
    path = place.path[:-1] if place.path and isinstance(place.path[-1], int) else place.path
    yield from _named(outline, path, _names_of(path), facts)
    section = _section(path[:-1]) if path else None
    info = section.keys().get(str(path[-1])) if section is not None else None
    if section is not None and info is not None:
        for choice in _choices(key_schema(section, str(path[-1]))):
            yield Suggestion(choice, choice, info.description, Kind.VALUE)


def _choices(schema: dict[str, Any]) -> list[str]:
    """Return the values that a key may have, where they can be listed."""
    found: list[str] = []
    for each in [schema, *schema.get("anyOf", ())]:
        if each.get("type") == "boolean":
            return ["true", "false"]
        found += [str(value) for value in each.get("enum", [each["const"]] if "const" in each else ())]
    return found


def _names_of(path: Path) -> Names:
    section = _section(path[:-1]) if path else None
    info = section.keys().get(str(path[-1])) if section is not None else None
    return info.names if info else Names.NOTHING


def _named(outline: Outline, path: Path, names: Names, facts: Facts) -> Iterator[Suggestion]:
    """Name everything that the value at `path` may be the name of."""
    known: Iterable[tuple[str, str]] = ()
    match names:
        case Names.NETS:
            known = [(name, _net_detail(outline, name)) for name in outline.keys(("nets",))]
        case Names.MACHINES:
            listed = {entry.value for other, entry in outline.entries.items() if other[:-1] == path}
            known = [(name, "machine") for name in outline.keys(("domains",)) if name != path[1] and name not in listed]
        case Names.PROTOTYPES:
            known = [(name, "prototype") for name in outline.keys(("prototypes",))]
        case Names.TEMPLATES:
            known = [(name, _versions_detail(versions)) for name, versions in (facts.templates or {}).items()]
        case Names.VERSIONS:
            template = outline.value((*path[:-1], "template_name"))
            known = [(version, f"version of {template}") for version in (facts.templates or {}).get(template, ())]
        case Names.CPU_MODELS:
            known = _cpu_models(facts)
        case Names.BRIDGES:
            known = [(bridge, "bridge of this host") for bridge in facts.bridges or ()]
        case Names.PROVIDERS:
            known = [(provider, "vm-provider") for provider in facts.vm_providers or ()]
        case Names.SERVICE_PROVIDERS:
            known = [(provider, "manages services") for provider in SERVICE_PROVIDERS]
        case Names.NOTHING:
            return
    for name, detail in known:
        yield Suggestion(name, name, detail, Kind.NAME)


def _cpu_models(facts: Facts) -> list[tuple[str, str]]:
    """Return the models that the host knows with what it says of each, its own first."""
    processor = facts.processor() if facts.processor else None
    found = [(model, _about_cpu(model, processor)) for model in facts.cpu_models or ()]
    return sorted(found, key=lambda each: processor is None or each[0] != processor.model)


def _about_cpu(model: str, processor: Processor | None) -> str:
    if processor is not None and model == processor.model:
        return "CPU model, the host's own"
    if processor is not None and processor.usable and model not in processor.usable:
        return "CPU model that the host cannot run"
    return "CPU model"


def _net_detail(outline: Outline, name: str) -> str:
    path: Path = ("nets", name)
    kind = outline.value((*path, "type")) or "nat"
    said = [f"{kind} net", outline.value((*path, "gw"))]
    if outline.value((*path, "management")).lower() in ("true", "yes", "on"):
        said.append("management")
    return ", ".join(each for each in said if each)


def _versions_detail(versions: tuple[str, ...]) -> str:
    return f"template: {_shown(versions)}" if versions else "template"


def _shown(values: Iterable[str]) -> str:
    some = list(values)
    return ", ".join(some[:MAX_SHOWN]) + (", …" if len(some) > MAX_SHOWN else "")


def _matching(found: Iterable[Suggestion], typed: str) -> list[Suggestion]:
    """Keep what fits what is typed: those that begin so before those that have it inside."""
    word, quote = _plain(typed).lower(), typed[:1] if typed[:1] in ("'", '"') else ""
    fitting = [each for each in found if word in each.label.lower().removeprefix("- ")]
    fitting.sort(key=lambda each: not each.label.lower().removeprefix("- ").startswith(word))
    quoted = [each if each.kind is Kind.KEY else _with_insert(each, f"{quote}{each.insert}{quote}") for each in fitting]
    return [Suggestion(each.label, each.insert, each.detail, each.kind, len(typed)) for each in quoted]


def _with_insert(each: Suggestion, insert: str) -> Suggestion:
    return Suggestion(each.label, insert, each.detail, each.kind)


def _plain(typed: str) -> str:
    return typed.strip("\"'")


# hover


def _about_key(outline: Outline, path: Path) -> tuple[str, str] | None:
    if not path:
        return None
    key = str(path[-1])
    if len(path) == 1:
        return (key, TOP_KEYS[key]) if key in TOP_KEYS else None
    section = _section(path[:-1])
    if section is None:
        return _about_name(outline, path)
    info = section.keys().get(key)
    if info is None:
        return None
    schema = key_schema(section, key)
    lines = [info.description]
    choices = _choices(schema)
    if choices:
        lines.append(f"One of: {_shown(choices)}.")
    if "default" in schema and schema["default"] not in ([], {}):
        default = str(schema["default"])
        lines.append(f"Without it: {default.lower() if default in ('True', 'False') else default}.")
    if info.note:
        lines.append(f"{info.note[0].upper()}{info.note[1:]}.")
    return f"{key} of a {section.title}", "\n".join(lines)


def _about_name(outline: Outline, path: Path) -> tuple[str, str] | None:
    if len(path) != 2 or path[0] not in NAMED:
        return None
    name = str(path[1])
    if path[0] == "nets":
        users = sum(entry.value == name and other[-1] == "net" for other, entry in outline.entries.items())
        return f"net {name}", f"{_net_detail(outline, name)}\n{users} {'nic' if users == 1 else 'nics'}"
    said = [f"{key}: {value}" for key in ("memory", "vcpu", "based-on") if (value := outline.value((*path, key)))]
    nets = [entry.value for other, entry in outline.entries.items() if other[:3] == (*path, "nics") and other[-1] == "net"]
    title = f"{'machine' if path[0] == 'domains' else 'prototype'} {name}"
    return title, "\n".join([*said, *([f"nets: {', '.join(nets)}"] if nets else [])]) or NAMED[str(path[0])].title


def _about_value(outline: Outline, path: Path, entry: Entry, facts: Facts) -> tuple[str, str] | None:
    place = path[:-1] if isinstance(path[-1], int) else path
    names, value = _names_of(place), entry.value
    if names is Names.NETS and value in outline.keys(("nets",)):
        return _about_name(outline, ("nets", value))
    if names is Names.MACHINES and value in outline.keys(("domains",)):
        return _about_name(outline, ("domains", value))
    if names is Names.TEMPLATES and facts.templates and value in facts.templates:
        return f"template {value}", f"versions: {_shown(facts.templates[value])}"
    if names is Names.CPU_MODELS and value in (facts.cpu_models or ()):
        processor = facts.processor() if facts.processor else None
        own = f"\nThe host's own processor is {processor}." if processor else ""
        return f"cpu_model {value}", f"{_about_cpu(value, processor)}.{own}"
    return _about_key(outline, place)
