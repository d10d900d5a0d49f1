"""The predecessor's output formats: one structure as `default`, `flat`, `json` or `yaml` text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

FORMATS = ("default", "json", "yaml", "flat")

FLAT_ROOT = "Prefix"
"""Stripped from the paths of `flat`."""

_INDENT = " " * 4


def dump(data: Any, out_format: str) -> str:
    """Return `data` (mappings, lists, scalars) as text; it ends with a newline unless it is empty."""
    match out_format:
        case "json":
            return _dump_json(data)
        case "yaml":
            return _dump_yaml(data)
        case "flat":
            return _join(_flat_lines(data))
        case "default":
            return _join(_default_lines(data, ""))
        case _:
            raise ValueError(f"'{out_format}' is no output format; there are {', '.join(FORMATS)}")


def _dump_json(data: Any) -> str:
    import json

    return json.dumps(data, indent=4, sort_keys=True) + "\n"


def _dump_yaml(data: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(_plain(data), default_flow_style=False, allow_unicode=True)
    return text.removesuffix("...\n")


def _plain(data: Any) -> Any:
    """Return `data` made of the builtin types only: the safe dumper knows no others."""
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if _is_list(data):
        return [_plain(item) for item in data]
    return str(data) if isinstance(data, str) else data


def _default_lines(data: Any, indent: str) -> Iterator[str]:
    if isinstance(data, Mapping):
        for key, value in _sorted(data):
            yield from _default_entry(key, value, indent)
    elif _is_list(data):
        yield from _default_items(data, indent)
    elif not _is_nothing(data):
        yield f"{indent}{data}"


def _default_entry(key: str, value: Any, indent: str) -> Iterator[str]:
    if _is_nothing(value):
        return
    if isinstance(value, Mapping):
        yield f"{indent}[{key}]:"
        yield from _default_lines(value, indent + _INDENT)
    elif _is_list(value):
        yield f"{indent}{key}: "
        yield from _default_items(value, indent + _INDENT)
    else:
        yield f"{indent}{key}: {value}"


def _default_items(items: Iterable[Any], indent: str) -> Iterator[str]:
    """Yield a list one item a line; items that hold others are told apart by their number."""
    for number, item in enumerate(items):
        if isinstance(item, Mapping) or _is_list(item):
            yield f"{indent}[{number}]:"
            yield from _default_lines(item, indent + _INDENT)
        else:
            yield f"{indent}{item}"


def _flat_lines(data: Any) -> Iterator[str]:
    if isinstance(data, Mapping):
        for key, value in _sorted(data):
            yield from _flat_entry("" if key == FLAT_ROOT else key, value)
    elif _is_list(data):
        for number, item in enumerate(data):
            yield from _flat_entry(str(number), item) if isinstance(item, Mapping) or _is_list(item) else (str(item),)
    else:
        yield str(data)


def _flat_entry(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, child in _sorted(value):
            yield from _flat_entry(f"{path}/{key}" if path else key, child)
    elif _is_list(value):
        for number, child in enumerate(value):
            yield from _flat_entry(f"{path}/{number}", child)
    else:
        yield f"{path}: {value}"


def _sorted(data: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    return sorted(((str(key), value) for key, value in data.items()), key=lambda entry: entry[0])


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_nothing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, Mapping) and not value) or (_is_list(value) and not value)


def _join(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
