"""The public import."""

from __future__ import annotations

import asyncio
import io
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from engine.api import Engine
from engine.config import load_settings
from engine.errors import InitFileError, WorkdirNotFound
from engine.events import TaskFinished, TaskLog, TaskStarted
from engine.providers.fake import FakeProvider
from engine.providers.hosts import OneHost
from engine.state.workdir import Workdir
from lagotui import sdk
from lagotui.sdk import old_names
from lagotui.sdk.machine import Text
from tests.headless.terminal_user import INIT_FILE, Lago


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


def test_specs_are_dicts_as_their_files_have_them_and_copies(env: sdk.SDK) -> None:
    with env:
        vm = env.get_vms()["vm0"]
        assert vm.spec["memory"] == 64
        assert vm.disks[0]["dev"] == "vda"
        assert (vm.mgmt_name, vm.mgmt_net and vm.mgmt_net.gw(), vm.groups) == ("lan", "192.168.210.1", [])
        assert env.get_nets()["lan"].spec["gw"] == "192.168.210.1"
        vm.spec["nics"].clear()
        vm.disks.clear()
        assert (len(vm.spec["nics"]), len(vm.disks)) == (1, 1)


def test_nets_start_and_stop_alone(env: sdk.SDK) -> None:
    with env:
        net = env.get_nets()["lan"]
        net.start()
        assert net.alive()
        env.start(["vm0"])
        with pytest.raises(sdk.LagoException, match="running machines use lan: vm0"):
            net.stop()
        env.get_vms()["vm0"].stop()
        net.stop()
        assert not net.alive()


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


def test_options_that_mean_nothing_are_warned_of(lago: Lago) -> None:
    with pytest.warns(UserWarning, match="there is no option 'skip_boostrap'; did you mean 'skip_bootstrap'"), pytest.raises(InitFileError):
        sdk.init("nothere.yaml", skip_boostrap=True)


@pytest.mark.filterwarnings("error")
def test_a_repository_may_be_named_as_for_the_verb(lago: Lago) -> None:
    Path("LagoInitFile").write_text(INIT_FILE)
    with pytest.raises(sdk.LagoException, match="nowhere"):
        sdk.init("LagoInitFile", template_repo_name="nowhere")


def test_a_command_that_failed_is_true() -> None:
    assert sdk.CommandStatus(1, Text(), Text())
    assert not sdk.CommandStatus(0, Text(), Text())


def test_how_a_command_ended_can_be_taken_apart() -> None:
    code, out, err = sdk.CommandStatus(1, Text("out"), Text("err"))
    assert (code, out, err) == (1, "out", "err")


def test_output_is_text_and_bytes_to_old_scripts() -> None:
    out = Text("vm0\n")
    assert out.decode("utf-8").strip() == out.decode().strip() == out.strip() == "vm0"


@pytest.mark.parametrize("name", old_names.__all__)
def test_exceptions_have_their_old_names(name: str) -> None:
    assert issubclass(getattr(sdk, name), sdk.LagoException)


def test_an_old_script_catches_what_it_used_to(env: sdk.SDK) -> None:
    with env, pytest.raises(sdk.LagoException, match="no machine 'nothere'"):
        env.start(["nothere"])


@pytest.mark.parametrize("how", ["mapping", "stream", "path"])
def test_init_takes_what_an_init_file_holds(lago: Lago, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.api.RealHosts", lambda settings: OneHost(FakeProvider(lago.host)))
    Path("mine.yaml").write_text(INIT_FILE)
    config = {"mapping": yaml.safe_load(INIT_FILE), "stream": io.StringIO(INIT_FILE), "path": "mine.yaml"}[how]
    with sdk.init(config, "work", skip_bootstrap=True) as env:
        assert list(env.get_vms()) == ["vm0", "web-vm1"]
        assert env.get_paths().ssh_id_rsa() == str(Path("work/default/id_rsa").absolute())


def test_several_environments_in_one_process(lago: Lago, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.api.RealHosts", lambda settings: OneHost(FakeProvider(lago.host)))
    data = yaml.safe_load(INIT_FILE)
    del data["nets"]["lan"]["gw"]
    with sdk.init(data, "one") as one, sdk.init(data, "two") as two:
        one.start()
        assert [vm.state() for env in (one, two) for vm in env.get_vms().values()] == ["running", "running", "down", "down"]
        assert one.get_vms()["vm0"].ip() != two.get_vms()["vm0"].ip()


def test_snapshots_are_taken_listed_and_gone_back_to(env: sdk.SDK) -> None:
    with env:
        env.snapshot("clean", ["vm0"])
        assert {name: [info.name for info in infos] for name, infos in env.snapshots().items()} == {"vm0": ["clean"], "web-vm1": []}
        env.revert("clean", ["vm0"])
        env.delete_snapshot("clean", ["vm0"])
        assert env.snapshots()["vm0"] == ()


def test_the_inventory_is_a_file_for_the_length_of_a_block(env: sdk.SDK) -> None:
    with env:
        with env.ansible_inventory_temp_file(["vm-type"]) as file:
            assert Path(file.name).read_text() == env.ansible_inventory(["vm-type"])
            assert "[vm-type=default]" in file.read() or "[vm-type=default]" in Path(file.name).read_text()
        assert not Path(file.name).exists()


def test_events_tell_what_happens(env: sdk.SDK) -> None:
    with env:
        coming = env.events()
        env.start(["vm0"])
        started = next(event for event in coming if isinstance(event, TaskStarted) and event.name == "Starting VM vm0")
        assert started.name == "Starting VM vm0"


def test_the_same_for_asyncio(env: sdk.SDK) -> None:
    async def script() -> str:
        await env.aio.start(["vm0"])
        state = await env.aio.state()
        await env.aio.stop()
        return state.machines["vm0"].status.value

    with env:
        assert asyncio.run(script()) == "running"


def test_a_task_of_a_script_is_in_the_tree(env: sdk.SDK) -> None:
    reader = env.engine.bus.subscribe()
    with env:
        with sdk.LogTask("outer"), sdk.LogTask("inner"):
            logging.getLogger("mine").warning("hidden")
            logging.getLogger("mine").warning(sdk.log_always("shown"))
        events = reader.take(1)
    tree = [event.name for event in events if isinstance(event, TaskStarted)]
    logs = {event.message: event.aloud for event in events if isinstance(event, TaskLog)}
    assert tree == ["outer", "inner"]
    assert logs == {"hidden": False, "shown": True}


def test_a_failed_task_is_marked_unless_it_may_fail(env: sdk.SDK) -> None:
    reader = env.engine.bus.subscribe()

    @sdk.log_task("bad")
    def bad() -> None:
        raise ValueError("no")

    with env:
        with pytest.raises(ValueError, match="no"):
            bad()
        with pytest.raises(ValueError, match="no"), sdk.LogTask("forgiven", propagate_fail=False):
            raise ValueError("no")
        sdk.start_log_task("begun")
        sdk.end_log_task("begun")
        outcomes = [event.outcome.value for event in reader.take(1) if isinstance(event, TaskFinished)]
    assert outcomes == ["failed", "ok", "ok"]


def test_what_is_done_goes_to_a_log_file(made: Lago, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.api.RealHosts", lambda settings: OneHost(FakeProvider(made.host)))
    log = tmp_path / "mine.log"
    with sdk.load_env(".lago", logfile=log) as env:
        env.start()
    text = log.read_text()
    assert "::INFO::start task: Starting VM vm0" in text
    assert "::INFO::end task: Start Prefix: ok in" in text
