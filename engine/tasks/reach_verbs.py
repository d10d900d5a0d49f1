"""The ways to machines that other programs are told: ssh, scp, rsync, Ansible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import MachineStateError
from .preparing import Kit

if TYPE_CHECKING:
    from ..config import Settings
    from ..guest.forward import Forward
    from ..guest.shell import SshTarget
    from ..spec import MachineSpec
    from ..state.prefix import Prefix


@dataclass(frozen=True, slots=True)
class SshWay:
    """How one machine is reached by OpenSSH."""

    machine: MachineSpec
    target: SshTarget
    proxy_command: tuple[str, ...]
    """With OpenSSH's `%h` and `%p` in it; () when none is needed."""

    def options(self) -> list[tuple[str, str]]:
        """Return the options of an ssh_config, but for the address."""
        from ..guest.shell import ssh_options

        return ssh_options(self.target, self.proxy_command)


class ReachVerbs:
    """Ways into machines. But for `forward` they connect to nothing: they also work for machines that are down, and start no host."""

    settings: Settings
    kit: Kit

    def ssh_ways(self, env: Prefix, machines: Sequence[str] = ()) -> dict[str, SshWay]:
        """Return how machines are reached: of all of them, when none is named, those that have an address.

        Raises:
            UnknownMachine: the environment has no machine of that name.
            MachineStateError: a named machine has no address.
        """
        from .targets import ssh_target

        chosen = [env.machine(name) for name in machines] if machines else [m for m in env.load_env().machines.values() if m.ip]
        return {
            machine.name: SshWay(machine, ssh_target(env, machine, self.settings), self.kit.dialer(env, machine).proxy_command())
            for machine in chosen
        }

    def forward(
        self,
        env: Prefix,
        machine: str,
        port: int,
        *,
        bind: str = "127.0.0.1",
        local_port: int = 0,
        tell: Callable[[str], None] = lambda trouble: None,
    ) -> Forward:
        """Open a port of this machine that leads to a port of a machine; close it, or use it in a `with`.

        Args:
            env: the environment.
            machine: of it.
            port: of the machine.
            bind: address of this machine's to listen on.
            local_port: to listen on; 0: a free one is chosen.
            tell: hears why a connection could not be made.

        Raises:
            UnknownMachine: the environment has no machine of that name.
            MachineStateError: it does not run, or has no address.
            EngineError: the port cannot be had.
        """
        from ..guest.forward import Forward
        from .targets import ssh_target

        spec = env.machine(machine)
        address = ssh_target(env, spec, self.settings).address
        status = self.kit.state(env, (machine,)).machines[machine].status
        if not status.is_up:
            raise MachineStateError(f"machine '{machine}' is {status.phrase}", hint=f"lagotui --run start {machine}")
        return Forward(self.kit.dialer(env, spec), address, port, bind=bind, local_port=local_port, tell=tell)

    def ssh_config(self, env: Prefix, machines: Sequence[str] = ()) -> str:
        """Return the text of an ssh_config with which ssh, scp and rsync find the machines by name, host keys checked.

        Raises: as `ssh_ways`.
        """
        from ..guest.shell import ssh_config_block

        ways = self.ssh_ways(env, machines)
        return "\n".join(ssh_config_block(way.target, way.proxy_command) for way in ways.values())
