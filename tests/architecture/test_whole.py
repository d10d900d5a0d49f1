"""Things that are true of the project as a whole."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter

from engine.initfile.model import TOP_KEYS, CloudInit, Dhcp, Disk, Domain, Net, Nic, Ready, Section, Status
from tests.architecture.house import ROOT, modules, obey

SECTIONS: tuple[type[Section], ...] = (Domain, Nic, Disk, Net, Dhcp, Ready, CloudInit)


def test_every_module_says_what_it_is() -> None:
    obey("every module has a docstring", [f"{module.path}:1" for module in modules() if not ast.get_docstring(module.tree)])


def test_every_package_has_an_init() -> None:
    folders = {(ROOT / module.path).parent for module in modules()}
    obey(
        "every folder with modules is a package",
        [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").is_file()],
    )


def test_version_is_given_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = [f"pyproject.toml: {project['version']}"] if "version" in project else []
    assigned = re.compile(r"^__version__\b.*=\s*[\"'](.+)[\"']", re.MULTILINE)
    found += [f"{module.path}: {match.group()}" for module in modules() for match in assigned.finditer(module.text)]
    obey("the version of the project is given in exactly one place", found if len(found) != 1 else [])


def test_modules_are_named_once_per_folder() -> None:
    names = Counter(module.name for module in modules())
    obey("a module is a file or a folder, not both", [name for name, count in names.items() if count > 1])


def test_every_key_of_the_init_file_is_exercised() -> None:
    places = [*(ROOT / "sample_initfiles").glob("*.yaml"), *(ROOT / "tests/engine/initfile").rglob("*.py")]
    text = "\n".join(path.read_text() for path in places)
    keys = {key for section in SECTIONS for key, info in section.keys().items() if info.status is not Status.GENERATED} | set(TOP_KEYS)
    written = set(re.findall(r"[\w-]+(?=[\"']?:)", text))
    obey("every key of the init file occurs in a sample or a test", keys - written)


def test_every_key_of_the_init_file_is_described() -> None:
    fields = [(section.__name__, name, field) for section in SECTIONS for name, field in section.model_fields.items()]
    obey("every key has a description", [f"{section}.{name}" for section, name, field in fields if not field.description])
