"""What the tests of the house share: every module as a syntax tree, and one way to say which rule was broken where."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("engine", "lagotui", "themes", "sample_initfiles")

HEAVY = ("textual", "rich", "libvirt", "pylxd", "paramiko", "pydantic", "requests", "netaddr", "aiohttp", "watchfiles")
HEAVY += ("yaml", "lxml", "filelock", "cryptography", "pycdlib")
"""Libraries that cost 30 ms or more to import: never loaded on the way of a quick verb."""


@dataclass(frozen=True, slots=True)
class Module:
    path: str
    """From the root: `engine/tasks/runner.py`."""
    tree: ast.Module
    text: str

    @property
    def name(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def package(self) -> str:
        """The package that its relative imports start from."""
        return self.name if self.path.endswith("/__init__.py") else self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Import:
    target: str
    """Absolute dotted name; for `from a import b` it is `a.b`."""
    level: int
    """Dots of a relative import."""
    line: int


def module_of(path: str, text: str) -> Module:
    return Module(path, ast.parse(text, path), text)


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the program, deferred files included; tests are not part of it."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return tuple(module_of(str(path.relative_to(ROOT)), path.read_text()) for path in paths)


def modules_below(*prefixes: str) -> Iterator[Module]:
    """Modules whose path is, or is below, one of `prefixes`."""
    for module in modules():
        if any(module.path == prefix or module.path.startswith(prefix.rstrip("/") + "/") for prefix in prefixes):
            yield module


def imports_of(module: Module) -> Iterator[Import]:
    """Every import, also those inside of functions and of `if TYPE_CHECKING`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, 0, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            for alias in node.names:
                yield Import(f"{base}.{alias.name}", node.level, node.lineno)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.package.split(".")
    start = ".".join(parts[: len(parts) - node.level + 1])
    return f"{start}.{node.module}" if node.module else start


def is_below(target: str, *names: str) -> bool:
    """Whether the dotted `target` is one of `names` or below one."""
    return any(target == name or target.startswith(name + ".") for name in names)


def obey(rule: str, violations: Iterable[str]) -> None:
    """Fail with the rule and every place that breaks it."""
    found = sorted(set(violations))
    assert not found, "\n  ".join([f"rule of the house: {rule}", *found])


def run_fresh(code: str, tmp_path: Path) -> str:
    """Run `code` in a new interpreter with an empty home, and return what it printed."""
    home = {name: str(tmp_path) for name in ("HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR")}
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **home}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
