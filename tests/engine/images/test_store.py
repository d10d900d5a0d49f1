"""The store: one fetch per image, whole and verified or not there at all."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from engine.bus import Bus
from engine.context import CancelToken, TaskContext
from engine.errors import Cancelled, HashMismatch, TemplateError
from engine.events import TaskProgress
from engine.images.catalogue import load_catalogue
from engine.images.disks import probe
from engine.images.repository import Fetched, TemplateRef
from engine.images.store import Store

Add = Callable[..., Path]
MIB = 1024 * 1024

FETCH = """
import sys
from pathlib import Path
from engine.bus import Bus
from engine.context import TaskContext
from engine.errors import EngineError
from engine.images.catalogue import load_catalogue
from engine.images.store import Store
with TaskContext.root(Bus(), "test", run_id="r") as ctx:
    try:
        print(Store(Path(sys.argv[2])).fetch(ctx, load_catalogue(sys.argv[1]).find("el7")).name)
    except EngineError as error:
        print(type(error).__name__, sorted(path.name for path in Path(sys.argv[2]).iterdir()))
"""

DIE = """
import os, signal, sys
from pathlib import Path
from engine.bus import Bus
from engine.context import TaskContext
from engine.images.repository import TemplateRef
from engine.images.store import Store
class Deadly:
    def fetch(self, ctx, out):
        out.write_bytes(b"half")
        out.with_name(f".{out.name}.partial").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
with TaskContext.root(Bus(), "test", run_id="r") as ctx:
    Store(Path(sys.argv[1])).fetch(ctx, TemplateRef("repo", "slow", "1", 0.0, Deadly()))
"""


@dataclass(frozen=True)
class SlowSource:
    """Gives a raw image, but only when it is let; says when it began and how often."""

    begun: threading.Event = field(default_factory=threading.Event)
    let: threading.Event = field(default_factory=threading.Event)
    calls: list[int] = field(default_factory=list)

    def fetch(self, ctx: TaskContext, out: Path) -> Fetched:
        self.calls.append(1)
        self.begun.set()
        out.write_bytes(b"image" * 1000)
        while not self.let.is_set():
            ctx.sleep(0.01)
        return Fetched({"distro": "slow"}, "0" * 40)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def slow() -> SlowSource:
    return SlowSource()


@pytest.fixture
def slow_ref(slow: SlowSource) -> TemplateRef:
    return TemplateRef("repo", "slow", "1", 0.0, slow)


@pytest.fixture
def other_ctx() -> Iterator[TaskContext]:
    with TaskContext.root(Bus(), "other", run_id="o") as context:
        yield context


def names(store: Store) -> list[str]:
    return sorted(path.name for path in store.root.iterdir())


def ref_of(repository: Path, name: str = "el7") -> TemplateRef:
    return load_catalogue(str(repository)).find(name)


def test_an_image_comes_with_its_sidecars(ctx: TaskContext, store: Store, add_template: Add) -> None:
    store.fetch(ctx, ref_of(add_template("el7", b"x" * 1024)))
    assert names(store) == ["here:el7:1", "here:el7:1.hash", "here:el7:1.lock", "here:el7:1.metadata"]


def test_the_image_is_the_one_at_the_source(ctx: TaskContext, store: Store, add_template: Add) -> None:
    image = os.urandom(3 * MIB + 512)
    path = store.fetch(ctx, ref_of(add_template("el7", image)))
    assert (path.read_bytes(), path.with_name(path.name + ".hash").read_text()) == (image, hashlib.sha1(image).hexdigest())


def test_a_qcow2_stays_qcow2(ctx: TaskContext, store: Store, add_template: Add, qcow2: Path) -> None:
    path = store.fetch(ctx, ref_of(add_template("el7", qcow2.read_bytes())))
    assert probe(ctx, path).format == "qcow2"


def test_holes_stay_holes_and_count_in_the_hash(
    ctx: TaskContext, store: Store, add_template: Add, sparse_image: Path, tmp_path: Path
) -> None:
    ref = ref_of(add_template("el7", sparse_image.read_bytes()))
    sparse_image.replace(tmp_path / "source" / "el7-1.img")
    assert store.fetch(ctx, ref).stat().st_blocks * 512 < 2 * MIB


def test_nobody_may_write_an_image(ctx: TaskContext, store: Store, add_template: Add) -> None:
    assert store.fetch(ctx, ref_of(add_template("el7", b"x" * 512))).stat().st_mode & 0o777 == 0o444


def test_an_image_that_is_here_needs_no_source(ctx: TaskContext, store: Store, add_template: Add, tmp_path: Path) -> None:
    ref = ref_of(add_template("el7", b"x" * 512))
    path = store.fetch(ctx, ref)
    (tmp_path / "source" / "el7-1.img").unlink()
    assert store.fetch(ctx, ref) == path


def test_an_image_that_the_predecessor_put_there_is_found(ctx: TaskContext, store: Store, add_template: Add) -> None:
    store.root.mkdir()
    (store.root / "here:el7:1").write_bytes(b"converted to raw")
    assert store.fetch(ctx, ref_of(add_template("el7", b"x"))).read_bytes() == b"converted to raw"


def test_metadata_is_that_of_the_source(ctx: TaskContext, store: Store, add_template: Add) -> None:
    ref = ref_of(add_template("el7", b"x" * 512, metadata={"distro": "el7", "cloud-init": True}))
    store.fetch(ctx, ref)
    assert store.metadata(ref) == {"distro": "el7", "cloud-init": True}


def test_damaged_metadata_is_named(ctx: TaskContext, store: Store, add_template: Add) -> None:
    ref = ref_of(add_template("el7", b"x" * 512))
    path = store.fetch(ctx, ref)
    path.with_name(path.name + ".metadata").write_text("{")
    with pytest.raises(TemplateError, match=r"here:el7:1.metadata' cannot be read"):
        store.metadata(ref)


def test_the_listing_names_images_and_nothing_else(ctx: TaskContext, store: Store, add_template: Add) -> None:
    add_template("el7", b"x" * 8192, version="7.9")
    store.fetch(ctx, ref_of(add_template("el7", b"x" * 8192, version="7.10", timestamp=2)))
    (store.root / "notes").write_text("mine")
    (store.root / "here:el6:1.tmp").write_text("half")
    assert [(image.repo, image.name, image.version, image.size_bytes >= 8192) for image in store.listing()] == [
        ("here", "el7", "7.10", True)
    ]


def test_the_listing_of_no_store_is_empty(store: Store) -> None:
    assert store.listing() == ()


@pytest.mark.parametrize("metadata", ["[1]", "{"])
def test_a_source_with_damaged_metadata_keeps_nothing(
    ctx: TaskContext, store: Store, add_template: Add, tmp_path: Path, metadata: str
) -> None:
    ref = ref_of(add_template("el7", b"x" * 512))
    (tmp_path / "source" / "el7-1.img.metadata").write_text(metadata)
    with pytest.raises(TemplateError, match=r"el7-1.img.metadata"):
        store.fetch(ctx, ref)
    assert names(store) == ["here:el7:1.lock"]


def test_a_wrong_hash_keeps_nothing(ctx: TaskContext, store: Store, add_template: Add) -> None:
    with pytest.raises(HashMismatch):
        store.fetch(ctx, ref_of(add_template("el7", b"x" * 512, sha1="1" * 40)))
    assert names(store) == ["here:el7:1.lock"]


def test_an_image_that_stands_on_another_file_keeps_nothing(ctx: TaskContext, store: Store, add_template: Add, qcow2: Path) -> None:
    stranger = qcow2.with_name("stranger")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", stranger, "8M"], check=True, timeout=60)
    with pytest.raises(TemplateError, match=r"the image of 'here:el7:1' stands on another file, '/etc/passwd'"):
        store.fetch(ctx, ref_of(add_template("el7", stranger.read_bytes())))
    assert names(store) == ["here:el7:1.lock"]


def test_a_cancel_keeps_nothing(ctx: TaskContext, token: CancelToken, store: Store, slow: SlowSource, slow_ref: TemplateRef) -> None:
    threading.Thread(target=lambda: (slow.begun.wait(60), token.cancel()), daemon=True).start()
    with pytest.raises(Cancelled):
        store.fetch(ctx, slow_ref)
    assert names(store) == ["repo:slow:1.lock"]


def test_two_that_want_one_image_fetch_it_once(
    ctx: TaskContext, other_ctx: TaskContext, store: Store, slow: SlowSource, slow_ref: TemplateRef
) -> None:
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda c=c: paths.append(store.fetch(c, slow_ref))) for c in (ctx, other_ctx)]
    for thread in threads:
        thread.start()
    slow.begun.wait(60)
    slow.let.set()
    for thread in threads:
        thread.join(60)
    assert (paths, slow.calls) == ([store.path_of(slow_ref)] * 2, [1])


def test_whoever_waits_for_another_fetch_can_be_cancelled(
    ctx: TaskContext, token: CancelToken, other_ctx: TaskContext, store: Store, slow: SlowSource, slow_ref: TemplateRef
) -> None:
    first = threading.Thread(target=store.fetch, args=(other_ctx, slow_ref))
    first.start()
    slow.begun.wait(60)
    threading.Timer(0.1, token.cancel).start()
    with pytest.raises(Cancelled):
        store.fetch(ctx, slow_ref)
    slow.let.set()
    first.join(60)
    assert store.has(slow_ref)


def test_what_a_killed_run_left_is_cleared_away(ctx: TaskContext, store: Store, slow: SlowSource, slow_ref: TemplateRef) -> None:
    killed = subprocess.run([sys.executable, "-c", DIE, store.root], timeout=60, check=False, env=environment())
    assert killed.returncode == -signal.SIGKILL
    assert names(store) == [".repo:slow:1.tmp.partial", "repo:slow:1.lock", "repo:slow:1.tmp"]
    slow.let.set()
    store.fetch(ctx, slow_ref)
    assert names(store) == ["repo:slow:1", "repo:slow:1.hash", "repo:slow:1.lock", "repo:slow:1.metadata"]


def test_a_full_disk_keeps_nothing(run_on_small_disk: Callable[..., subprocess.CompletedProcess[str]], add_template: Add) -> None:
    done = run_on_small_disk(FETCH, add_template("el7", os.urandom(3 * MIB)), ".")
    assert (done.stdout, done.stderr) == ("DiskFull ['here:el7:1.lock']\n", "")


def test_a_store_that_cannot_be_made_says_how_to_choose_another(ctx: TaskContext, add_template: Add, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TemplateError, match=r"template store '.*' cannot be written") as caught:
        Store(tmp_path / "file" / "store").fetch(ctx, ref_of(add_template("el7", b"x")))
    assert "--template-store" in caught.value.hint


def test_progress_counts_the_bytes(ctx: TaskContext, store: Store, add_template: Add) -> None:
    events = ctx.bus.subscribe()
    store.fetch(ctx, ref_of(add_template("el7", b"x" * MIB)))
    last = [event for event in events.take() if isinstance(event, TaskProgress)][-1]
    assert (last.done, last.total, last.unit) == (MIB, MIB, "B")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_one_image_that_is_not_known_of_does_not_hide_the_others(store: Store) -> None:
    store.root.mkdir()
    for name in ("here:a:1", "here:b:1"):
        (store.root / name).write_bytes(b"x" * 512)
    (store.root / "here:a:1.metadata").write_text("{")
    listed = store.listing()
    assert ([image.name for image in listed], "remove the image" in listed[0].flaw, listed[1].flaw) == (["a", "b"], True, "")
