"""Verbs that work in machines: the machines are in memory, but for their ssh server, which is a real one on this machine."""

from __future__ import annotations

import getpass
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.api import Engine
from engine.config import Settings
from engine.errors import DeployFailed, GuestError, MachineStateError, PathNotFound, SshTimeout, UnknownMachine
from engine.events import TaskLog
from engine.guest.hostkeys import remember_host_key
from engine.providers.fake import FakeHost, FakeProvider
from engine.providers.hosts import OneHost
from engine.spec import ServiceState
from engine.state.prefix import Prefix
from tests.engine.bench import Bench
from tests.engine.guest.conftest import Sshd, make_sshd  # noqa: F401 - a fixture

INIT = """
domains:
  vm0: &vm
    memory: 64
    ssh-user: {user}
    ssh-password: geheim9
    disks: [{{name: root, type: empty, dev: vda, size: 1M, format: qcow2}}]
    nics: [{{net: lan}}]
    artifacts: [{folder}/artifact, {folder}/missing]
    metadata: {{deploy-scripts: [{folder}/first, {folder}/second, {folder}/third]}}
  vm1: *vm
  plain: {{memory: 64, disks: [], nics: [{{net: lan}}]}}
nets:
  lan: {{type: nat, management: true, gw: 192.168.211.1}}
"""


@dataclass
class LocalDialer:
    port: int
    closed: bool = False

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        if self.closed:
            raise ConnectionRefusedError(111, "Connection refused")
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def proxy_command(self) -> tuple[str, ...]:
        return ()


class LocalProvider(FakeProvider):
    """A host in memory whose machines all have this machine's ssh server."""

    def __init__(self, host: FakeHost, port: int) -> None:
        super().__init__(host)
        self.way = LocalDialer(port)

    def dialer(self) -> LocalDialer:  # type: ignore[override]
        return self.way


@dataclass
class Lab:
    engine: Engine
    env: Prefix
    folder: Path
    host: FakeHost
    dialer: LocalDialer

    def stop(self, *machines: str) -> None:
        self.engine.stop(self.env, machines).result(30)


@pytest.fixture
def lab(bench: Bench, make_sshd: Callable[[], Sshd], tmp_path: Path) -> Iterator[Lab]:  # noqa: F811
    """An environment whose two machines run, with scripts to deploy and files to collect."""
    folder = tmp_path / "guest"
    (folder / "artifact").mkdir(parents=True)
    (folder / "artifact" / "log").write_text("said\n")
    for name in ("first", "second", "third"):
        (folder / name).write_text(f"echo {name} >> {folder}/ran\n")
    server = make_sshd()
    with server.running(sftp=True):
        provider = LocalProvider(bench.host, server.port)
        settings = Settings(
            template_repo_path=bench.engine.settings.template_repo_path,
            template_store=bench.folder / "store",
            lease_dir=bench.folder / "subnets",
            ssh_tries=1,
        )
        engine = Engine(settings, hosts=OneHost(provider), wait_ready=lambda ctx, scope, machine: None)
        request = bench.request(INIT.format(folder=folder, user=getpass.getuser()))
        engine.up(request).result(60)
        env = Prefix.at(request.prefix)
        (server.folder / "authorized_keys").write_text(env.public_key.read_text())
        known = (server.folder / "known_hosts").read_text().split(maxsplit=1)[1].splitlines()[0]
        for name in ("vm0", "vm1"):
            remember_host_key(env.known_hosts, (name,), known)
        yield Lab(engine, env, folder, bench.host, provider.way)
        engine.close()


def test_deploy_runs_every_script_in_order_on_every_machine_that_has_some(lab: Lab) -> None:
    lab.engine.deploy(lab.env, ["vm0"]).result(60)
    assert (lab.folder / "ran").read_text() == "first\nsecond\nthird\n"
    lab.engine.deploy(lab.env).result(60)
    assert sorted((lab.folder / "ran").read_text().split()) == ["first"] * 3 + ["second"] * 3 + ["third"] * 3


def test_a_failing_script_is_told_with_its_last_lines_and_the_other_machine_goes_on(lab: Lab) -> None:
    scripts = lab.env.path / "scripts"
    second = next(scripts.glob("*second"))
    # the first of the two machines that comes here makes the folder, and goes on; for the other one the script fails
    second.write_text(f"mkdir {lab.folder}/taken || {{ echo no luck; echo why >&2; exit 7; }}\n")
    with pytest.raises(DeployFailed) as failure:
        lab.engine.deploy(lab.env).result(60)
    assert second.name in failure.value.message
    assert "exit code 7" in failure.value.message
    assert "    no luck" in failure.value.message
    ran = (lab.folder / "ran").read_text().split()
    assert sorted(ran) == ["first", "first", "third"]


def test_what_scripts_print_is_in_the_log_without_passwords(lab: Lab) -> None:
    next((lab.env.path / "scripts").glob("*first")).write_text("echo the word is geheim9; printf 'bell\\a\\n'\n")
    events = lab.engine.bus.subscribe()
    lab.engine.deploy(lab.env, ["vm0"]).result(60)
    said = [event.message for event in events.take() if isinstance(event, TaskLog)]
    assert "the word is ***" in said
    assert "bell" in said
    assert "geheim9" not in lab.env.log_file.read_text()


def test_deploy_to_a_machine_that_is_down_is_refused_at_once(lab: Lab) -> None:
    lab.stop("vm1")
    with pytest.raises(MachineStateError, match="not running: vm1"):
        lab.engine.deploy(lab.env).result(10)
    assert not (lab.folder / "ran").exists()


def test_artifacts_land_under_their_path_and_missing_ones_are_left_out(lab: Lab, tmp_path: Path) -> None:
    lab.engine.collect(lab.env, tmp_path / "out").result(60)
    name = f"{lab.folder}/artifact".replace("/", "_")
    for machine in ("vm0", "vm1"):
        assert [path.name for path in (tmp_path / "out" / machine).iterdir()] == [name]
        assert (tmp_path / "out" / machine / name / "log").read_text() == "said\n"
    assert list((tmp_path / "out" / "plain").iterdir()) == []


def test_collect_renames_what_is_there(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    lab.engine.collect(lab.env, tmp_path / "out").result(60)
    (old,) = tmp_path.glob("out.2*")
    assert (old / "mine").exists()
    assert not (tmp_path / "out" / "mine").exists()


def test_a_missing_artifact_is_an_error_when_asked_for(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(PathNotFound, match=r"there is no '.*/missing' in 'vm0'.*; there is no '.*/missing' in 'vm1'"):
        lab.engine.collect(lab.env, tmp_path / "out", skip_missing=False).result(60)
    assert len(list((tmp_path / "out").glob("vm?/*_artifact"))) == 2


def test_the_disk_of_a_machine_that_runs_and_does_not_answer_is_not_read(lab: Lab, tmp_path: Path) -> None:
    lab.dialer.closed = True
    with pytest.raises(MachineStateError, match="nobody can read the disk of a running machine"):
        lab.engine.collect(lab.env, tmp_path / "out").result(60)


def test_files_are_copied_to_and_from_a_machine(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    lab.engine.copy_to(lab.env, "vm0", tmp_path / "mine", str(lab.folder)).result(60)
    assert (lab.folder / "mine").read_text() == "mine"
    lab.engine.copy_from(lab.env, "vm0", f"{lab.folder}/artifact", tmp_path / "back").result(60)
    assert (tmp_path / "back" / "log").read_text() == "said\n"


def test_copying_wants_the_exact_name_of_a_machine_that_runs(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(UnknownMachine, match="no machine '0'"):
        lab.engine.copy_from(lab.env, "0", "/etc/hosts", tmp_path).result(10)
    lab.stop("vm0")
    with pytest.raises(MachineStateError, match="'vm0' is down"):
        lab.engine.copy_from(lab.env, "vm0", "/etc/hosts", tmp_path).result(10)


def test_a_machine_that_does_not_answer_is_told(lab: Lab) -> None:
    lab.dialer.closed = True
    with pytest.raises(SshTimeout, match=r"'vm0' at .* does not answer ssh: Connection refused \(1 tries\)"):
        lab.engine.run_command(lab.env, "vm0", ["true"]).result(30)
    assert lab.engine.ssh_reachable(lab.env, "vm0").result(30) is False
    assert lab.engine.speaks_ssh(lab.env, "vm0") is False


def test_commands_and_scripts_give_their_status(lab: Lab, tmp_path: Path) -> None:
    status = lab.engine.run_command(lab.env, "vm0", ["cat;", "exit", "3"], b"data").result(30)
    assert (status.code, status.out) == (3, b"data")
    (tmp_path / "script").write_text("echo $((6 * 7))")
    assert lab.engine.run_script(lab.env, "vm0", tmp_path / "script").result(30).out == b"42\n"
    assert lab.engine.ssh_reachable(lab.env, "vm0").result(30) is True
    assert lab.engine.speaks_ssh(lab.env, "vm0") is True


def test_a_machine_that_goes_down_ends_what_runs_in_it(lab: Lab) -> None:
    run = lab.engine.run_command(lab.env, "vm0", [f"touch {lab.folder}/begun; sleep 60"])
    goes = threading.Timer(0.2, lab.stop, ("vm0",))
    goes.start()
    with pytest.raises(MachineStateError, match="'vm0' is down"):
        run.result(30)
    goes.join()


def test_services_are_looked_at_by_what_the_spec_names(lab: Lab) -> None:
    machine = lab.env.machine("vm0")
    machine.extra["service_provider"] = "sysvinit"  # type: ignore[index]
    lab.env.save_machine(machine)
    assert lab.engine.service_state(lab.env, "vm0", "no-such-service").result(30) is ServiceState.MISSING
    with pytest.raises(GuestError, match="'vm0' has no service 'no-such-service'"):
        lab.engine.service_start(lab.env, "vm0", "no-such-service").result(30)
    with pytest.raises(GuestError, match="is no name of a service"):
        lab.engine.service_state(lab.env, "vm0", "-rf /").result(30)
