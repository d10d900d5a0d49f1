"""Repositories of one's own: what is published can be fetched again, here and from the web, and nothing is ever half there."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.context import CancelToken, TaskContext
from engine.errors import Cancelled, TemplateError
from engine.images.catalogue import load_catalogue
from engine.images.disks import probe
from engine.images.publish import PublishRequest, publish
from engine.images.repository import load_repository
from engine.images.store import Store
from tests.engine.images.web_server import Served


@pytest.fixture
def request_of(tmp_path: Path, qcow2: Path) -> Callable[..., PublishRequest]:
    """What publishes the small image in `<tmp>/mine`."""

    def make(**changes: object) -> PublishRequest:
        values: dict[str, object] = {"name": "small", "folder": tmp_path / "mine", "source": qcow2, "metadata": {"distro": "el9"}}
        return PublishRequest(**{**values, **changes})  # type: ignore[arg-type]

    return make


Make = Callable[..., PublishRequest]


def test_a_new_repository_is_laid_out_as_the_predecessors(ctx: TaskContext, request_of: Make, qcow2: Path) -> None:
    folder = publish(ctx, request_of()).repository.parent
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    assert names == ["repo.metadata", "small-1.img", "small-1.img.hash", "small-1.img.metadata", "small-1.img.sha256"]
    assert (folder / "small-1.img.hash").read_text().strip() == hashlib.sha1(qcow2.read_bytes()).hexdigest()
    assert json.loads((folder / "small-1.img.metadata").read_text()) == {"distro": "el9"}


def test_what_is_published_can_be_fetched(ctx: TaskContext, request_of: Make, tmp_path: Path, qcow2: Path) -> None:
    ref = load_catalogue(str(publish(ctx, request_of()).repository)).find("small")
    assert Store(tmp_path / "store").fetch(ctx, ref).read_bytes() == qcow2.read_bytes()


def test_what_is_published_can_be_put_on_the_web_as_it_is(ctx: TaskContext, request_of: Make, tmp_path: Path, web: Served) -> None:
    folder = publish(ctx, request_of()).repository.parent
    web.files = {f"/{path.name}": path.read_bytes() for path in folder.iterdir()}
    ref = load_catalogue(web.url("repo.metadata")).find("small")
    assert Store(tmp_path / "store").fetch(ctx, ref).is_file()


def test_an_address_makes_an_http_source(ctx: TaskContext, request_of: Make) -> None:
    published = publish(ctx, request_of(baseurl="https://images.example.org/lab"))
    data = json.loads(published.repository.read_text())
    assert data["sources"] == {"web": {"type": "http", "args": {"baseurl": "https://images.example.org/lab"}}}


def test_the_next_version_is_the_newest(ctx: TaskContext, request_of: Make) -> None:
    publish(ctx, request_of())
    publish(ctx, request_of(version="9"))
    assert publish(ctx, request_of()).version == "10"


def test_other_templates_and_keys_stay(ctx: TaskContext, request_of: Make) -> None:
    repository = publish(ctx, request_of()).repository
    data = json.loads(repository.read_text())
    repository.write_text(json.dumps({**data, "comment": "ours"}))
    publish(ctx, request_of(name="other"))
    assert set(json.loads(repository.read_text())["templates"]) == {"small", "other"}
    assert json.loads(repository.read_text())["comment"] == "ours"


def test_a_version_that_is_there_is_not_replaced(ctx: TaskContext, request_of: Make) -> None:
    publish(ctx, request_of(version="a"))
    with pytest.raises(TemplateError, match="has a version 'a' in") as caught:
        publish(ctx, request_of(version="a"))
    assert "--version 1" in caught.value.hint


def test_an_image_that_stands_on_known_ones_is_merged(ctx: TaskContext, request_of: Make, qcow2: Path, tmp_path: Path) -> None:
    base = tmp_path / "store" / "base"
    base.parent.mkdir()
    qcow2.replace(base)
    overlay = tmp_path / "export" / "vm0_root.qcow2"
    overlay.parent.mkdir()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", overlay], check=True, timeout=30)
    published = publish(ctx, request_of(source=overlay, known=(base.parent,)))
    assert probe(ctx, published.image).backing is None


def test_an_image_that_stands_on_a_stranger_is_refused(ctx: TaskContext, request_of: Make, tmp_path: Path) -> None:
    overlay = tmp_path / "export" / "evil.qcow2"
    overlay.parent.mkdir()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", overlay, "1M"], check=True, timeout=30)
    with pytest.raises(TemplateError, match="does not know"):
        publish(ctx, request_of(source=overlay))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [".repo.metadata.lock"]


def test_metadata_beside_an_exported_disk_comes_along(ctx: TaskContext, request_of: Make, qcow2: Path) -> None:
    qcow2.with_name(qcow2.name + ".metadata").write_text('{"distro": "el7"}')
    assert publish(ctx, request_of(metadata=None, cloud_init=True)).metadata == {"distro": "el7", "cloud-init": True}


def test_a_damaged_repository_is_left_alone(ctx: TaskContext, request_of: Make, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "repo.metadata").write_text("{")
    with pytest.raises(TemplateError, match=r"repo.metadata:1:2: no JSON"):
        publish(ctx, request_of())
    assert (tmp_path / "mine" / "repo.metadata").read_text() == "{"


def test_a_cancel_leaves_nothing(ctx: TaskContext, token: CancelToken, request_of: Make, tmp_path: Path) -> None:
    token.cancel()
    with pytest.raises(Cancelled):
        publish(ctx, request_of())
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [".repo.metadata.lock"]


def test_two_at_once_both_get_in(request_of: Make, tmp_path: Path) -> None:
    def one(name: str) -> None:
        with TaskContext.root(Bus(), name, run_id=name) as task:
            publish(task, request_of(name=name))

    threads = [threading.Thread(target=one, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(load_repository(str(tmp_path / "mine" / "repo.metadata")).templates) == {"t0", "t1", "t2", "t3"}


@pytest.mark.parametrize("name", ["a/b", "..", ""])
def test_names_that_are_no_file_names_are_refused(ctx: TaskContext, request_of: Make, name: str) -> None:
    with pytest.raises(TemplateError, match="cannot be a name"):
        publish(ctx, request_of(name=name))


@pytest.mark.parametrize("baseurl", ["nonsense", "file:///etc", "", "http://[::1"])
def test_an_address_that_is_none_leaves_the_repository_as_it_was(ctx: TaskContext, qcow2: Path, tmp_path: Path, baseurl: str) -> None:
    publish(ctx, PublishRequest("mine", tmp_path / "repo", qcow2))
    before = sorted((tmp_path / "repo").iterdir()), (tmp_path / "repo" / "repo.metadata").read_text()
    with pytest.raises(TemplateError, match="is no http or https address"):
        publish(ctx, PublishRequest("mine", tmp_path / "repo", qcow2, baseurl=baseurl))
    assert (sorted((tmp_path / "repo").iterdir()), (tmp_path / "repo" / "repo.metadata").read_text()) == before


def test_an_empty_image_is_not_published(ctx: TaskContext, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(TemplateError, match="is empty"):
        publish(ctx, PublishRequest("mine", tmp_path / "repo", tmp_path / "empty"))
    assert not (tmp_path / "repo" / "repo.metadata").exists()
