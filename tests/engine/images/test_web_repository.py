"""Repositories on the web, and the catalogue that ships."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from engine.bus import Bus
from engine.config import Settings
from engine.context import TaskContext
from engine.errors import TemplateError
from engine.events import TaskLog
from engine.images.catalogue import STARTER, catalogue_of, load_catalogue
from engine.images.repository import load_repository
from engine.images.sources import HttpImage
from engine.images.store import Store
from tests.engine.images.web_server import Handler, Served

IMAGE = b"image" * 1024


def serve(web: Served, **version: Any) -> str:
    """Serve a repository with one template; return its address."""
    web.add("images/el7.img", IMAGE)
    data = {
        "name": "afar",
        "sources": {"there": {"type": "http", "args": {"baseurl": web.url("images")}}},
        "templates": {"el7": {"versions": {"v1": {"source": "there", "handle": "el7.img", "timestamp": "1", **version}}}},
    }
    web.files["/repo.metadata"] = json.dumps(data).encode()
    return web.url("repo.metadata")


def test_a_repository_is_read_from_the_web(ctx: TaskContext, web: Served, tmp_path: Path) -> None:
    ref = load_catalogue(serve(web)).find("el7")
    assert Store(tmp_path / "store").fetch(ctx, ref).read_bytes() == IMAGE


def test_metadata_comes_from_beside_the_image(web: Served) -> None:
    web.files["/images/el7.img.metadata"] = b'{"distro": "el7"}'
    assert load_repository(serve(web)).find("el7").source.metadata() == {"distro": "el7"}


def test_metadata_of_the_packed_image_counts_too(web: Served) -> None:
    web.files["/images/el7.img.xz.metadata"] = b'{"distro": "el7"}'
    assert load_repository(serve(web)).find("el7").source.metadata() == {"distro": "el7"}


def test_metadata_in_the_repository_needs_no_question(web: Served) -> None:
    source = load_repository(serve(web, metadata={"distro": "el9"})).find("el7").source
    assert (source.metadata(), [path for _, path, _ in web.asked]) == ({"distro": "el9"}, ["/repo.metadata"])


def test_what_is_known_without_asking_is_not_asked_for(web: Served) -> None:
    source = load_repository(serve(web)).find("el7").source
    assert (source.known(), len(web.asked)) == ({}, 1)


def test_damaged_metadata_is_placed(web: Served) -> None:
    web.files["/images/el7.img.metadata"] = b'{"distro":\n oops}'
    with pytest.raises(TemplateError, match=r"el7.img.metadata:2:2: no JSON"):
        load_repository(serve(web)).find("el7").source.metadata()


def test_the_size_of_a_download_is_found_out(ctx: TaskContext, web: Served) -> None:
    assert load_repository(serve(web)).find("el7").source.size(ctx) == len(IMAGE)


def test_the_size_of_a_download_that_is_not_there_is_unknown(ctx: TaskContext, web: Served) -> None:
    source = load_repository(serve(web)).find("el7").source
    del web.files["/images/el7.img"]
    assert source.size(ctx) is None


def test_a_file_source_beside_a_web_repository_is_on_the_web(ctx: TaskContext, web: Served, tmp_path: Path) -> None:
    address = serve(web)
    data = json.loads(web.files["/repo.metadata"])
    data["sources"]["there"] = {"type": "file", "args": {"root": "images"}}
    web.files["/repo.metadata"] = json.dumps(data).encode()
    assert Store(tmp_path / "store").fetch(ctx, load_repository(address).find("el7")).read_bytes() == IMAGE


@pytest.mark.parametrize("root", ["/etc", "~/x", "$HOME", "../up"])
def test_a_web_repository_names_no_folder_of_this_machine(web: Served, root: str) -> None:
    address = serve(web)
    data = json.loads(web.files["/repo.metadata"])
    data["sources"]["there"] = {"type": "file", "args": {"root": root}}
    web.files["/repo.metadata"] = json.dumps(data).encode()
    with pytest.raises(TemplateError, match=r"repo.metadata:1:\d+: a repository from the web may not name"):
        load_repository(address)


def test_what_is_wrong_in_a_web_repository_is_placed(web: Served) -> None:
    web.files["/repo.metadata"] = b'{"name": "here",\n  oops}'
    with pytest.raises(TemplateError, match=r"http://127.0.0.1:\d+/repo.metadata:2:3: no JSON"):
        load_repository(web.url("repo.metadata"))


def test_a_repository_that_is_not_there_is_told(web: Served) -> None:
    with pytest.raises(TemplateError, match=r"repo.metadata': the server answers 404"):
        load_repository(web.url("repo.metadata"))


def test_a_repository_that_redirects_to_a_file_is_told(web: Served) -> None:
    web.behave["/repo.metadata"] = lambda handler: handler.begin(0, 301, Location="file:///etc/passwd")
    with pytest.raises(TemplateError, match=r"redirects to 'file:///etc/passwd'"):
        load_repository(web.url("repo.metadata"))


def test_a_repository_that_is_cut_off_is_asked_for_again(web: Served) -> None:
    address = serve(web)
    left = [1]

    def behave(handler: Handler) -> None:
        if not left:
            handler.honest()
            return
        left.pop()
        handler.begin(len(web.files["/repo.metadata"]))
        handler.wfile.write(web.files["/repo.metadata"][:20])
        handler.close_connection = True

    web.behave["/repo.metadata"] = behave
    assert load_repository(address).name == "afar"


def test_deep_nesting_is_told(web: Served) -> None:
    web.files["/repo.metadata"] = b"[" * 100_000
    with pytest.raises(TemplateError, match="no JSON"):
        load_repository(web.url("repo.metadata"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("checksum", "sha256:abc", "is no checksum"), ("checksums", 7, "lists the checksums"), ("metadata", [], "must be an object")],
)
def test_what_is_wrong_with_a_version_is_placed(web: Served, key: str, value: Any, message: str) -> None:
    with pytest.raises(TemplateError, match=rf"repo.metadata:1:\d+: .*{message}"):
        load_repository(serve(web, **{key: value}))


MANUAL = "el7-base el7.3-base el7.4-base fc23-base fc24-base fc25-base fc26-base el6-base debian8-base ubuntu16.04-base"


@pytest.mark.parametrize("name", MANUAL.split())
def test_names_of_the_manual_answer(name: str) -> None:
    assert load_catalogue().find(name).source.metadata()["cloud-init"] is True


@pytest.mark.parametrize("name", ["debian-13", "ubuntu-24.04", "fedora-44", "centos-stream-10", "alma-10", "rocky-10", "cirros"])
def test_the_starter_catalogue_has_every_image_with_its_list_of_checksums(name: str) -> None:
    source = load_catalogue().find(name).source
    assert isinstance(source, HttpImage)
    assert (source.url[:8], source.checksums_url[:8], source.may_be_packed) == ("https://", "https://", False)


def test_whoever_asks_by_an_old_name_is_told_once(ctx: TaskContext) -> None:
    events = ctx.bus.subscribe()
    catalogue = load_catalogue()
    catalogue.find("el7-base")
    catalogue.find("el7-base")
    assert [event.message for event in events.take() if isinstance(event, TaskLog)] == [
        "template 'el7-base' is 'centos-stream-9' here, the nearest that is published today"
    ]


def test_the_starter_catalogue_is_quickly_read() -> None:
    load_repository(str(STARTER))
    started_s = time.process_time()
    load_repository(str(STARTER))
    assert time.process_time() - started_s < 0.5


def test_outside_of_a_task_nothing_is_told() -> None:
    assert load_catalogue().find("fc24-base").name == "fedora-43"


def test_a_list_of_checksums_is_beside_the_base_of_its_source(web: Served) -> None:
    web.add("images/el7.img", IMAGE, hashed=False)
    address = serve(web, checksums="SUMS")
    del web.files["/images/el7.img.sha256"]
    web.files["/images/SUMS"] = f"{hashlib.sha256(IMAGE).hexdigest()}  el7.img\n".encode()
    with TaskContext.root(Bus(), "test", run_id="r"):
        source = load_repository(address).find("el7").source
    assert isinstance(source, HttpImage)
    assert source.checksums_url == web.url("images/SUMS")


def test_how_patient_we_are_is_a_setting(tmp_path: Path) -> None:
    settings = Settings(template_repo_path="", template_store=tmp_path, template_repos=tmp_path, template_timeout=3.0)
    source = catalogue_of(settings).find("debian-13").source
    assert isinstance(source, HttpImage)
    assert (source.limits.connect_s, source.limits.silence_s, source.limits.give_up_s) == (3.0, 3.0, 6.0)
