"""The ssh keys of a prefix: one that opens every machine, and a host key for each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

CLIENT_KEY_BITS = 2048
"""Size of the prefix's RSA key: 3072 bits take three times as long to find, up to a second, and init of a machine has but one."""

RSA_PUBLIC_EXPONENT = 65537


@dataclass(frozen=True, slots=True)
class KeyPair:
    private_pem: bytes
    """Text of the private key file, unencrypted, with its last newline."""
    public_line: str
    """As in authorized_keys: `ssh-rsa AAAA… comment`, without a newline."""


def make_keypair(bits: int = CLIENT_KEY_BITS, comment: str = "lagotui") -> KeyPair:
    """Make an RSA key in the format that every ssh client and library reads (`ssh-keygen -t rsa -m PEM`)."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(RSA_PUBLIC_EXPONENT, bits)
    private_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private_pem, f"{public.decode()} {comment}")


def make_host_key(comment: str) -> KeyPair:
    """Make an ed25519 key in OpenSSH's own format, as cloud-init puts it into a machine."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate()
    private_pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private_pem, f"{public.decode()} {comment}")


def known_hosts_lines(names: Iterable[str], public_line: str) -> list[str]:
    """Return one known_hosts line for each name or address, in their order, without repeats and without the key's comment."""
    key_type, key_data = public_line.split()[:2]
    return [f"{name} {key_type} {key_data}" for name in dict.fromkeys(names)]
