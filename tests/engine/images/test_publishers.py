"""The starter catalogue against its publishers' lists of checksums, each in the publisher's own form, on a server of the tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.context import TaskContext
from engine.errors import HashMismatch, TemplateError
from engine.images.catalogue import STARTER
from engine.images.repository import load_repository
from engine.images.store import Store
from tests.engine.images.web_server import Served

CATALOGUE: dict[str, Any] = json.loads(STARTER.read_text())
Listing = Callable[[str, bytes], str]
"""(name of an image, its content) → the publisher's list."""


def of(algorithm: str, content: bytes) -> str:
    return hashlib.new(algorithm, content).hexdigest()


def debian(name: str, content: bytes) -> str:
    others = [name.replace("generic", kind) for kind in ("azure", "ec2", "genericcloud", "nocloud")]
    lines = [f"{of('sha512', other.encode())}  {other}" for other in others]
    lines += [f"{of('sha512', other.encode())}  {name.removesuffix('.qcow2')}.{other}" for other in ("json", "raw", "tar.xz")]
    return "\n".join([*lines[:3], f"{of('sha512', content)}  {name}", *lines[3:]]) + "\n"


def ubuntu(name: str, content: bytes) -> str:
    others = [name.replace("amd64", arch) for arch in ("arm64", "armhf", "ppc64el", "riscv64", "s390x")]
    others += [name.replace(".img", ending) for ending in (".ova", ".squashfs", ".tar.gz", ".vmdk", ".manifest", "-root.tar.xz")]
    lines = [f"{of('sha256', other.encode())} *{other}" for other in others]
    return "\n".join([*lines[:2], f"{of('sha256', content)} *{name}", *lines[2:]]) + "\n"


def fedora(name: str, content: bytes) -> str:
    others = [name.replace("Generic", kind).replace("qcow2", "raw.xz") for kind in ("AmazonEC2", "GCE", "UEFI-UKI")]
    pieces = [f"# {other}: 468000000 bytes\nSHA256 ({other}) = {of('sha256', other.encode())}\n" for other in others]
    pieces.insert(2, f"# {name}: {len(content)} bytes\nSHA256 ({name}) = {of('sha256', content)}\n")
    head = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
    return head + "".join(pieces) + "-----BEGIN PGP SIGNATURE-----\n\niQIzBAEBCAAdFiEE\n=Xy1z\n-----END PGP SIGNATURE-----\n"


def centos(name: str, content: bytes) -> str:
    return f"# {name}: {len(content)} bytes\nSHA256 ({name}) = {of('sha256', content)}\n"


def almalinux(name: str, content: bytes) -> str:
    others = [name.replace("latest", date) for date in ("9.6-20250522", "9.7-20251118")] + [name.replace("Generic", "OpenNebula")]
    lines = [f"{of('sha256', other.encode())}  {other}" for other in others]
    return "\n".join([*lines, f"{of('sha256', content)}  {name}"]) + "\n"


def rocky(name: str, content: bytes) -> str:
    others = [name.replace("Base", kind) for kind in ("LVM", "Container")] + [name.replace(".latest", "-20251123.2")]
    pieces = [f"# {other}: 619380736 bytes\nSHA256 ({other}) = {of('sha256', other.encode())}\n" for other in others]
    return "".join([*pieces, f"# {name}: {len(content)} bytes\nSHA256 ({name}) = {of('sha256', content)}\n"])


def cirros(name: str, content: bytes) -> str:
    others = [name.replace("x86_64", arch) for arch in ("aarch64", "arm", "ppc64le")]
    others += [name.replace("disk.img", ending) for ending in ("blank.img", "initramfs", "kernel", "lxc.tar.xz", "rootfs.img.gz")]
    lines = [f"{of('sha256', other.encode())} *{other}" for other in others]
    return "\n".join([*lines, f"{of('sha256', content)} *{name}"]) + "\n"


LISTINGS: dict[str, Listing] = {each.__name__: each for each in (debian, ubuntu, fedora, centos, almalinux, rocky, cirros)}


@pytest.fixture
def publish(web: Served, tmp_path: Path) -> Callable[..., Path]:
    """Serve the image of a template as its publisher does, and return a repository that is the starter's but for the server."""

    def publish(template: str, listing: Listing | None = None, listed: bytes | None = None) -> Path:
        (version,) = CATALOGUE["templates"][template]["versions"].values()
        source, content = version["source"], template.encode() * 512
        name = version["handle"].rpartition("/")[2]
        web.files[f"/{source}/{version['handle']}"] = content
        web.files[f"/{source}/{version['checksums']}"] = (listing or LISTINGS[source])(name, listed or content).encode()
        sources = {each: {"type": "http", "args": {"baseurl": web.url(each)}} for each in CATALOGUE["sources"]}
        path = tmp_path / "repo.json"
        path.write_text(json.dumps({**CATALOGUE, "name": "copy", "sources": sources}))
        return path

    return publish


@pytest.mark.parametrize("template", CATALOGUE["templates"])
def test_the_image_of_every_publisher_is_fetched_and_verified(
    ctx: TaskContext, publish: Callable[..., Path], tmp_path: Path, template: str
) -> None:
    ref = load_repository(str(publish(template))).find(template)
    assert Store(tmp_path / "store").fetch(ctx, ref).read_bytes() == template.encode() * 512


@pytest.mark.parametrize("template", CATALOGUE["templates"])
def test_another_image_than_the_publisher_lists_is_refused(
    ctx: TaskContext, publish: Callable[..., Path], tmp_path: Path, template: str
) -> None:
    ref = load_repository(str(publish(template, listed=b"another"))).find(template)
    with pytest.raises(HashMismatch):
        Store(tmp_path / "store").fetch(ctx, ref)


def test_every_source_of_the_catalogue_has_its_form_here() -> None:
    assert LISTINGS.keys() == CATALOGUE["sources"].keys()


def dated(name: str, content: bytes) -> str:
    """List the one image under the name that `latest` stands for."""
    return centos(name.replace("latest", "20260105.0"), content)


def in_windows(name: str, content: bytes) -> str:
    return almalinux(name, content).replace("\n", "\r\n")


def in_capitals(name: str, content: bytes) -> str:
    return f"{of('sha256', content).upper()}  ./{name}\n{'0' * 64}  other\n"


def by_openssl(name: str, content: bytes) -> str:
    return f"SHA2-256({name})= {of('sha256', content)}\nSHA2-256(other)= {'0' * 64}\n"


def with_md5_first(name: str, content: bytes) -> str:
    return f"MD5 ({name}) = {'0' * 32}\n{'0' * 32}  {name}\n{centos(name, content)}{centos('other', b'')}"


@pytest.mark.parametrize("listing", [dated, in_windows, in_capitals, by_openssl, with_md5_first])
def test_other_forms_of_lists_are_read(ctx: TaskContext, publish: Callable[..., Path], tmp_path: Path, listing: Listing) -> None:
    ref = load_repository(str(publish("centos-stream-9", listing))).find("centos-stream-9")
    assert Store(tmp_path / "store").fetch(ctx, ref).is_file()


@pytest.mark.parametrize(
    "text", ["", "<html>", f"{'0' * 32}  NAME\n", f"{'0' * 64}  NAME.sig\n{'1' * 64}  other\n", f"# {'0' * 64}  NAME\n"]
)
def test_a_list_without_the_image_is_told(ctx: TaskContext, publish: Callable[..., Path], tmp_path: Path, text: str) -> None:
    ref = load_repository(str(publish("centos-stream-9", lambda name, _: text.replace("NAME", name)))).find("centos-stream-9")
    with pytest.raises(TemplateError, match="lists no sha1, sha256 or sha512 checksum of 'CentOS-Stream-GenericCloud-9-latest"):
        Store(tmp_path / "store").fetch(ctx, ref)
