"""What importing costs and does, seen in a fresh interpreter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.architecture.house import HEAVY, modules, obey, run_fresh

DOORS = (
    "lagotui.cli",
    "lagotui.headless",
    "lagotui.sdk",
    "lagotui.sdk.environment",
    "lagotui.plugins",
    "engine",
    "engine.api",
    "engine.initfile",
    "engine.spec",
)

LOADED = """
import importlib, json, sys
importlib.import_module({module!r})
print(json.dumps(sorted(set({heavy!r}) & set(sys.modules))))
"""

EFFECTS = """
import asyncio, importlib, json, logging, os, sys, threading
writes = []
def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            writes.append(f"opens {{path}} for writing")
    elif event in ("os.mkdir", "os.rename", "os.remove", "subprocess.Popen", "socket.connect", "os.fork", "os.posix_spawn"):
        writes.append(f"does {{event}} {{arguments[:1]}}")
sys.addaudithook(watch)
found = {{}}
for name in {names!r}:
    before = (set(threading.enumerate()), list(logging.getLogger().handlers), dict(os.environ), os.getcwd())
    del writes[:]
    importlib.import_module(name)
    after = (set(threading.enumerate()), list(logging.getLogger().handlers), dict(os.environ), os.getcwd())
    what = ["threads", "log handlers", "environment", "current folder"]
    changed = [f"changes the {{each}}" for each, old, new in zip(what, before, after) if old != new]
    if writes or changed:
        found[name] = [*writes, *changed]
print(json.dumps(found))
"""


@pytest.mark.parametrize("module", DOORS)
def test_door_loads_no_heavy_library(module: str, tmp_path: Path) -> None:
    loaded = json.loads(run_fresh(LOADED.format(module=module, heavy=HEAVY), tmp_path))
    obey("quick verbs load no heavy library", [f"import {module} loads {each}" for each in loaded])


def test_pure_modules_load_no_textual(tmp_path: Path) -> None:
    pure = [module.name for module in modules() if module.path.startswith(("lagotui/present/", "lagotui/store.py", "lagotui/verbs/"))]
    code = f"import importlib, sys\nfor name in {pure!r}: importlib.import_module(name)\nprint('textual' in sys.modules)"
    assert run_fresh(code, tmp_path).strip() == "False"


def test_importing_everything_changes_nothing(tmp_path: Path) -> None:
    names = [module.name for module in modules() if not module.name.endswith("__main__")]
    found = json.loads(run_fresh(EFFECTS.format(names=names), tmp_path))
    obey("importing has no effects", [f"importing {name} {what}" for name, effects in found.items() for what in effects])
    assert list(tmp_path.iterdir()) == []
