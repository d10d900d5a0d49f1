"""Repository files: what they name, and what is said when they are wrong."""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.context import TaskContext
from engine.errors import HashMismatch, TemplateError, TemplateMissing
from engine.images.catalogue import load_catalogue
from engine.images.repository import FileImage, load_repository

Add = Callable[..., Path]


def write(tmp_path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write a good repository with one change."""
    version = {"source": "local", "handle": "el7.img", "timestamp": 1}
    data = {
        "name": "here",
        "sources": {"local": {"type": "file", "args": {"root": "images"}}},
        "templates": {"el7": {"versions": {"v1": version}}},
    }
    change(data)
    path = tmp_path / "repo.json"
    path.write_text(json.dumps(data, indent=2))
    return path


def version_of(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = data["templates"]["el7"]["versions"]["v1"]
    return found


def image_of(path: Path) -> Path:
    source = load_repository(str(path)).find("el7").source
    assert isinstance(source, FileImage)
    return source.path


@pytest.mark.parametrize(("first", "second"), [(1, 2), ("10", "20"), (1.5, 1.6), ("2017-01-30", "2018-01-30T12:00:00"), (9, 10), ("9", 10)])
def test_the_newest_version_is_the_default(add_template: Add, first: Any, second: Any) -> None:
    add_template("el7", b"new", version="b", timestamp=second)
    path = add_template("el7", b"old", version="a", timestamp=first)
    repository = load_repository(str(path))
    assert (repository.find("el7").version, repository.find("el7", "a").version) == ("b", "a")


def test_the_name_in_the_store_is_the_predecessors(add_template: Add) -> None:
    assert load_repository(str(add_template("el7", b"x"))).find("el7").store_name == "here:el7:1"


def test_a_relative_root_is_beside_the_repository(tmp_path: Path) -> None:
    assert image_of(write(tmp_path, lambda data: None)) == tmp_path / "images" / "el7.img"


@pytest.mark.parametrize("root", ["~/images", "$PLACE/images", "${PLACE}/images"])
def test_home_and_variables_are_replaced_in_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str) -> None:
    monkeypatch.setenv("HOME", "/a/place")
    monkeypatch.setenv("PLACE", "/a/place")
    path = write(tmp_path, lambda data: data["sources"]["local"]["args"].update(root=root))
    assert image_of(path) == Path("/a/place/images/el7.img")


@pytest.mark.parametrize("handle", ["../secret", "/etc/shadow", "a/../../b", "..", "", "."])
def test_a_handle_that_leaves_its_folder_is_refused(tmp_path: Path, handle: str) -> None:
    path = write(tmp_path, lambda data: version_of(data).update(handle=handle))
    with pytest.raises(TemplateError, match=r"repo.json:\d+:\d+: .*handle"):
        load_repository(str(path))


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "a:b"])
def test_a_name_that_would_be_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, lambda data: data.update(name=name))
    with pytest.raises(TemplateError, match="no file name in the store"):
        load_repository(str(path))


def test_a_version_that_looks_like_a_sidecar_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, lambda data: data["templates"]["el7"]["versions"].update({"v1.hash": version_of(data)}))
    with pytest.raises(TemplateError, match=r"'v1\.hash' cannot be a name"):
        load_repository(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("name"), r":1:1: a name is expected"),
        (lambda data: data.update(templates=[]), r":11:\d+: 'templates' must be an object"),
        (lambda data: data["templates"].update(el7={"versions": {}}), r":13:\d+: template 'el7' has no versions"),
        (lambda data: version_of(data).update(source="there"), r":15:\d+: template 'el7' names the source 'there'"),
        (lambda data: version_of(data).update(timestamp="soon"), r":17:\d+: 'soon' is no timestamp"),
        (lambda data: version_of(data).update(timestamp=None), r":17:\d+: 'None' is no timestamp"),
        (
            lambda data: data["sources"]["local"].update(type="ftp"),
            r":5:\d+: there is no type of source 'ftp'; known are 'file' and 'http'",
        ),
        (lambda data: data["sources"]["local"].update(args={}), r":6:\d+: the folder of a 'file' source is expected"),
    ],
)
def test_what_is_wrong_is_placed(tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    with pytest.raises(TemplateError, match=f"repo.json{message}"):
        load_repository(str(write(tmp_path, change)))


def test_broken_json_is_placed(tmp_path: Path) -> None:
    path = tmp_path / "repo.json"
    path.write_text('{"name": "here",\n  oops}')
    with pytest.raises(TemplateError, match=r"repo.json:2:3: no JSON"):
        load_repository(str(path))


def test_a_list_is_no_repository(tmp_path: Path) -> None:
    path = tmp_path / "repo.json"
    path.write_text("[]")
    with pytest.raises(TemplateError, match="must be one JSON object"):
        load_repository(str(path))


def test_a_missing_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"'.*repo.json' cannot be read: No such file") as caught:
        load_repository(str(tmp_path / "repo.json"))
    assert "--template-repo-path" in caught.value.hint


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "repo.json").write_bytes(b"\xff\x00")
    with pytest.raises(TemplateError, match="not UTF-8"):
        load_repository(str(tmp_path / "repo.json"))


def test_a_file_url_is_a_path(add_template: Add) -> None:
    assert load_repository(f"file://{add_template('el7', b'x')}").name == "here"


def test_an_unknown_template_comes_with_the_nearest_names(add_template: Add) -> None:
    add_template("fedora-40", b"x")
    path = add_template("debian-12", b"x")
    with pytest.raises(TemplateMissing, match=r"no template 'fedora-4' in .* did you mean 'fedora-40'"):
        load_repository(str(path)).find("fedora-4")


def test_an_unknown_template_with_no_near_name_comes_with_all(add_template: Add) -> None:
    with pytest.raises(TemplateMissing, match=r"there are: el7 "):
        load_repository(str(add_template("el7", b"x"))).find("windows")


def test_an_unknown_version_comes_with_those_there_are(add_template: Add) -> None:
    with pytest.raises(TemplateMissing, match=r"'el7' has no version '99' in .*; there are: 1"):
        load_catalogue(str(add_template("el7", b"x"))).find("el7", "99")


def test_tiny_is_always_there() -> None:
    assert load_catalogue().find("tiny").repo == "lagotui"


def test_the_chosen_repository_comes_before_the_built_in_one(add_template: Add) -> None:
    catalogue = load_catalogue(str(add_template("tiny", b"x")))
    assert (catalogue.find("tiny").repo, [ref.repo for ref in catalogue.templates() if ref.name == "tiny"]) == ("here", ["here"])


def test_names_come_with_versions_the_newest_first(add_template: Add) -> None:
    add_template("el7", b"x", version="a", timestamp=1)
    path = add_template("el7", b"x", version="b", timestamp=2)
    names = load_catalogue(str(path)).names()
    assert (names["el7"], names["tiny"]) == (("b", "a"), ("1",))


def test_a_wrong_hash_is_told_with_both(ctx: TaskContext, add_template: Add, tmp_path: Path) -> None:
    ref = load_repository(str(add_template("el7", b"x", sha1="0" * 40))).find("el7")
    with pytest.raises(HashMismatch, match="sha1 is 11f6ad8ec52a2984abaafd7c3b516503785c2072, but 0000"):
        ref.source.fetch(ctx, tmp_path / "out")


def test_a_sha256_beside_the_image_counts_too(ctx: TaskContext, add_template: Add, tmp_path: Path) -> None:
    ref = load_repository(str(add_template("el7", b"x"))).find("el7")
    (tmp_path / "source" / "el7-1.img.sha256").write_text(f"{'0' * 64}  el7-1.img\n")
    with pytest.raises(HashMismatch, match="sha256"):
        ref.source.fetch(ctx, tmp_path / "out")


@pytest.mark.parametrize("content", ["", "sha1", "z" * 40, "abc123"])
def test_a_sidecar_without_a_checksum_is_told(ctx: TaskContext, add_template: Add, tmp_path: Path, content: str) -> None:
    ref = load_repository(str(add_template("el7", b"x"))).find("el7")
    (tmp_path / "source" / "el7-1.img.hash").write_text(content)
    with pytest.raises(TemplateError, match=r"el7-1.img.hash' holds no sha1, sha256 or sha512"):
        ref.source.fetch(ctx, tmp_path / "out")


def test_an_image_without_a_checksum_says_how_to_make_one(ctx: TaskContext, add_template: Add, tmp_path: Path) -> None:
    ref = load_repository(str(add_template("el7", b"x"))).find("el7")
    (tmp_path / "source" / "el7-1.img.hash").unlink()
    with pytest.raises(TemplateError, match="has no checksum beside it") as caught:
        ref.source.fetch(ctx, tmp_path / "out")
    assert "sha256sum" in caught.value.hint


def test_a_missing_image_is_told(ctx: TaskContext, add_template: Add, tmp_path: Path) -> None:
    ref = load_repository(str(add_template("el7", b"x"))).find("el7")
    (tmp_path / "source" / "el7-1.img").unlink()
    with pytest.raises(TemplateError, match=r"el7-1.img' is not there"):
        ref.source.fetch(ctx, tmp_path / "out")


def test_a_repository_is_found_by_its_name(add_template: Add, tmp_path: Path) -> None:
    repos = tmp_path / "repos" / "of mine"
    repos.mkdir(parents=True)
    (repos / "notes.json").write_text("[]")
    path = add_template("el7", b"x")
    path.replace(repos / "any.json")
    assert load_catalogue("here", tmp_path / "repos").find("el7").repo == "here"


def test_an_unknown_name_of_a_repository_comes_with_the_nearest(add_template: Add, tmp_path: Path) -> None:
    add_template("el7", b"x")
    with pytest.raises(TemplateMissing, match=r"no repository 'hare' in '.*'; did you mean 'here'\?|did you mean 'here'") as caught:
        load_repository("hare", tmp_path)
    assert "--template-repos" in caught.value.hint


def test_a_file_of_that_name_comes_before_a_repository_of_that_name(
    add_template: Add, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_template("el7", b"x").replace(tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    assert load_repository("here", tmp_path / "none").name == "here"


@pytest.mark.parametrize("location", ["ftp://example.org/repo.json", "ssh://host/repo"])
def test_other_schemes_are_refused(location: str) -> None:
    with pytest.raises(TemplateError, match="is not one of http, https and file"):
        load_repository(location)


def test_an_address_that_is_none_is_placed(tmp_path: Path) -> None:
    http = {"type": "http", "args": {"baseurl": "example.org/images"}}
    with pytest.raises(TemplateError, match=r"repo.json:7:\d+: 'example.org/images' is no http or https address"):
        load_repository(str(write(tmp_path, lambda data: data["sources"].update(local=http))))


@pytest.mark.parametrize("name", ["lagotui", "local"])
def test_a_repository_may_not_bear_the_name_of_one_of_ours(tmp_path: Path, name: str) -> None:
    with pytest.raises(TemplateError, match="give it another name"):
        load_catalogue(str(write(tmp_path, lambda data: data.update(name=name))))


def test_a_template_may_have_other_names(tmp_path: Path) -> None:
    path = write(tmp_path, lambda data: data.update(aliases={"centos7": "el7"}))
    catalogue = load_catalogue(str(path))
    assert (catalogue.find("centos7").name, catalogue.names()["centos7"], catalogue.aliases()["centos7"]) == ("el7", ("v1",), "el7")


def test_another_name_for_nothing_is_placed(tmp_path: Path) -> None:
    path = write(tmp_path, lambda data: data.update(aliases={"centos7": "el8"}))
    with pytest.raises(TemplateError, match=r"repo.json:\d+:\d+: 'centos7' stands for 'el8', which is not among 'templates'"):
        load_repository(str(path))


MANUAL = Path(__file__).parents[3] / "docs" / "templates.md"


def of_the_manual(language: str) -> str:
    """Return the example in a language."""
    return MANUAL.read_text().partition(f"```{language}\n")[2].partition("```")[0]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install the manual's example package, with the module given."""

    def install(module: str) -> None:
        project = tomllib.loads(of_the_manual("toml"))["project"]
        about = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
        ((group, points),) = project["entry-points"].items()
        lines = [f"{name} = {place}\n" for name, place in points.items()]
        (about / "entry_points.txt").write_text(f"[{group}]\n{''.join(lines)}")
        (tmp_path / "site" / "lagotui_folders.py").write_text(module)
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        monkeypatch.delitem(sys.modules, "lagotui_folders", raising=False)

    return install


def with_source(tmp_path: Path, **source: Any) -> str:
    return str(write(tmp_path, lambda data: data["sources"].update(local=source)))


def test_other_types_of_sources_plug_in(ctx: TaskContext, tmp_path: Path, install: Callable[[str], None]) -> None:
    install(of_the_manual("python"))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "el7.img").write_bytes(b"x" * 512)
    (tmp_path / "b" / "el7.img.hash").write_text(hashlib.sha1(b"x" * 512).hexdigest())
    roots = [str(tmp_path / "a"), str(tmp_path / "b")]
    ref = load_repository(with_source(tmp_path, type="folders", args={"roots": roots})).find("el7")
    ref.source.fetch(ctx, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"x" * 512


def test_a_source_of_a_plugin_that_is_told_nonsense_is_placed(tmp_path: Path, install: Callable[[str], None]) -> None:
    install(of_the_manual("python"))
    with pytest.raises(TemplateError, match=r"repo.json:\d+:\d+: 'roots' must be a list of folders"):
        load_repository(with_source(tmp_path, type="folders", args={"roots": "/mnt"}))


def test_a_type_that_nobody_knows_names_those_of_plugins(tmp_path: Path, install: Callable[[str], None]) -> None:
    install(of_the_manual("python"))
    with pytest.raises(TemplateError, match=r"no type of source 'gluster'; known are 'file' and 'http', 'folders'") as caught:
        load_repository(with_source(tmp_path, type="gluster"))
    assert "lagotui.template_sources" in caught.value.hint


@pytest.mark.parametrize("module", ["import nothing_of_that_name\n", "def other(): ...\n", "def image_in(:\n"])
def test_a_plugin_that_is_broken_is_named(tmp_path: Path, install: Callable[[str], None], module: str) -> None:
    install(module)
    with pytest.raises(TemplateError, match=r"'folders' of package 'lagotui-folders' cannot be loaded"):
        load_repository(with_source(tmp_path, type="folders"))
