"""The kinds of values that keys of the init file have: what is taken, what it becomes, and what JSON Schema says of it."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from .diagnostics import quoted
from .values import MAX_MEMORY_MIB, SCHEMES, disk_size, is_address, is_web_or_path, memory_mib

MIN_MEMORY_MIB = 16
CLOUD_CONFIG = "#cloud-config"
BUILDERS = ("virt-customize",)

_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}\Z")
_DEVICE = re.compile(r"(?:(?:vd|sd)[a-z]{1,2}|hd[a-d])\Z")
_HEX = re.compile(r"[0-9a-fA-F]+\Z")
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")
MAX_PATTERN = 500


def wrong(code: str, message: str, hint: str = "") -> PydanticCustomError:
    """Make the error of a validator; the code is that of a diagnostic, `{key}` in the message becomes the quoted key."""
    return PydanticCustomError(code, "{said}", {"said": message, "hint": hint})


def kind_of(value: Any) -> str:
    """Name the type of a value in the words of the file format."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"the number {value}"
    names = {int: "a number", str: "the text " + quoted(value), dict: "a mapping", list: "a list"}
    return names.get(type(value), "something else")


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, bool | float):
        read_as = "a yes or no" if isinstance(value, bool) else "a number"
        raise wrong("E101", "{key} must be text, and this is read as " + read_as, "put it in quotes")
    raise wrong("E101", "{key} must be text, not " + kind_of(value))


def _integer(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 20:
        return int(value)
    raise wrong("E101", "{key} must be a whole number, not " + kind_of(value))


def _flag(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in (*_TRUE, *_FALSE):
        return value.lower() in _TRUE
    raise wrong("E101", "{key} must be true or false, not " + kind_of(value))


def _memory(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        amount = memory_mib(value)
        if amount is None:
            raise wrong("E215", "{key} must be a number of MiB or an amount like 2G, not " + quoted(value))
        if not MIN_MEMORY_MIB <= amount <= MAX_MEMORY_MIB:
            raise wrong("E104", f"{{key}} must be from {MIN_MEMORY_MIB} MiB to {MAX_MEMORY_MIB} MiB", "a bare number is MiB")
        return amount
    raise wrong("E101", "{key} must be a number of MiB or an amount like 2G, not " + kind_of(value))


def _size(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong("E101", "{key} must be a number of GB or a size like 10G, not " + kind_of(value))
    size = disk_size(value)
    if size is None:
        raise wrong("E215", "{key} must be a number of GB or a size like 10G, up to 1024T, not " + quoted(value), "a bare number is GB")
    return size


def _some_texts(value: Any) -> Any:
    """Take one text for a list of one."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return [value]
    raise wrong("E101", "{key} must be a name or a list of names, not " + kind_of(value))


def _url(value: Any) -> Any:
    text = _text(value)
    if not is_address(text):
        raise wrong(
            "E104", "{key} must be a path or an address with a host in it, not " + quoted(text), "write it like http://server/image"
        )
    if not is_web_or_path(text):
        scheme = text.partition("://")[0]
        raise wrong("E104", f"{{key}} must be a path or an address of {', '.join(SCHEMES)}, not of {quoted(scheme)}")
    return text


def _device(value: Any) -> Any:
    text = _text(value)
    if not _DEVICE.match(text):
        raise wrong("E104", "{key} must be a device like vda or sdb, not " + quoted(text))
    return text


def _interface(value: Any) -> Any:
    text = _text(value)
    if not _INTERFACE.match(text):
        raise wrong("E214", quoted(text) + " cannot be the name of a bridge", "a bridge of this host, at most 15 characters: see 'ip link'")
    return text


def _pattern(value: Any) -> Any:
    text = _text(value)
    if len(text) > MAX_PATTERN:
        raise wrong("E104", f"{{key}} must be a regular expression of at most {MAX_PATTERN} characters")
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise wrong("E104", f"{{key}} must be a regular expression: {error}", "write \\ before signs that mean themselves") from error
    return text


def _checksum(length: int) -> BeforeValidator:
    def read(value: Any) -> Any:
        text = _text(value)
        if len(text) != length or not _HEX.match(text):
            raise wrong("E104", f"{{key}} must be {length} hexadecimal digits", "put them in quotes")
        return text.lower()

    return BeforeValidator(read)


def _user_data(value: Any) -> Any:
    """Take a mapping, or the text of one as cloud-init has it in files."""
    if not isinstance(value, str):
        if value is None or isinstance(value, dict):
            return value
        raise wrong("E101", "{key} must be a mapping, or text that starts with #cloud-config, not " + kind_of(value))
    first, _, rest = value.partition("\n")
    if first.strip() != CLOUD_CONFIG:
        raise wrong("E101", "{key} must be a mapping, or text whose first line is #cloud-config", "scripts go under runcmd:")
    return _mapping_in(rest, 1) if rest.strip() else {}


def _network_config(value: Any) -> Any:
    data = _mapping_in(value, 0) if isinstance(value, str) else value
    if isinstance(data, dict) and set(data) == {"network"}:
        data = data["network"]
    if data is None:
        return None
    if not isinstance(data, dict):
        raise wrong("E101", "{key} must be a mapping, not " + kind_of(data))
    if str(data.get("version")) != "2":
        raise wrong("E104", "{key} must be of version 2", "write 'version: 2' and 'ethernets:' in it")
    return {**data, "version": 2}


def _mapping_in(text: str, lines_before: int) -> dict[str, Any]:
    from .source import parse

    found = parse(text, "")
    if found.problems:
        problem = found.problems[0]
        raise wrong("E226", f"line {problem.line + lines_before} of {{key}}: {problem.message}", problem.hint)
    if not isinstance(found.data, dict):
        raise wrong("E226", "the text of {key} must be a mapping, not " + kind_of(found.data))
    return found.data


def _build(value: Any) -> Any:
    """Take a list of one-key mappings: builder → options."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong("E101", "{key} must be a list of builders, not " + kind_of(value), "- virt-customize: {touch: /root/file}")
    return [_builder(each) for each in value]


def _builder(written: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(written, dict) or not written:
        raise wrong("E101", "an item of {key} must be a mapping of a builder, not " + kind_of(written))
    name, *others = written
    if name not in BUILDERS:
        raise wrong("E104", f"{{key}} has the builder {quoted(name)}; there is only {' '.join(BUILDERS)}")
    options = written[name]
    if options in (None, "") and others:  # the predecessor's manual shows the options beside their builder, too
        options = {key: written[key] for key in others}
    elif others:
        raise wrong("E101", f"an item of {{key}} must be one builder; this has {quoted(others[0])} too", "begin another item with '-'")
    if options in (None, ""):
        options = {}
    if not isinstance(options, dict):
        raise wrong("E101", f"{quoted(name)} in {{key}} must be a mapping of its options, not {kind_of(options)}")
    bad = next((key for key, value in options.items() if not _is_argument(value)), None)
    if bad is not None:
        raise wrong("E101", f"the option {quoted(bad)} in {{key}} must be a value or a list of values")
    return {name: options}


def _is_argument(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, str | int | float) for each in value)
    return value is None or isinstance(value, str | int | float)


def _cpu(value: Any) -> Any:
    if value is None or isinstance(value, dict):
        return value
    raise wrong("E101", "{key} must be a mapping, not " + kind_of(value), "elements of libvirt's <cpu>: '@mode': custom, model: Westmere")


def _free(value: Any) -> Any:
    """Take an empty mapping for one that is not written."""
    return {} if value is None else value


_NAMES = {"type": ["string", "array", "null"], "items": {"type": ["string", "integer"]}}

Text = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": ["string", "integer"]})]
Flag = Annotated[
    bool, BeforeValidator(_flag), WithJsonSchema({"anyOf": [{"type": "boolean"}, {"enum": ["true", "false", "yes", "no", "on", "off"]}]})
]
Memory = Annotated[
    int,
    BeforeValidator(_memory),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": MIN_MEMORY_MIB}, {"type": "string", "pattern": r"^[0-9.]+\s*[KkMmGgTtPp]?i?[Bb]?$"}]}
    ),
]
Size = Annotated[
    str,
    BeforeValidator(_size),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": r"^[0-9.]+\s*(?:[KkMmGgTtPp]?i?[Bb]?)$"}]}
    ),
]
Texts = Annotated[list[Text], BeforeValidator(_some_texts), WithJsonSchema(_NAMES)]
Url = Annotated[str, BeforeValidator(_url), WithJsonSchema({"type": "string"})]
Device = Annotated[str, BeforeValidator(_device), WithJsonSchema({"type": "string", "pattern": "^(?:(?:vd|sd)[a-z]{1,2}|hd[a-d])$"})]
Interface = Annotated[str, BeforeValidator(_interface), WithJsonSchema({"type": "string", "maxLength": 15})]
Pattern = Annotated[str, BeforeValidator(_pattern), WithJsonSchema({"type": "string", "format": "regex"})]
Sha256 = Annotated[str, _checksum(64), WithJsonSchema({"type": "string", "pattern": "^[0-9a-fA-F]{64}$"})]
Sha1 = Annotated[str, _checksum(40), WithJsonSchema({"type": "string", "pattern": "^[0-9a-fA-F]{40}$"})]
UserData = Annotated[dict[str, Any], BeforeValidator(_user_data), WithJsonSchema({"type": ["object", "string", "null"]})]
NetworkConfig = Annotated[dict[str, Any], BeforeValidator(_network_config), WithJsonSchema({"type": ["object", "string", "null"]})]
Build = Annotated[
    list[dict[str, dict[str, Any]]],
    BeforeValidator(_build),
    WithJsonSchema({"type": "array", "items": {"type": "object", "properties": {name: {"type": ["object", "null"]} for name in BUILDERS}}}),
]
Cpu = Annotated[dict[str, Any], BeforeValidator(_cpu), WithJsonSchema({"type": ["object", "null"]})]
Mapping = Annotated[dict[str, Any], BeforeValidator(_free), WithJsonSchema({"type": ["object", "null"]})]
SERVICE_PROVIDERS = ("systemd", "sysvinit", "systemdcontainer")


def _whole(low: int, high: int) -> WithJsonSchema:
    digits = f"^[0-9]{{1,{len(str(high))}}}$"
    return WithJsonSchema({"anyOf": [{"type": "integer", "minimum": low, "maximum": high}, {"type": "string", "pattern": digits}]})


Octet = Annotated[int, BeforeValidator(_integer), Field(ge=1, le=254), _whole(1, 254)]
Cpus = Annotated[int, BeforeValidator(_integer), Field(ge=1, le=1024), _whole(1, 1024)]
Seconds = Annotated[int, BeforeValidator(_integer), Field(ge=1, le=86_400), _whole(1, 86_400)]
Port = Annotated[int, BeforeValidator(_integer), Field(ge=1, le=65_535), _whole(1, 65_535)]
Mtu = Annotated[int, BeforeValidator(_integer), Field(ge=576, le=65_535), _whole(576, 65_535)]
