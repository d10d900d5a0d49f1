"""Settings: defaults < /etc < XDG < environment < command line; every value knows where it came from.

Files are INI, as the predecessor's: `lago/lago.conf`, and over it `lagotui/lagotui.conf`. `[lago]` and `[lagotui]` are for every verb,
`[init]`, `[start]` … for one. In the environment `LAGO_X` stands for `[lago] x`, `LAGO__START__X` for `[start] x`; the same with `LAGOTUI`.
Names that are no setting are ignored: other programs, and the predecessor's exports to its children, use such names too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ConfigError

if TYPE_CHECKING:
    from configparser import RawConfigParser

COMMAND_LINE = "command line"
DEFAULT = "default"
SHARED_DIR = Path("var/lib/lago")
"""Below the root directory: where the predecessor keeps what all users share."""


def xdg_dir(variable: str, fallback: str, environ: Mapping[str, str]) -> Path:
    """Return an XDG base directory; a relative value is ignored, as the XDG specification says."""
    named = environ.get(variable, "")
    if named.startswith("/"):
        return Path(named)
    home = environ.get("HOME", "")
    return (Path(home) if home else Path.home()) / fallback


def shared_or_own_dir(shared: str, own: str, environ: Mapping[str, str], root: Path = Path("/")) -> Path:
    """Return `/var/lib/lago/<shared>` where it exists and we may write to it, else `<XDG data>/lagotui/<own>`."""
    directory = root / SHARED_DIR / shared
    if directory.is_dir() and os.access(directory, os.W_OK | os.X_OK):
        return directory
    return xdg_dir("XDG_DATA_HOME", ".local/share", environ) / "lagotui" / own


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its value; make one with `load_settings`."""

    loglevel: str = "info"
    """Of the console: `info`, `debug`, `error` or `warning`."""
    logdepth: int = 3
    """Levels of the task tree on the console; -1 shows all."""
    out_format: str = "default"
    """Of results: `default`, `json`, `yaml`, `flat`, or that of a plugin."""
    ignore_warnings: bool = False
    """Hide Python's warnings."""
    workdir_path: Path | None = None
    """Where the search for the workdir begins; None: the current directory."""
    prefix_path: Path | None = None
    """A prefix, whatever workdir it is in; `auto` means the current directory."""
    prefix_name: str = "current"
    """Of the prefix in its workdir."""
    ssh_user: str = "root"
    ssh_password: str | None = field(default=None, repr=False)
    """For machines that give none themselves; None: keys only."""
    ssh_tries: int = 100
    ssh_timeout: int = 10
    """Seconds for one connection."""
    root_password: str | None = field(default=None, repr=False)
    """Set in guests that give none themselves; None: none is set."""
    libvirt_url: str = "auto"
    """`auto`, `private`, `system` or a libvirt URI."""
    libvirt_username: str | None = None
    libvirt_password: str | None = field(default=None, repr=False)
    private_outside: str = "auto"
    """Whether machines of the private host reach outside: `auto`, where slirp4netns is installed, or `no`."""
    accel: str = "auto"
    """`kvm`, `tcg`, or `auto`: kvm where it works."""
    default_vm_type: str = "default"
    default_vm_provider: str = "local-libvirt"
    lease_dir: Path = field(default_factory=lambda: shared_or_own_dir("subnets", "subnets", os.environ))
    """Where subnets are leased."""
    reposync_dir: Path = Path("/var/lib/lago")
    """Read for the sake of old files; unused."""
    template_repo_path: str = ""
    """Catalogue of templates, a file or a URL; "" means the built-in catalogue only."""
    template_store: Path = field(default_factory=lambda: shared_or_own_dir("store", "store", os.environ))
    """Where images of templates are kept."""
    template_repos: Path = field(default_factory=lambda: shared_or_own_dir("repos", "repos", os.environ))
    """Where catalogues are kept."""
    template_timeout: float = 30.0
    """Seconds that a server of templates may be silent."""
    wait_suspend: float = 0.0
    """Seconds that a starting machine is held paused; the predecessor's `LAGO__START__WAIT_SUSPEND`."""
    ask: Callable[[str], str | None] | None = field(default=None, compare=False, repr=False)
    """Asks the user for a secret and returns None where there is no answer; None: nobody can be asked. Set by the program, by no file."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Setting → where its value came from: `default`, `/etc/lago/lago.conf [init]`, `env LAGO_LOGLEVEL`, `command line`."""


@dataclass(frozen=True, slots=True)
class _Kind:
    parse: Callable[[str], object]
    """Raises ValueError for what is not allowed."""
    allowed: str
    section: str = ""
    """A verb whose section is read for this setting whatever the verb is."""


def _choice(*words: str) -> _Kind:
    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(text)
        return text.lower()

    return _Kind(parse, f"one of {', '.join(words)}")


def _whole(minimum: int) -> _Kind:
    def parse(text: str) -> int:
        number = int(text)
        if number < minimum:
            raise ValueError(text)
        return number

    return _Kind(parse, f"a whole number from {minimum}")


def _flag(text: str) -> bool:
    return {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}[text.lower()]


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError(text)
    return seconds


def _patience(text: str) -> float:
    seconds = _seconds(text)
    if seconds < 1:
        raise ValueError(text)
    return seconds


def _directory(section: str = "") -> _Kind:
    return _Kind(lambda text: Path(os.path.abspath(Path(text).expanduser())), "a directory", section)  # noqa: PTH100 - links stay


_TEXT = _Kind(str, "a text")
_PATH = _Kind(lambda text: Path(text).expanduser(), "a path")

_KINDS: Mapping[str, _Kind] = {
    "loglevel": _choice("info", "debug", "error", "warning"),
    "logdepth": _whole(-1),
    "out_format": _TEXT,
    "ignore_warnings": _Kind(_flag, "true or false"),
    "workdir_path": _PATH,
    "prefix_path": _PATH,
    "prefix_name": _TEXT,
    "ssh_user": _TEXT,
    "ssh_password": _TEXT,
    "ssh_tries": _whole(1),
    "ssh_timeout": _whole(1),
    "root_password": _TEXT,
    "libvirt_url": _TEXT,
    "libvirt_username": _TEXT,
    "libvirt_password": _TEXT,
    "private_outside": _choice("auto", "no"),
    "accel": _choice("auto", "kvm", "tcg"),
    "default_vm_type": _TEXT,
    "default_vm_provider": _TEXT,
    "lease_dir": _directory(),
    "reposync_dir": _directory(),
    "template_repo_path": _Kind(str, "a path or a URL", "init"),
    "template_store": _directory("init"),
    "template_repos": _directory("init"),
    "template_timeout": _Kind(_patience, "a number of seconds from 1", "init"),
    "wait_suspend": _Kind(_seconds, "a number of seconds", "start"),
}

_ALIASES = {"default_root_password": "root_password", "libvirt_user": "libvirt_username"}
"""Options that the predecessor read into nothing."""

_OF_ONE_COMMAND = frozenset({"workdir_path", "prefix_path"})
"""They say what one command is about, and would only confuse in a file."""

_Layer = dict[tuple[str, str], tuple[str, str]]
"""(section, name) → (value, where it came from)."""


def sections() -> Mapping[str, str]:
    """Return the settings that files may hold, each with the section that it belongs in: `lago` for every verb, or a verb's."""
    found = {name: kind.section or "lago" for name, kind in _KINDS.items() if name not in _OF_ONE_COMMAND}
    return dict(sorted(found.items(), key=lambda item: (item[1] != "lago", item[1])))


def load_settings(
    cli: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    verb: str = "",
    *,
    root: Path = Path("/"),
) -> Settings:
    """Gather the settings from everywhere.

    Args:
        cli: options by name; None and False mean "not given", names that are no setting are ignored.
        environ: the environment, by default our own.
        verb: whose section of the files counts beside the general ones.
        root: where `/etc` and `/var/lib/lago` are looked for.

    Raises:
        ConfigError: a file is not INI, or a value is not allowed.
    """
    environ = os.environ if environ is None else environ
    layers = [*(_read_file(path) for path in _config_files(environ, root)), _from_environ(environ), _from_cli(cli or {})]
    values: dict[str, Any] = {
        "lease_dir": shared_or_own_dir("subnets", "subnets", environ, root),
        "template_store": shared_or_own_dir("store", "store", environ, root),
        "template_repos": shared_or_own_dir("repos", "repos", environ, root),
    }
    provenance = {item.name: DEFAULT for item in fields(Settings) if item.name not in ("provenance", "ask")}
    for name, kind in _KINDS.items():
        found = _last(layers, name, ("lago", "lagotui", kind.section, verb))
        if found is not None:
            values[name], provenance[name] = _parse(name, kind, *found), found[1]
    _let_the_command_line_choose(values, provenance)
    return Settings(**values, provenance=provenance)


def _let_the_command_line_choose(values: dict[str, Any], provenance: dict[str, str]) -> None:
    """Forget an inherited prefix path where the command line names a workdir or a prefix of one."""
    chosen = COMMAND_LINE in (provenance["workdir_path"], provenance["prefix_name"])
    if chosen and provenance["prefix_path"] != COMMAND_LINE:
        values.pop("prefix_path", None)
        provenance["prefix_path"] = DEFAULT


def _parse(name: str, kind: _Kind, text: str, source: str) -> object:
    try:
        return kind.parse(text)
    except (ValueError, KeyError, RuntimeError) as refused:  # RuntimeError: "~user" of nobody
        raise ConfigError(f"setting '{name}' cannot be '{text}' ({source}): it must be {kind.allowed}") from refused


def _last(layers: Iterable[_Layer], name: str, sections: Iterable[str]) -> tuple[str, str] | None:
    """Return the value that wins: the last layer that has one, in it the most particular section."""
    found = None
    for layer in layers:
        for section in sections:
            found = layer.get((section, name), found) if section else found
    return found


def _config_files(environ: Mapping[str, str], root: Path) -> list[Path]:
    """Return every place of a file, the most particular one last."""
    system = environ.get("XDG_CONFIG_DIRS") or str(root / "etc/xdg")
    folders = [root / "etc", *(Path(folder) for folder in reversed(system.split(":")) if folder.startswith("/"))]
    folders.append(xdg_dir("XDG_CONFIG_HOME", ".config", environ))
    return [folder / name for folder in folders for name in ("lago/lago.conf", "lagotui/lagotui.conf")]


def _read_file(path: Path) -> _Layer:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:  # not there, or not for us to read: a host may keep its own file closed
        return {}
    except UnicodeDecodeError as not_text:
        raise ConfigError(f"{path}: is not text in UTF-8: {not_text.reason} at byte {not_text.start}") from not_text
    parser = _parse_ini(path, text)
    return {
        (section.lower(), _canonical(name)): (value, f"{path} [{section}]")
        for section in parser.sections()
        for name, value in parser.items(section)
        if value
    }


def _parse_ini(path: Path, text: str) -> RawConfigParser:
    import configparser

    parser = configparser.RawConfigParser()  # raw: a password may hold a "%"
    try:
        parser.read_string(text, source=str(path))
    except configparser.MissingSectionHeaderError as wrong:
        raise ConfigError(f"{path}:{wrong.lineno}: stands before the first section; begin with [lago]") from wrong
    except configparser.ParsingError as wrong:
        line, words = wrong.errors[0] if wrong.errors else (getattr(wrong, "lineno", 0), getattr(wrong, "line", ""))
        raise ConfigError(f"{path}:{line}: is not '[section]' nor 'name = value': {words}") from wrong
    except configparser.DuplicateSectionError as wrong:
        raise ConfigError(f"{path}:{wrong.lineno}: section [{wrong.section}] is there twice") from wrong
    except configparser.DuplicateOptionError as wrong:
        raise ConfigError(f"{path}:{wrong.lineno}: '{wrong.option}' is in section [{wrong.section}] twice") from wrong
    return parser


def _from_environ(environ: Mapping[str, str]) -> _Layer:
    layer: _Layer = {}
    for program in ("lago", "lagotui"):
        start = f"{program.upper()}_"
        for variable, value in environ.items():
            if not variable.startswith(start) or not value:
                continue
            rest = variable.removeprefix(start)
            section, _, name = rest[1:].partition("__") if rest.startswith("_") else (program, "", rest)
            if section and name:
                layer[section.lower(), _canonical(name)] = (value, f"env {variable}")
    return layer


def _from_cli(cli: Mapping[str, object]) -> _Layer:
    given = {_canonical(name): value for name, value in cli.items() if value is not None and value is not False}
    return {("lagotui", name): (str(value), COMMAND_LINE) for name, value in given.items()}


def _canonical(name: str) -> str:
    plain = name.lower().replace("-", "_")
    return _ALIASES.get(plain, plain)
