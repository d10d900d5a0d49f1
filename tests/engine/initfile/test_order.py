"""The order of keys has no say in what an init file means; the order of machines, and of items of lists, has."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.initfile.load import load_init_file
from engine.plan.addressing import plan_addresses
from engine.spec import EnvSpec

SAMPLES = sorted((Path(__file__).resolve().parents[3] / "sample_initfiles").glob("*.yaml"))
REPEATABLE = settings(derandomize=True, database=None, deadline=None, max_examples=6)


def spec_of(data: Any) -> EnvSpec:
    found = load_init_file("/env/LagoInitFile", json.dumps(data)).spec
    assert found is not None
    return found


def other_order(data: Any, random: Random, place: tuple[str, ...] = ()) -> Any:
    """Return the same with the keys of every mapping in another order, but for the machines."""
    if isinstance(data, list):
        return [other_order(each, random, place) for each in data]
    if not isinstance(data, dict):
        return data
    keys = list(data)
    if place != ("domains",):
        random.shuffle(keys)
    return {key: other_order(data[key], random, (*place, key)) for key in keys}


def with_prototypes(data: dict[str, Any]) -> dict[str, Any]:
    """Return a file whose machines have their keys from prototypes that are based on each other."""
    prototypes: dict[str, Any] = {}
    machines = {}
    for name, machine in data["domains"].items():
        shared = {key: value for number, (key, value) in enumerate(machine.items()) if number % 2 or key == "based-on"}
        prototypes |= {f"{name}-1": {"based-on": f"{name}-2"}, f"{name}-2": shared}
        machines[name] = {"based-on": f"{name}-1", **{key: value for key, value in machine.items() if key not in shared}}
    return {**data, "domains": machines, "prototypes": {**data.get("prototypes", {}), **prototypes}}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
@REPEATABLE
@given(random=st.randoms(use_true_random=False))
def test_order_of_keys_nets_and_prototypes_changes_nothing(sample: Path, random: Random) -> None:
    data = yaml.safe_load(sample.read_text())
    wanted = spec_of(data)
    for written in (data, with_prototypes(data)):
        shuffled = spec_of(other_order(written, random))
        assert shuffled == wanted
        assert list(shuffled.machines) == list(wanted.machines)
        assert plan_addresses(shuffled, {}) == plan_addresses(wanted, {})


def test_order_of_machines_decides_who_has_which_free_address() -> None:
    data = {"domains": {"a": {"nics": [{"net": "n"}]}, "b": {"nics": [{"net": "n"}]}}, "nets": {"n": {}}}
    turned = {**data, "domains": dict(reversed(data["domains"].items()))}
    assert [plan_addresses(spec_of(each), {}).machines["a"].ip for each in (data, turned)] == ["192.168.200.2", "192.168.200.3"]
