"""The sample init files: nothing is wrong with them, they plan as written down here, and together they show the whole language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.api import InitRequest, Need
from engine.images.catalogue import load_catalogue
from engine.initfile import load_init_file
from engine.initfile.facts import Facts
from engine.initfile.model import NAMED, TOP_KEYS, Section, Status
from lagotui.present.plan import plan_text
from tests.engine.bench import Bench

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = sorted((ROOT / "sample_initfiles").glob("*.yaml"))
OUTSIDE = ROOT / "tests/engine/initfile/fixtures/outside.yaml"
GOLDEN = Path(__file__).parent / "golden"

NOT_IN_SAMPLES = {
    ("disk", "path"): "an image",
    ("disk", "make_a_copy"): "an image",
    ("disk", "in_place"): "an image",
    ("disk", "url"): "an image",
    ("disk", "sha256"): "an image",
    ("disk", "sha1"): "an image",
    ("disk", "build"): "it needs libguestfs",
    ("machine", "type"): "an archive",
    ("machine", "url"): "an archive",
    ("machine", "service_class"): "it is deprecated",
    ("machine", "ssh"): "a machine that exists already",
    ("ssh", "address"): "a machine that exists already",
    ("ssh", "port"): "a machine that exists already",
    ("ssh", "keys"): "a machine that exists already",
    ("net", "bridge"): "a bridge of the host",
}
"""Place and key → why only the fixture `outside.yaml` has it."""

Key = tuple[str, str]


def plenty(need: Need, unit: int = 1) -> Need:
    """Return a need as on a machine with 16 TiB of everything: the one that the test runs on has no say."""
    return replace(need, available=(1 << 44) // unit)


def planned(bench: Bench, sample: Path) -> str:
    request = InitRequest(workdir=bench.folder / "work", prefix_name="default", init_file=sample)
    plan = bench.engine.plan(request)
    memory, disk, store = plenty(plan.memory_mib, 1 << 20), plenty(plan.disk_bytes), plenty(plan.store_bytes)
    return plan_text(replace(plan, prefix="/here/.lago/default", memory_mib=memory, disk_bytes=disk, store_bytes=store))


def keys_of(title: str, section: type[Section], written: Mapping[str, Any]) -> Iterator[Key]:
    """Yield every key that is written in a section and in those below it, with the name of its place."""
    for key, value in written.items():
        yield title, key
        if key in section.nested:
            kind = section.nested[key][1]
            for item in value if isinstance(value, list) else [value]:
                yield from keys_of(kind.title, kind, item)
        elif key == "based-on" and isinstance(value, dict):
            yield from keys_of(title, section, value)


def keys_in(path: Path) -> set[Key]:
    data = yaml.safe_load(path.read_text())
    found = {("file", key) for key in data}
    for top, section in NAMED.items():
        found |= {each for written in data.get(top, {}).values() for each in keys_of(section.title, section, written)}
    return found


def declared(section: type[Section]) -> set[Key]:
    below = {each for _, kind in section.nested.values() for each in declared(kind)}
    return below | {(section.title, key) for key, info in section.keys().items() if info.status is not Status.GENERATED}


def language() -> set[Key]:
    """Return every key that an init file may have."""
    return {("file", key) for key in TOP_KEYS} | {each for section in NAMED.values() for each in declared(section)}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_nothing_is_to_be_said_about_a_sample(sample: Path) -> None:
    loaded = load_init_file(sample, facts=Facts(templates=load_catalogue().names(), exists=lambda path: False))
    assert [str(each) for each in loaded.diagnostics] == []


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_stands_on_the_tiny_template_only(sample: Path) -> None:
    spec = load_init_file(sample).spec
    assert spec is not None
    names = {disk.template_name for machine in spec.machines.values() for disk in machine.disks if disk.template_name}
    assert names == {"tiny"}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_plans_like_this(sample: Path, bench: Bench) -> None:
    assert planned(bench, sample) == (GOLDEN / f"{sample.stem}.txt").read_text()


def test_every_golden_plan_is_of_a_sample() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {sample.stem for sample in SAMPLES}


def test_every_key_of_the_language_is_in_a_sample_or_needs_what_no_sample_can_bring() -> None:
    shown = {key for sample in SAMPLES for key in keys_in(sample)}
    assert shown == language() - set(NOT_IN_SAMPLES)


def test_every_key_that_no_sample_can_have_is_in_the_fixture() -> None:
    assert set(NOT_IN_SAMPLES) <= keys_in(OUTSIDE)


def test_the_fixture_is_right_but_for_what_is_announced() -> None:
    facts = Facts(variables={"IMAGES": "/images"}, exists=lambda path: True, bridges=("br0",))
    loaded = load_init_file(OUTSIDE, facts=facts)
    assert {(each.severity.value, each.code) for each in loaded.diagnostics} == {("warning", "W103")}


def test_the_largest_sample_has_ten_machines_on_three_nets() -> None:
    spec = load_init_file(ROOT / "sample_initfiles/cluster.yaml").spec
    assert spec is not None
    assert (len(spec.machines), len(spec.nets)) == (10, 3)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_the_readme_lists_a_sample(sample: Path) -> None:
    assert f"| `{sample.name}` |" in (ROOT / "README.md").read_text()
