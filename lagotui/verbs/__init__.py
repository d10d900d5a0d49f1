"""The verbs of the headless door: what there is, in which module, and how each is introduced."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .session import Session


@dataclass(frozen=True, slots=True)
class Command:
    """How one verb is done."""

    run: Callable[[Session, Namespace], int]
    """Returns the exit code."""
    add_arguments: Callable[[ArgumentParser], None] | None
    """None: its words are taken as they are, in `words`."""


@dataclass(frozen=True, slots=True)
class Verb:
    """How one verb is introduced, and the module of this package whose `COMMANDS` holds it."""

    module: str
    summary: str
    example: str


VERBS: Mapping[str, Verb] = {
    "init": Verb("lifecycle", "make an environment from an init file", "init LagoInitFile"),
    "up": Verb("lifecycle", "make the environment if needed, start it, wait until ssh answers", "up sample_initfiles/hello.yaml"),
    "plan": Verb("planning", "show what up would do, without doing it", "plan sample_initfiles/hello.yaml"),
    "generate-init": Verb("planning", "write the init file of an environment that is there", "generate-init 'domains/*/metadata'"),
    "leases": Verb("planning", "list subnets and the environments that hold them", "leases"),
    "start": Verb("lifecycle", "start machines and their networks", "start alice"),
    "stop": Verb("lifecycle", "stop machines at once, and the networks nobody uses any more", "stop alice bob"),
    "shutdown": Verb("lifecycle", "ask machines to shut themselves down, or to restart", "shutdown -r alice"),
    "status": Verb("looking", "show the environment: networks, machines, addresses, states", "-f json status"),
    "list": Verb("looking", "list the environments of a workdir", "list"),
    "logs": Verb("logs", "show what was done, or what a machine printed on its serial console", "logs alice -f"),
    "set-current": Verb("looking", "choose the environment that verbs work on", "set-current other"),
    "shell": Verb("reaching", "run a command in a machine by ssh, or a shell", "shell alice -- ls -l /"),
    "console": Verb("reaching", "open the serial console of a machine; Ctrl-] leaves it", "console alice"),
    "enter": Verb("reaching", "run a command, or a shell, in the network of the machines", "enter -- ping -c 1 192.168.200.2"),
    "ssh-config": Verb("sshing", "print what lets ssh, scp and rsync find the machines by name", "ssh-config --output ssh.conf"),
    "forward": Verb("forwarding", "open ports of this computer that lead to ports of machines, until Ctrl-C", "forward vm0 8080:80"),
    "ansible_hosts": Verb("ansible", "print an Ansible inventory, or answer Ansible as a program", "ansible_hosts --keys groups distro"),
    "copy-to-vm": Verb("guest", "copy a file or a folder into a machine", "copy-to-vm alice site.conf /etc/"),
    "copy-from-vm": Verb("guest", "copy a file or a folder out of a machine", "copy-from-vm alice /var/log logs"),
    "collect": Verb("guest", "fetch the artifacts of every machine, also of those that are down", "collect --output artifacts"),
    "deploy": Verb("guest", "run the deploy scripts of machines", "deploy alice"),
    "service": Verb("guest", "show, start or stop a service of a machine", "service alice sshd start"),
    "snapshot": Verb("snapshots", "take, list or delete snapshots of machines", "snapshot --memory before-upgrade"),
    "revert": Verb("snapshots", "put machines back to a snapshot", "revert before-upgrade"),
    "export": Verb("exporting", "write disks and an init file into a folder for others to make it from", "export -s -d /tmp/mine"),
    "destroy": Verb("removal", "remove an environment and everything in it", "destroy -y"),
    "cleanup": Verb("removal", "stop everything, and keep the files of an environment without it being one", "cleanup"),
    "recover": Verb("removal", "finish or undo what a killed run left half done", "recover"),
    "check": Verb("checking", "say what is wrong with an init file, with line and column", "check LagoInitFile"),
    "schema": Verb("checking", "print the JSON Schema of the init file, for editors", "schema"),
    "generate-config": Verb("config", "print the settings as a configuration file", "generate-config --verbose"),
    "completions": Verb("completion", "print the completions of a shell", "completions bash"),
    "template": Verb("templates", "list, fetch, import, publish, prune or build templates", "template pull debian-13"),
}


def command(verb: str) -> Command:
    """Load the verb's module; return how it is done."""
    commands: Mapping[str, Command] = import_module(f".{VERBS[verb].module}", __name__).COMMANDS
    return commands[verb]
