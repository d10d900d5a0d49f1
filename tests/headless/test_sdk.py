"""The public import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.api import Engine
from engine.config import load_settings
from engine.errors import InitFileError, WorkdirNotFound
from engine.state.workdir import Workdir
from lagotui import sdk
from tests.headless.terminal_user import Lago


@pytest.mark.parametrize("name", sdk.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(sdk, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothere"):
        sdk.nothere  # noqa: B018


def test_importing_it_loads_no_engine() -> None:
    code = "import sys, lagotui.sdk; sys.exit(any(name.startswith('engine') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


@pytest.fixture
def env(made: Lago) -> sdk.SDK:
    return sdk.SDK(made.open_engine(load_settings()), Workdir.find(Path()).prefix())


def test_machines_and_nets_are_objects(env: sdk.SDK) -> None:
    with env:
        vm = env.get_vms()["vm0"]
        assert (vm.name(), vm.ip(), vm.nets()) == ("vm0", "192.168.210.2", ["lan"])
        net = env.get_nets()["lan"]
        assert (net.name(), net.gw(), net.is_management()) == ("lan", "192.168.210.1", True)
        assert net.mapping()["vm0"] == "192.168.210.2"


def test_start_and_stop(env: sdk.SDK) -> None:
    with env:
        env.start(["vm0"])
        assert {name: vm.running() for name, vm in env.get_vms().items()} == {"vm0": True, "web-vm1": False}
        assert env.get_nets()["lan"].alive()
        env.get_vms()["vm0"].stop()
        assert env.get_vms()["vm0"].state() == "down"


def test_destroy_takes_the_whole_workdir(env: sdk.SDK) -> None:
    with env:
        env.destroy()
    assert not Path(".lago").exists()


def test_load_env_finds_the_environment(made: Lago) -> None:
    with sdk.load_env(".lago") as env:
        assert isinstance(env.engine, Engine)
        assert env.prefix.name == "default"


def test_load_env_without_a_workdir_says_so(lago: Lago) -> None:
    with pytest.raises(WorkdirNotFound):
        sdk.load_env()


def test_init_of_a_missing_file_leaves_nothing(lago: Lago) -> None:
    with pytest.raises(InitFileError):
        sdk.init("nothere.yaml")
    assert not Path(".lago").exists()


def test_a_command_that_failed_is_true() -> None:
    assert sdk.CommandStatus(1, b"", b"")
    assert not sdk.CommandStatus(0, b"", b"")
