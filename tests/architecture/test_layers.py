"""Who may import whom."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.architecture.house import Module, imports_of, is_below, module_of, modules, modules_below, obey

LAYERS = (
    ("errors", "events", "tasktree", "spec"),
    ("bus",),
    ("context", "process"),
    ("config",),
    ("initfile",),
    ("state",),
    ("plan",),
    ("guest",),
    ("images",),
    ("providers",),
    ("tasks",),
    ("monitor",),
    ("api",),
)
"""Low to high: a layer imports itself and those above it in this list."""

RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

ONLY = {
    "requests": ("engine/images",),
    "libvirt": ("engine/providers/libvirt",),
    "libvirtmod": ("engine/providers/libvirt",),
    "pylxd": ("engine/providers/lxd",),
    "aiohttp": ("engine/providers/lxd",),
    "paramiko": ("engine/guest",),
    "pydantic": ("engine/initfile",),
    "pycdlib": ("engine/guest", "engine/images"),
    "textual": ("lagotui",),
    "rich": ("lagotui",),
}
"""Library → the only folders that import it."""


def layer_violations(module: Module) -> Iterator[str]:
    own = module.name.split(".")[1] if "." in module.name else ""
    if own and own not in RANK:
        yield f"{module.path}: '{own}' has no place in LAYERS of tests/architecture/test_layers.py"
        return
    for each in imports_of(module):
        parts = each.target.split(".")
        if parts[0] != "engine" or len(parts) < 2 or not own:
            continue
        if RANK.get(parts[1], -1) > RANK[own]:
            yield f"{module.path}:{each.line}: {own} imports {each.target}, which is above it"


def foreign_violations(module: Module) -> Iterator[str]:
    """What engine may not do: know the doors, or itself by its absolute name."""
    for each in imports_of(module):
        if is_below(each.target, "lagotui", "textual", "rich"):
            yield f"{module.path}:{each.line}: engine imports {each.target}"
        elif each.level == 0 and is_below(each.target, "engine"):
            yield f"{module.path}:{each.line}: absolute import of {each.target}"


def only_violations(module: Module) -> Iterator[str]:
    for each in imports_of(module):
        allowed = ONLY.get(each.target.split(".")[0])
        if allowed is not None and not any(module.path.startswith(folder + "/") for folder in allowed):
            yield f"{module.path}:{each.line}: imports {each.target}, which belongs to {' and '.join(allowed)} alone"


def import_violations(module: Module, *forbidden: str) -> Iterator[str]:
    for each in imports_of(module):
        if is_below(each.target, *forbidden):
            yield f"{module.path}:{each.line}: imports {each.target}"


def test_engine_imports_lower_layers_only() -> None:
    obey("import lower layers only", [each for module in modules_below("engine") for each in layer_violations(module)])


def test_engine_knows_neither_the_doors_nor_its_own_absolute_name() -> None:
    obey(
        "engine imports relatively, and neither lagotui, textual nor rich",
        [each for module in modules_below("engine") for each in foreign_violations(module)],
    )


def test_every_heavy_library_has_one_home() -> None:
    obey("a library with a home is imported there only", [each for module in modules() for each in only_violations(module)])


def test_pure_parts_of_the_doors_know_no_textual() -> None:
    pure = (
        "lagotui/present",
        "lagotui/verbs",
        "lagotui/store.py",
        "lagotui/headless.py",
        "lagotui/cli.py",
        "lagotui/sdk",
        "lagotui/plugins",
    )
    obey(
        "present, verbs, store, headless, cli, sdk and plugins import no textual",
        [each for module in modules_below(*pure) for each in import_violations(module, "textual")],
    )


def test_widgets_know_no_screens() -> None:
    forbidden = ("lagotui.screens", "lagotui.app", "lagotui.bridge", "engine.providers")
    obey(
        "widgets import no screens, app, bridge or provider",
        [each for module in modules_below("lagotui/widgets") for each in import_violations(module, *forbidden)],
    )


def test_doors_know_no_layer_that_touches_the_world() -> None:
    forbidden = ("engine.providers.libvirt", "engine.providers.lxd", "engine.plan", "engine.guest")
    obey("lagotui asks engine.api", [each for module in modules_below("lagotui") for each in import_violations(module, *forbidden)])


def test_initfile_and_plan_open_no_files() -> None:
    forbidden = ("os", "pathlib.Path", "subprocess", "socket", "shutil", "tempfile")
    pure = [module for module in modules_below("engine/initfile", "engine/plan") if module.path != "engine/initfile/load.py"]
    obey("initfile (but its load.py) and plan do no I/O", [each for module in pure for each in import_violations(module, *forbidden)])


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("engine/state/prefix.py", "from ..plan.model import Plan"),
        ("engine/state/prefix.py", "def f():\n    from ..api import Engine"),
        ("engine/bus.py", "from .context import TaskContext"),
        ("engine/newcomer.py", ""),
    ],
)
def test_layer_rule_bites(path: str, text: str) -> None:
    assert list(layer_violations(module_of(path, text)))


@pytest.mark.parametrize(
    "text", ["import engine.spec", "from engine import spec", "def f():\n    import rich.text", "from lagotui import store"]
)
def test_foreign_rule_bites(text: str) -> None:
    assert list(foreign_violations(module_of("engine/plan/init.py", text)))


def test_home_rule_bites() -> None:
    assert list(only_violations(module_of("engine/tasks/runner.py", "def f():\n    import libvirt")))
