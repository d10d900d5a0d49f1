"""The verb `template`, as a user types it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.engine.images.web_server import serving
from tests.headless.terminal_user import Lago


@pytest.fixture
def image(lago: Lago) -> Path:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "disk.qcow2", "2M"], check=True, timeout=30)
    return Path("disk.qcow2")


@pytest.fixture
def imported(lago: Lago, image: Path) -> Lago:
    assert lago("template", "import", str(image), "--name", "mine", "--cloud-init").code == 0
    return lago


ACTIONS = ["list", "info", "pull", "import", "publish", "prune", "build"]


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_is_explained_with_an_example(lago: Lago, action: str) -> None:
    outcome = lago("template", action, "-h")
    assert (outcome.code, f"lagotui --run template {action}" in outcome.out) == (0, True)


@pytest.mark.parametrize("words", [[], ["nonsense"], ["pull"], ["import", "x"], ["publish", "x"]])
def test_a_wrong_command_line_is_exit_2(lago: Lago, words: list[str]) -> None:
    assert lago("template", *words).code == 2


@pytest.mark.parametrize("out_format", ["default", "flat", "json", "yaml"])
def test_the_list_comes_in_every_format(lago: Lago, out_format: str) -> None:
    outcome = lago("-f", out_format, "template", "list")
    assert (outcome.code, "debian-13" in outcome.out, outcome.err) == (0, True, "")


def test_the_list_names_what_is_imported(imported: Lago) -> None:
    listed = json.loads(imported("-f", "json", "template", "list").out)
    assert (listed["mine"]["1"]["in store"], listed["mine"]["1"]["repo"]) == (True, "local")


def test_an_import_says_what_it_found(lago: Lago, image: Path) -> None:
    shown = yaml.safe_load(lago("-f", "yaml", "template", "import", str(image), "--name", "mine").out)
    assert (shown["cloud-init"], shown["format"], shown["virtual size in bytes"], shown["checked"]) == (
        "unknown",
        "qcow2",
        2 * 2**20,
        False,
    )


def test_an_import_says_plainly_what_is_not_known(lago: Lago, image: Path) -> None:
    told = lago("template", "import", str(image), "--name", "mine").err
    assert ("no trace of cloud-init was found" in told, "nothing vouches" in told) == (True, True)


def test_no_cloud_init_is_written_down(lago: Lago, image: Path) -> None:
    lago("template", "import", str(image), "--name", "mine", "--no-cloud-init", "--distro", "el6")
    shown = json.loads(lago("-f", "json", "template", "info", "mine").out)
    assert shown["metadata"] == {"cloud-init": False, "distro": "el6"}


def test_info_tells_all_of_an_image_that_is_here(imported: Lago) -> None:
    shown = json.loads(imported("-f", "json", "template", "info", "mine:1").out)
    assert (shown["format"], shown["virtual size in bytes"], shown["download in bytes"], shown["versions"]) == (
        "qcow2",
        2 * 2**20,
        0,
        ["1"],
    )


@pytest.mark.parametrize("action", ["info", "pull"])
@pytest.mark.parametrize(
    ("name", "message"), [("debain-13", "did you mean 'debian-13'"), ("tiny:99", "no version '99'"), ("tiny:", "names no template")]
)
def test_an_unknown_template_is_exit_2(lago: Lago, action: str, name: str, message: str) -> None:
    outcome = lago("template", action, name)
    assert (outcome.code, message in outcome.err, outcome.out) == (2, True, "")


def test_pull_gives_the_path(imported: Lago) -> None:
    outcome = imported("template", "pull", "mine")
    assert (outcome.code, outcome.out.strip().endswith("local:mine:1")) == (0, True)


def test_what_is_published_is_a_repository(imported: Lago) -> None:
    assert imported("template", "publish", "mine", "repo", "--distro", "el9").code == 0
    data = json.loads(Path("repo/repo.metadata").read_text())
    assert (data["name"], list(data["templates"]["mine"]["versions"])) == ("repo", ["1"])


def test_a_file_is_published(lago: Lago, image: Path) -> None:
    shown = json.loads(lago("-f", "json", "template", "publish", "mine", "repo", "--from", str(image), "--repo-name", "lab").out)
    assert (shown["repo"], shown["version"], Path(shown["image"]).is_file()) == ("lab", "1", True)


def test_a_published_repository_is_used(lago: Lago, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lago("template", "publish", "mine", "repo", "--from", str(image))
    monkeypatch.setenv("LAGO_TEMPLATE_REPO_PATH", str(Path("repo/repo.metadata").absolute()))
    assert lago("template", "pull", "mine").out.strip().endswith("repo:mine:1")


def test_a_repository_on_the_web_is_used(lago: Lago, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lago("template", "publish", "mine", "repo", "--from", str(image))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as web:
        web.files = {f"/{path.name}": path.read_bytes() for path in Path("repo").iterdir()}
        monkeypatch.setenv("LAGO__INIT__TEMPLATE_REPO_PATH", web.url("repo.metadata"))
        assert lago("template", "pull", "mine").out.strip().endswith("repo:mine:1")


def test_the_repository_may_be_named_on_the_command_line(lago: Lago, image: Path) -> None:
    lago("template", "publish", "mine", "repos/any", "--from", str(image), "--repo-name", "lab")
    outcome = lago("template", "pull", "mine", "--template-repo-path", "lab", "--template-repos", "repos", "--template-store", "here")
    assert outcome.out.strip() == str(Path("here/lab:mine:1").absolute())


@pytest.mark.parametrize("address", ["http://[::1/x", "http://", "http://host:99999/x", "https://user@/x", "ftp://host/x", "http://host"])
def test_addresses_that_are_none_are_exit_2(lago: Lago, address: str) -> None:
    assert lago("template", "import", address, "--name", "mine").code == 2


@pytest.mark.parametrize(("address", "message"), [("http://", "is no http or https address"), ("http://host", "but no file on it")])
def test_an_address_without_a_file_is_refused_before_anybody_is_asked(lago: Lago, address: str, message: str) -> None:
    outcome = lago("template", "import", address, "--name", "mine")
    assert (message in outcome.err, "trying again" in outcome.err) == (True, False)


def test_publishing_what_is_not_there_is_exit_2(lago: Lago) -> None:
    outcome = lago("template", "publish", "mine", "repo", "--from", "./none.qcow2")
    assert (outcome.code, "is not there" in outcome.err) == (2, True)


def test_prune_says_what_it_would_do(imported: Lago) -> None:
    shown = json.loads(imported("-f", "json", "template", "prune", "--dry-run", "--all").out)
    assert (shown["would remove"], shown["kept"]) == (["local:mine:1"], {})


def test_prune_says_why_things_stay(imported: Lago) -> None:
    shown = json.loads(imported("-f", "json", "template", "prune").out)
    assert (shown["removed"], "imported" in shown["kept"]["local:mine:1"]) == ([], True)


def test_prune_removes(imported: Lago) -> None:
    imported("template", "prune", "--all")
    assert imported("template", "info", "mine").code == 2


def test_prune_keeps_what_an_environment_stands_on(imported: Lago) -> None:
    machine = "{memory: 64, nics: [{net: lan}], disks: [{name: root, type: template, template_name: mine, dev: vda, format: qcow2}]}"
    nets = "{lan: {type: nat, management: true, gw: 192.168.211.1}}"
    Path("LagoInitFile").write_text(f"domains: {{vm0: {machine}}}\nnets: {nets}\n")
    assert imported("init").code == 0
    shown = json.loads(imported("-f", "json", "template", "prune", "--all").out)
    assert (shown["removed"], "stands on it" in shown["kept"]["local:mine:1"]) == ([], True)


def test_after_destroy_the_image_may_go(imported: Lago) -> None:
    test_prune_keeps_what_an_environment_stands_on(imported)
    assert imported("destroy", "-y").code == 0
    assert json.loads(imported("-f", "json", "template", "prune", "--all").out)["removed"] == ["local:mine:1"]


def test_a_damaged_note_beside_an_image_is_told_in_the_list(imported: Lago) -> None:
    path = Path(imported("template", "pull", "mine").out.strip())
    path.with_name(path.name + ".metadata").write_text("{")
    listed = json.loads(imported("-f", "json", "template", "list").out)
    assert "cannot be read" in listed["mine"]["1"]["flaw"]


@pytest.mark.parametrize("out_format", ["default", "flat", "json", "yaml"])
def test_what_strangers_write_does_no_harm_to_the_terminal(lago: Lago, image: Path, out_format: str) -> None:
    version = {"source": "s", "handle": "disk.qcow2", "metadata": {"distro": "\x1b[31mred\nnext", "deep": [{"\x1b": "\x07"}]}}
    source = {"type": "file", "args": {"root": "."}}
    Path("repo.json").write_text(json.dumps({"name": "r", "sources": {"s": source}, "templates": {"t": {"versions": {"1": version}}}}))
    outcome = lago("-f", out_format, "template", "list", "--template-repo-path", "repo.json")
    assert (outcome.code, "\x1b" in outcome.out, "\x07" in outcome.out, "[31mred next" in outcome.out) == (0, False, False, True)


def test_neither_a_file_nor_a_template_is_told_so(lago: Lago) -> None:
    outcome = lago("template", "publish", "mine", "repo", "--from", "nothing")
    assert (outcome.code, "'nothing' is no file here, and there is no template 'nothing'" in outcome.err) == (2, True)


def test_a_name_of_the_built_in_catalogue_that_is_taken_over_is_told(lago: Lago, image: Path) -> None:
    told = lago("template", "import", str(image), "--name", "debian-13").err
    assert "get this image from now on, not the one of the built-in catalogue" in told


def machine_of(template: str) -> str:
    disks = f"[{{name: root, type: template, template_name: {template}, dev: vda, format: qcow2}}]"
    return f"domains: {{vm0: {{memory: 64, nics: [{{net: lan}}], disks: {disks}}}}}\nnets: {{lan: {{type: nat, management: true}}}}\n"


def test_init_finds_a_repository_by_its_name(lago: Lago, image: Path) -> None:
    lago("template", "publish", "mine", "repos/any", "--from", str(image), "--repo-name", "lab", "--cloud-init")
    Path("lab").write_text("a file of that name is not the repository")
    Path("LagoInitFile").write_text(machine_of("mine"))
    outcome = lago("init", "--template-repo-name", "lab", "--template-repos", "repos", "--template-store", "here")
    assert (outcome.code, Path("here/lab:mine:1").is_file()) == (0, True), outcome.err


def test_a_path_comes_before_a_name(lago: Lago, image: Path) -> None:
    lago("template", "publish", "mine", "repo", "--from", str(image))
    options = ["--template-repo-path", "repo/repo.metadata", "--template-repo-name", "other"]
    assert lago("template", "info", "mine", *options).code == 0


def test_a_repository_that_nobody_has_by_that_name_is_told(lago: Lago, image: Path) -> None:
    lago("template", "publish", "mine", "repos/any", "--from", str(image), "--repo-name", "lab")
    outcome = lago("template", "list", "--template-repo-name", "lba", "--template-repos", "repos")
    assert (outcome.code, "no repository 'lba'" in outcome.err, "did you mean 'lab'" in outcome.err) == (2, True, True)


def test_the_story_of_an_init_says_what_stands_for_an_old_name(lago: Lago, image: Path) -> None:
    lago("template", "publish", "new", "repo", "--from", str(image), "--cloud-init")
    data = json.loads(Path("repo/repo.metadata").read_text())
    Path("repo/repo.metadata").write_text(json.dumps({**data, "aliases": {"old-base": "new"}}))
    Path("LagoInitFile").write_text(machine_of("old-base"))
    outcome = lago("init", "--template-repo-path", "repo/repo.metadata")
    assert (outcome.code, outcome.err.count("template 'old-base' is 'new' here, the nearest that is published today")) == (0, 1)
