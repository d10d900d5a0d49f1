"""Everything that can go wrong, as one tree; the exit code and the next step live on the class.

EngineError                     exit 2: the user can do something about it
├── InitFileError               the init file is wrong; carries Diagnostics with file:line:column
├── ConfigError                 a setting has a value that cannot be used
├── WorkdirError                no such workdir, prefix or machine; or one that is damaged
│   ├── WorkdirNotFound
│   ├── PrefixNotFound
│   ├── PrefixExists
│   ├── PrefixDamaged
│   ├── PrefixBusy              another run holds the prefix
│   └── UnknownMachine
├── ChangeRefused               a changed init file would lose something that the user has not agreed to lose
├── MachineStateError           the machine is not in the state that the verb needs
├── SnapshotError               a snapshot that is missing, or a name that is taken
├── LeaseError                  no subnet to be had
│   ├── SubnetTaken
│   ├── SubnetOutOfRange
│   ├── SubnetsExhausted
│   └── LeaseLockTimeout
├── TemplateError               a template that cannot be found, trusted or made
│   ├── TemplateMissing
│   ├── HashMismatch
│   └── TemplateBuildFailed
├── HostError                   the machine's host: closed, gone, or unable
│   ├── HostUnreachable
│   ├── WorldUnavailable        a private world cannot be made here
│   └── HostRefused             the host said no to one operation
├── GuestError                  the guest is there but does not serve
│   ├── SshTimeout
│   ├── NotReady                what the init file's `ready` asks for did not come in time
│   ├── SshRefused
│   ├── HostKeyChanged
│   ├── CopyFailed              files that could not be copied to or from a machine
│   │   └── PathNotFound        what should be copied is not there
│   ├── DeployFailed            a deploy script ended with an error
│   └── ServiceFailed           a service of a machine is not there, or did not do as told
├── CommandFailed               an external command exited non-zero
├── GuestfsError                a disk image could not be looked into or changed from outside
│   ├── GuestfsMissing          libguestfs, or a kernel for it, is not there
│   └── BuildFailed             a build command of the init file failed
├── DiskFull
├── RecoveryFailed              what a dead run left could not be put right
└── Cancelled                   exit 130: the user asked to stop
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class EngineError(Exception):
    """An error with a message for the person at the terminal, and what to do next."""

    exit_code: ClassVar[int] = 2
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        """One sentence: names the thing, the place and the cause."""
        self.hint = self.default_hint if hint is None else hint
        """The next step, ready to be typed where there is a command for it; "" when there is none."""

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InitFileError(EngineError):
    """The init file cannot be used; the message holds every error, one a line."""

    def __init__(self, message: str, *, hint: str | None = None, diagnostics: Sequence[object] = ()) -> None:
        super().__init__(message, hint=hint)
        self.diagnostics = tuple(diagnostics)
        """Of `engine.initfile.diagnostics`, in the order of the file: errors, warnings and infos."""


class ConfigError(EngineError):
    """A setting has a value that cannot be used."""


class WorkdirError(EngineError):
    """A workdir, prefix or machine that cannot be found or read."""


class WorkdirNotFound(WorkdirError):
    default_hint = "make one with: lagotui --run init"


class PrefixNotFound(WorkdirError):
    default_hint = "see them with: lagotui --run list"


class PrefixExists(WorkdirError):
    default_hint = "choose another with --prefix-name"


class PrefixDamaged(WorkdirError):
    default_hint = "remove what is left of it with: lagotui --run destroy"


class PrefixBusy(WorkdirError):
    default_hint = "wait for the other run, or end it with Ctrl-C in its terminal"


class UnknownMachine(WorkdirError):
    """A machine name that the environment does not have."""


class ChangeRefused(EngineError):
    """A changed init file would lose something, and the user has not agreed to that; nothing was changed."""


class MachineStateError(EngineError):
    """The machine is not in the state that the verb needs."""


class SnapshotError(EngineError):
    """A snapshot that is missing, or a name that is taken."""


class LeaseError(EngineError):
    """No subnet to be had."""


class SubnetTaken(LeaseError):
    default_hint = "choose another gw, or leave gw out and one is chosen for you"


class SubnetOutOfRange(LeaseError):
    default_hint = "choose gw from 192.168.200.1 to 192.168.254.254, or leave it out"


class SubnetsExhausted(LeaseError):
    default_hint = "destroy environments that are no longer needed: lagotui --run destroy"


class LeaseLockTimeout(LeaseError):
    default_hint = "another run holds the lease store; try again in a moment"


class TemplateError(EngineError):
    """A template that cannot be found, trusted or made."""


class TemplateMissing(TemplateError):
    default_hint = "see what there is with: lagotui --run template list"


class HashMismatch(TemplateError):
    default_hint = "the image or its .hash is damaged at the source; nothing was kept"


class TemplateBuildFailed(TemplateError):
    """A template builder stopped."""


class HostError(EngineError):
    """The host of the machines is closed, gone or unable."""


class HostUnreachable(HostError):
    """No connection to the host."""


class WorldUnavailable(HostError):
    """A private world cannot be made on this machine."""


class HostRefused(HostError):
    """The host said no to one operation; the message carries its words."""


class GuestError(EngineError):
    """The guest is there but does not serve."""


class SshTimeout(GuestError):
    """ssh did not answer in time; the message says what is known of the machine."""


class NotReady(GuestError):
    """What `ready` of a machine asks for did not hold in time; the message says what is known."""


class SshRefused(GuestError):
    """ssh answered, but let nobody in."""


class HostKeyChanged(GuestError):
    """The machine shows another host key than the one we gave it."""


class CopyFailed(GuestError):
    """Files could not be copied to or from a machine; the message names them."""


class PathNotFound(CopyFailed):
    """What should be copied, or the folder that it should go to, is not there."""


class DeployFailed(GuestError):
    """A deploy script ended with an error; the message names machine and script and has its last lines."""


class ServiceFailed(GuestError):
    """A service of a machine is not there, or did not do as it was told."""


class CommandFailed(EngineError):
    """An external command exited non-zero."""

    def __init__(self, argv: list[str], returncode: int, stderr: str, *, hint: str | None = None) -> None:
        tail = stderr.strip().splitlines()[-1] if stderr.strip() else "it said nothing"
        super().__init__(f"'{argv[0]}' failed with exit code {returncode}: {tail}", hint=hint)
        self.argv = argv
        self.returncode = returncode
        self.stderr = stderr


class GuestfsError(EngineError):
    """A disk image could not be looked into or changed from outside."""

    def __init__(self, message: str, *, hint: str | None = None, stderr: str = "") -> None:
        super().__init__(message, hint=hint)
        self.stderr = stderr
        """All that libguestfs said."""


class GuestfsMissing(GuestfsError):
    """libguestfs, or a kernel for its appliance, is not there."""


class BuildFailed(GuestfsError):
    """A build command of the init file failed."""


class DiskFull(EngineError):
    default_hint = "free some space (prune templates, destroy environments) and run the same command again"


class RecoveryFailed(EngineError):
    """What a dead run left could not be put right."""


class Cancelled(EngineError):
    """The user asked to stop."""

    exit_code = 130

    def __init__(self, message: str = "cancelled", *, hint: str | None = None, taken_back: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.taken_back = taken_back
        """Whether something had been done, and has been taken back."""
