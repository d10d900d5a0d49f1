"""The predecessor's output formats."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

import pytest
import yaml

from lagotui.present.lago_formats import dump

STATUS = {
    "Prefix": {
        "Base directory": "/x/.lago/default",
        "UUID": "763e",
        "Networks": {"n1": {"gateway": "192.168.200.1", "status": "down", "management": True}},
        "VMs": {
            "vm1": {
                "distro": "cirros",
                "root password": "123456",
                "status": "down",
                "snapshots": "",
                "metadata": {},
                "NICs": {"eth0": {"ip": "192.168.200.2", "network": "n1"}},
            }
        },
    }
}


def test_default_is_the_predecessors_text() -> None:
    assert dump(STATUS, "default") == (
        "[Prefix]:\n"
        "    Base directory: /x/.lago/default\n"
        "    [Networks]:\n"
        "        [n1]:\n"
        "            gateway: 192.168.200.1\n"
        "            management: True\n"
        "            status: down\n"
        "    UUID: 763e\n"
        "    [VMs]:\n"
        "        [vm1]:\n"
        "            [NICs]:\n"
        "                [eth0]:\n"
        "                    ip: 192.168.200.2\n"
        "                    network: n1\n"
        "            distro: cirros\n"
        "            root password: 123456\n"
        "            status: down\n"
    )


def test_flat_drops_the_root_and_keeps_empty_values() -> None:
    lines = dump(STATUS, "flat").splitlines()
    assert "Networks/n1/gateway: 192.168.200.1" in lines
    assert "VMs/vm1/snapshots: " in lines
    assert not any("metadata" in line for line in lines)
    assert lines == sorted(lines)


def test_flat_shows_none() -> None:
    assert dump({"distro": None}, "flat") == "distro: None\n"


@pytest.mark.parametrize("value", [None, "", {}, []])
def test_default_omits_what_is_empty(value: Any) -> None:
    assert dump({"a": 1, "b": value}, "default") == "a: 1\n"


def test_default_keeps_false_and_zero() -> None:
    assert dump({"a": False, "b": 0}, "default") == "a: False\nb: 0\n"


def test_default_indents_a_list_of_scalars() -> None:
    assert dump({"groups": ["b", "a"]}, "default") == "groups: \n    b\n    a\n"


def test_default_tells_mappings_in_a_list_apart() -> None:
    text = dump({"disks": [{"dev": "vda"}, {"dev": "vdb"}]}, "default")
    assert text == "disks: \n    [0]:\n        dev: vda\n    [1]:\n        dev: vdb\n"


def test_flat_numbers_the_items_of_a_list() -> None:
    assert dump({"a": [{"b": 1}, {"b": 2}], "c": ["x", "y"]}, "flat") == "a/0/b: 1\na/1/b: 2\nc/0: x\nc/1: y\n"


@pytest.mark.parametrize("out_format", ["default", "flat"])
def test_a_list_at_the_top_is_one_item_a_line(out_format: str) -> None:
    assert dump(["default", "other"], out_format) == "default\nother\n"


@pytest.mark.parametrize("data", [{}, []])
@pytest.mark.parametrize("out_format", ["default", "flat"])
def test_nothing_gives_no_line(data: Any, out_format: str) -> None:
    assert dump(data, out_format) == ""


def test_json_is_sorted_and_indented_by_four() -> None:
    assert dump({"b": 1, "a": [1]}, "json") == '{\n    "a": [\n        1\n    ],\n    "b": 1\n}\n'


@pytest.mark.parametrize("out_format", ["json", "yaml"])
def test_data_survives_a_round_trip(out_format: str) -> None:
    load = json.loads if out_format == "json" else yaml.safe_load
    assert load(dump(STATUS, out_format)) == STATUS


def test_yaml_is_in_block_style_and_allows_unicode() -> None:
    assert dump({"a": {"b": "ü"}}, "yaml") == "a:\n  b: ü\n"


def test_yaml_takes_tuples_and_enums() -> None:
    class Word(StrEnum):
        UP = "up"

    assert dump({"a": (Word.UP,)}, "yaml") == "a:\n- up\n"


def test_yaml_of_a_bare_text_has_no_document_end() -> None:
    assert dump("/x/image", "yaml") == "/x/image\n"


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="'xml' is no output format"):
        dump({}, "xml")
