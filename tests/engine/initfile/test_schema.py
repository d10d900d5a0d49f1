"""The JSON Schema says what the model says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.initfile.model import TOP_KEYS, CloudInit, Dhcp, Disk, Domain, Net, Nic, Ready, Section, Status
from engine.initfile.schema import key_schema, schema, schema_text

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "engine/initfile/schema.json"
SECTIONS: tuple[type[Section], ...] = (Domain, Nic, Disk, Net, Dhcp, Ready, CloudInit)


def test_shipped_schema_is_that_of_the_model() -> None:
    assert SHIPPED.read_text(encoding="utf-8") == schema_text(), "make it anew: lagotui --run schema > engine/initfile/schema.json"


def test_top_keys_are_described() -> None:
    assert {key: each["description"] for key, each in schema()["properties"].items()} == TOP_KEYS


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_key_that_is_written_is_in_the_schema_with_its_description(section: type[Section]) -> None:
    written = {key: info.description for key, info in section.keys().items() if info.status is not Status.GENERATED}
    assert {key: each["description"] for key, each in schema()["$defs"][section.__name__]["properties"].items()} == written


def test_needed_keys_are_required() -> None:
    assert schema()["$defs"]["Disk"]["required"] == ["type", "name"]


def test_choices_are_listed() -> None:
    assert key_schema(Net, "type")["enum"] == ["nat", "bridge"]


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(schema())
    named = {part.split('"')[0] for part in text.split("#/$defs/")[1:]}
    assert named <= set(schema()["$defs"])


def faults(value: Any, part: dict[str, Any]) -> list[str]:
    """Check a value against what of JSON Schema is used here."""
    if "$ref" in part:
        return faults(value, schema()["$defs"][part["$ref"].rpartition("/")[2]])
    if "anyOf" in part:
        found = [faults(value, each) for each in part["anyOf"]]
        return [] if any(not each for each in found) else found[0]
    kinds = part.get("type", [])
    allowed = [kinds] if isinstance(kinds, str) else kinds
    if allowed and not any(is_a(value, kind) for kind in allowed):
        return [f"{value!r} is no {allowed}"]
    if "enum" in part and value not in part["enum"]:
        return [f"{value!r} is none of {part['enum']}"]
    if isinstance(value, dict):
        own = part.get("properties", {})
        missing = [f"{key} is missing" for key in part.get("required", ()) if key not in value]
        below = [each for key, item in value.items() for each in faults(item, own.get(key, part.get("additionalProperties") or {}))]
        return missing + below
    if isinstance(value, list):
        return [each for item in value for each in faults(item, part.get("items", {}))]
    return []


def is_a(value: object, kind: str) -> bool:
    if isinstance(value, bool) or value is None:
        return kind == {True: "boolean", False: "boolean", None: "null"}[value]
    kinds = {"integer": int, "number": (int, float), "string": str, "object": dict, "array": list}
    return kind in kinds and isinstance(value, kinds[kind])


@pytest.mark.parametrize("sample", sorted((ROOT / "sample_initfiles").glob("*.yaml")), ids=lambda path: path.name)
def test_sample_is_valid(sample: Path) -> None:
    assert faults(yaml.safe_load(sample.read_text()), schema()) == []


def test_wrong_type_is_not_valid() -> None:
    assert faults({"domains": {"a": {"vcpu": []}}, "nets": {"l": None}}, schema())
