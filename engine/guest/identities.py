"""The keys that a machine is offered: that of the prefix, or those of the user. Import this module lazily: it brings paramiko."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

import paramiko

from ..errors import SshRefused
from .shell import OwnLogin, SshTarget

Identity = tuple[str, paramiko.PKey]
"""How it is called, and the key."""

DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
"""In ~/.ssh: what OpenSSH tries by itself, and we can read."""

_OPENSSH_MAGIC = b"openssh-key-v1\0"
_OPENSSH_HEAD, _OPENSSH_END = "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"


@contextmanager
def identities(target: SshTarget) -> Iterator[Iterator[Identity]]:
    """Give the keys for a machine, one after the other; the ssh agent is held while they are used.

    Raises:
        SshRefused: a key cannot be used; told when its turn comes.
    """
    if target.own is None:
        yield iter([(f"key '{target.key_file}'", _prefix_key(target))])
        return
    with closing(paramiko.Agent()) as agent:
        yield _own(target.own, target.name, agent.get_keys())


def is_locked(own: OwnLogin) -> bool:
    """Whether the user would have to be asked for a passphrase before any key can be used."""
    with closing(paramiko.Agent()) as agent:
        held = {key.asbytes() for key in agent.get_keys()}
    files = own.keys or _default_files()
    return not (held and not own.keys) and bool(files) and all(_is_encrypted(file) and _public(file) not in held for file in files)


def _own(own: OwnLogin, machine: str, held: tuple[paramiko.AgentKey, ...]) -> Iterator[Identity]:
    """Yield keys that need no word of the user's first."""
    offered = {key.asbytes(): key for key in held}
    if not own.keys:
        yield from ((f"key '{key.comment or key.get_name()}' of the ssh agent", key) for key in held)
    locked: list[Path] = []
    for file in own.keys or _default_files():
        public = _public(file)
        if public in offered:
            if own.keys:
                yield f"key '{file}' of the ssh agent", offered[public]
        elif _is_encrypted(file):
            locked.append(file)
        else:
            yield f"key '{file}'", _load(file, machine, None)
    for file in locked:
        yield f"key '{file}'", _load(file, machine, _passphrase(own, file, machine))


def _prefix_key(target: SshTarget) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(target.key_file)
    except (OSError, ValueError, TypeError, paramiko.SSHException) as error:
        raise SshRefused(
            f"'{target.name}': the private key '{target.key_file}' cannot be used: {error}",
            hint="the prefix has lost its key: make the environment again",
        ) from error


def _load(file: Path, machine: str, passphrase: str | None) -> paramiko.PKey:
    # bytes, whatever the annotation says: cryptography, which gets it unchanged, takes nothing else
    password = cast(str, passphrase.encode()) if passphrase is not None else None
    try:
        return paramiko.PKey.from_path(file, password)
    except OSError as error:
        raise SshRefused(f"'{machine}': the private key '{file}' cannot be read: {error.strerror}", hint=f"ls -l {file}") from error
    except (ValueError, TypeError, paramiko.SSHException) as error:
        why = "the passphrase is wrong" if passphrase is not None else str(error)
        raise SshRefused(f"'{machine}': the private key '{file}' cannot be used: {why}", hint=f"ssh-keygen -y -f {file}") from error


def _passphrase(own: OwnLogin, file: Path, machine: str) -> str:
    said = own.ask(f"Passphrase of the key '{file}': ") if own.ask is not None else None
    if said is None:
        raise SshRefused(
            f"'{machine}': the private key '{file}' is encrypted, and nobody can be asked for its passphrase", hint=f"ssh-add {file}"
        )
    return said


def _default_files() -> tuple[Path, ...]:
    folder = Path.home() / ".ssh"
    return tuple([folder / name for name in DEFAULT_KEYS if (folder / name).is_file()])


def _is_encrypted(file: Path) -> bool:
    """Whether a key needs a passphrase; what cannot be read at all does not."""
    try:
        paramiko.PKey.from_path(file)
    except TypeError:  # cryptography's word for it
        return True
    except (OSError, ValueError, paramiko.SSHException):
        return False
    return False


def _public(file: Path) -> bytes:
    """Return the public half of a key that may be encrypted, as the agent names it; b"" when it cannot be told."""
    readers: tuple[Callable[[Path], bytes], ...] = (_public_in_container, _public_beside)
    for read in readers:
        try:
            return read(file)
        except (OSError, ValueError, IndexError):
            continue
    return b""


def _public_in_container(file: Path) -> bytes:
    """Read it out of OpenSSH's own format, where it stands unencrypted. (OpenSSH, PROTOCOL.key)"""
    from base64 import b64decode

    text = file.read_text(encoding="ascii")
    blob = b64decode("".join(text.partition(_OPENSSH_HEAD)[2].partition(_OPENSSH_END)[0].split()))
    if not blob.startswith(_OPENSSH_MAGIC):
        raise ValueError("another format")
    rest = blob[len(_OPENSSH_MAGIC) :]
    for _cipher_kdf_options in range(3):
        rest = rest[4 + int.from_bytes(rest[:4], "big") :]
    length = int.from_bytes(rest[4:8], "big")
    return rest[8 : 8 + length]


def _public_beside(file: Path) -> bytes:
    from base64 import b64decode

    return b64decode(file.with_name(f"{file.name}.pub").read_text(encoding="utf-8").split()[1])
