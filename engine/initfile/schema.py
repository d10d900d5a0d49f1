"""The JSON Schema of the init file, for editors: made of the model, shipped as `schema.json`, and kept in step by a test."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from .model import NAMED, TOP_KEYS, Section, Status

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MADE_UP = frozenset(("title", "about"))


@cache
def schema() -> dict[str, Any]:
    """Return the schema; unknown keys are allowed, as in the language: they are warnings."""
    parts: dict[str, Any] = {}
    for section in dict.fromkeys(NAMED.values()):
        _collect(section, parts)
    tops = {
        key: {
            "type": "object",
            "description": description,
            "additionalProperties": _named(NAMED[key]),
        }
        for key, description in TOP_KEYS.items()
    }
    return {
        "$schema": DIALECT,
        "title": "Init file of lagotui",
        "description": "Machines, nets and disks of one environment.",
        "type": "object",
        "required": ["domains", "nets"],
        "properties": tops,
        "$defs": parts,
    }


def schema_text() -> str:
    """Return the schema as the text that is shipped."""
    import json

    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def key_schema(section: type[Section], key: str) -> dict[str, Any]:
    """Return what the schema says of one key; {} when it says nothing."""
    properties: Mapping[str, dict[str, Any]] = _own_schema(section)["properties"]
    return properties.get(key, {})


def _named(section: type[Section]) -> dict[str, Any]:
    reference = {"$ref": f"#/$defs/{section.__name__}"}
    may_be_empty = not _own_schema(section).get("required") and section is not NAMED["domains"]
    return {"anyOf": [reference, {"type": "null"}]} if may_be_empty else reference


def _collect(section: type[Section], parts: dict[str, Any]) -> None:
    parts[section.__name__] = _own_schema(section)
    for _, child in section.nested.values():
        _collect(child, parts)


@cache
def _own_schema(section: type[Section]) -> dict[str, Any]:
    made = section.model_json_schema(by_alias=True)
    known = section.keys()
    properties = {key: _cleaned(value) for key, value in made["properties"].items() if known[key].status is not Status.GENERATED}
    for key, info in known.items():
        if info.status is Status.DEPRECATED:
            properties[key]["deprecated"] = True
    own = {"description": made["description"], "type": "object", "properties": properties}
    return {**own, "required": made["required"]} if "required" in made else own


def _cleaned(value: Any) -> Any:
    """Take out what pydantic makes up (titles) and what is only ours."""
    if isinstance(value, list):
        return [_cleaned(each) for each in value]
    if not isinstance(value, dict):
        return value
    cleaned = {key: _cleaned(each) for key, each in value.items() if key not in _MADE_UP}
    if cleaned.get("default", ...) is None:
        del cleaned["default"]
    return cleaned
