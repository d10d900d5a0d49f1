"""One machine of an environment, as an object; and how a command in it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from engine.api import Forward
    from engine.spec import MachineSpec

    from ..plugins.service import ServicePlugin
    from .environment import SDK
    from .net import Net


class Text(str):
    """Output of a command. `decode` returns the text itself, for scripts that expect bytes."""

    __slots__ = ()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> Text:
        return self


class CommandStatus(NamedTuple):
    """How a command ended; true when it failed, as shells count. Scripts take it apart: `code, out, err = vm.ssh(…)`."""

    code: int
    out: Text
    err: Text

    def __bool__(self) -> bool:
        return self.code != 0


class VM:
    """One machine; what it says is read anew each time."""

    def __init__(self, env: SDK, name: str) -> None:
        self._env = env
        self._name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r})"

    # --- what it is ------------------------------------------------------------------------------------------------

    @property
    def machine_spec(self) -> MachineSpec:
        """What it is made of, typed."""
        return self._env.prefix.machine(self._name)

    @property
    def spec(self) -> dict[str, Any]:
        """The same as its file has it; a copy."""
        return deepcopy(self.machine_spec.to_json())

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.machine_spec.metadata

    @property
    def groups(self) -> list[str]:
        return list(self.machine_spec.groups)

    @property
    def disks(self) -> list[dict[str, Any]]:
        disks: list[dict[str, Any]] = self.spec["disks"]
        return disks

    @property
    def mgmt_net(self) -> Net | None:
        """Its management net; None when it has none."""
        return self._env.get_nets().get(self.mgmt_name)

    @property
    def mgmt_name(self) -> str:
        """The name of that; "" when it has none."""
        return self.machine_spec.mgmt_net

    @property
    def vm_type(self) -> str:
        return self.machine_spec.vm_type

    @property
    def cpu_model(self) -> str:
        """The model that the init file names, else the host's; "" when nobody can tell."""
        return self.machine_spec.cpu_model or self._env.host_cpu().model

    @property
    def cpu_vendor(self) -> str:
        """`Intel`, `AMD` …, of the host; "" when nobody can tell."""
        return self._env.host_cpu().vendor

    def name(self) -> str:
        return self._name

    def ip(self) -> str | None:
        """Return the address on the management net; None when it has none."""
        return self.machine_spec.ip

    def all_ips(self) -> list[str]:
        return [nic.ip for nic in self.machine_spec.nics if nic.ip]

    def ips_in_net(self, net: str) -> list[str]:
        return [nic.ip for nic in self.machine_spec.nics if nic.net == net and nic.ip]

    def nets(self) -> list[str]:
        return [nic.net for nic in self.machine_spec.nics]

    def nics(self) -> list[dict[str, Any]]:
        return [nic.to_json() for nic in self.machine_spec.nics]

    def distro(self) -> str | None:
        """Return its distribution, e.g. `debian`; None when nobody said."""
        return self.machine_spec.distro or next((disk.metadata.get("distro") for disk in self.machine_spec.disks[:1]), None)

    def root_password(self) -> str | None:
        return self.machine_spec.root_password or self.machine_spec.ssh_password

    def iscsi_name(self) -> str:
        return f"iqn.2014-07.org.lago:{self._name}"

    # --- running ---------------------------------------------------------------------------------------------------

    def state(self) -> str:
        """Return its state in the predecessor's words."""
        return self._env.state().machines[self._name].status.value

    def running(self) -> bool:
        return self.state() == "running"

    def start(self) -> None:
        self._env.start([self._name])

    def stop(self) -> None:
        self._env.stop([self._name])

    def shutdown(self) -> None:
        self._env.shutdown([self._name])

    def reboot(self) -> None:
        self._env.shutdown([self._name], reboot=True)

    def create_snapshot(self, name: str, *, memory: bool = False) -> None:
        self._env.snapshot(name, [self._name], memory=memory)

    def revert_snapshot(self, name: str) -> None:
        self._env.revert(name, [self._name])

    # --- in the machine ----------------------------------------------------------------------------------------------

    def wait_for_ssh(self) -> None:
        """Wait until ssh answers.

        Raises:
            SshTimeout: it did not; the error says what is known of the machine.
        """
        self._env.engine.wait_ssh(self._env.prefix, self._name).result()

    def ssh_reachable(self, tries: int | None = None, propagate_fail: bool = True) -> bool:
        """Whether ssh lets us in.

        Args:
            tries: a second apart.
            propagate_fail: taken for the sake of old scripts; nothing is raised in any case.
        """
        return self._env.engine.ssh_reachable(self._env.prefix, self._name, tries or 1).result()

    def ssh(self, command: Sequence[str] | str, data: bytes | str | None = None, **_old: object) -> CommandStatus:
        """Run a command.

        Args:
            command: its words, joined by spaces as a shell in the machine reads them.
            data: the command's stdin.
            _old: `show_output`, `propagate_fail`, `tries` of old scripts.

        Raises:
            GuestError: ssh does not answer, or lets nobody in.
        """
        words = [command] if isinstance(command, str) else list(command)
        given = data.encode() if isinstance(data, str) else data or b""
        return _status(self._env.engine.run_command(self._env.prefix, self._name, words, given).result())

    def ssh_script(self, path: str | Path, show_output: bool = True) -> CommandStatus:
        """Let the machine's bash read a script of this machine. Raises: as `ssh`."""
        return _status(self._env.engine.run_script(self._env.prefix, self._name, Path(path)).result())

    def interactive_ssh(self, command: Sequence[str] | None = None) -> CommandStatus:
        """Give this process's terminal to a shell, or a command, in the machine, until it ends."""
        import subprocess

        argv = self._env.engine.ssh_command(self._env.prefix, self._name, command or (), tty=True)
        return CommandStatus(subprocess.run(argv, check=False).returncode, Text(), Text())

    def interactive_console(self) -> CommandStatus:
        """Give this process's terminal to the machine's serial console, until Ctrl-]."""
        import sys

        from ..verbs.console import bridge

        with self._env.engine.console(self._env.prefix, self._name) as stream:
            bridge(stream, sys.stdin.fileno(), sys.stdout.fileno())
        return CommandStatus(0, Text(), Text())

    def copy_to(self, local_path: str | Path, remote_path: str, recursive: bool = True) -> None:
        """Copy a file or a folder into the machine.

        Raises:
            PathNotFound: there is no such file.
            CopyFailed: it cannot be copied.
        """
        self._env.engine.copy_to(self._env.prefix, self._name, Path(local_path), remote_path).result()

    def copy_from(self, remote_path: str, local_path: str | Path, recursive: bool = True, propagate_fail: bool = True) -> None:
        """Copy a file or a folder out of the machine. Raises: as `copy_to`."""
        self._env.engine.copy_from(self._env.prefix, self._name, remote_path, Path(local_path)).result()

    def extract_paths(self, paths: Sequence[tuple[str, str]], ignore_nopath: bool = False) -> None:
        """Copy several things out of the machine, whether it runs or not.

        Args:
            paths: (there, here), each.
            ignore_nopath: leave out what is not there.

        Raises:
            PathNotFound: something is not there.
        """
        found = {remote: Path(local).absolute() for remote, local in paths}
        self._env.engine.extract(self._env.prefix, self._name, found, skip_missing=ignore_nopath).result()

    extract_paths_dead = extract_paths
    """The same: of a machine that is down, the disk is read."""

    def collect_artifacts(self, host_path: str | Path, ignore_nopath: bool = True) -> None:
        """Fetch what the init file lists as `artifacts` of the machine into a folder, `_` for `/` in their names."""
        folder = Path(host_path).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        paths = [path for path in self.machine_spec.extra.get("artifacts") or () if path.strip("/.")]
        self.extract_paths([(path, str(folder / path.replace("/", "_"))) for path in paths], ignore_nopath)

    def export_disks(
        self, standalone: bool = True, dst_dir: str | Path = ".", compress: bool = False, collect_only: bool = False
    ) -> list[str]:
        """Write the machine's disks, with an init file, into a folder; return the paths of the images. See `SDK.export_vms`."""
        exported = self._env.export_vms([self._name], standalone, dst_dir, compress, collect_only=collect_only)
        return [str(path) for path in exported[self._name]]

    def forward(self, port: int, *, bind: str = "127.0.0.1", local_port: int = 0) -> Forward:
        """Open a port of this machine that leads to one of the machine, for the length of a `with`; its `port` is the one to use."""
        return self._env.engine.forward(self._env.prefix, self._name, port, bind=bind, local_port=local_port)

    def save(self, path: object = None) -> None:
        """Do nothing: what a machine is made of is saved with every change. For old scripts."""

    def service(self, name: str) -> Service | ServicePlugin:
        """Return a service; managed by a plugin, where the init file names one as `service_provider`."""
        from .types import OWN_SERVICES, service_of

        provider = self.machine_spec.extra.get("service_provider")
        if provider is None or provider in OWN_SERVICES:
            return Service(self._env, self._name, name)
        return service_of(self, str(provider), name)

    def guest_agent(self) -> Service | ServicePlugin:
        """Return the service of the machine's guest agent.

        Raises:
            ServiceFailed: it has none.
        """
        from engine.errors import ServiceFailed

        name = self._env.engine.guest_agent(self._env.prefix, self._name).result()
        if not name:
            raise ServiceFailed(f"'{self._name}' has no guest agent")
        return self.service(name)

    def has_guest_agent(self) -> bool:
        return bool(self._env.engine.guest_agent(self._env.prefix, self._name).result())


class Service:
    """A service of a machine."""

    def __init__(self, env: SDK, machine: str, name: str) -> None:
        self._env = env
        self._machine = machine
        self._name = name

    def state(self) -> Any:
        """Return a `ServiceState`: MISSING (0), INACTIVE (1) or ACTIVE (2)."""
        return self._env.engine.service_state(self._env.prefix, self._machine, self._name).result()

    def exists(self) -> bool:
        return bool(self.state() != 0)

    def alive(self) -> bool:
        return bool(self.state() == 2)

    def start(self) -> None:
        """Start it, unless it runs.

        Raises:
            ServiceFailed: it is not there, or does not start.
        """
        self._env.engine.service_start(self._env.prefix, self._machine, self._name).result()

    def stop(self) -> None:
        """Stop it, unless it does not run. Raises: as `start`."""
        self._env.engine.service_stop(self._env.prefix, self._machine, self._name).result()


def _status(done: Any) -> CommandStatus:
    return CommandStatus(done.code, Text(done.out.decode(errors="replace")), Text(done.err.decode(errors="replace")))
