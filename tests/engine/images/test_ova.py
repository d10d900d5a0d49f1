"""OVA archives: what they say, and that nothing in a hostile one reaches beyond the disk that it brings."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.context import CancelToken, TaskContext
from engine.errors import Cancelled, TemplateError
from engine.images.ova import MAX_MEMBERS, ArchivedDisk, extract, look_into
from engine.images.ovf import read_ovf

NAMESPACES = (
    'xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"'
)
CPU = (
    "<Item><rasd:ResourceType>3</rasd:ResourceType><rasd:num_of_sockets>2</rasd:num_of_sockets>"
    "<rasd:cpu_per_socket>3</rasd:cpu_per_socket></Item>"
)
DISK_PLACE = "group-1/volume-1"
OVF_NAME = "master/vms/vm-1/vm-1.ovf"
DISK_NAME = f"images/{DISK_PLACE}"


def memory(quantity: str = "1024", units: str = "MegaBytes") -> str:
    return (
        f"<Item><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>{quantity}</rasd:VirtualQuantity>"
        f"<rasd:AllocationUnits>{units}</rasd:AllocationUnits></Item>"
    )


def disk(place: str = DISK_PLACE) -> str:
    return f"<Item><rasd:ResourceType>17</rasd:ResourceType><rasd:HostResource>{place}</rasd:HostResource></Item>"


def ovf(*items: str, before: str = "", sections: int = 1) -> bytes:
    """Return a description as oVirt writes it."""
    section = f'<Section xsi:type="ovf:VirtualHardwareSection_Type">{"".join(items)}</Section>'
    return f'<?xml version="1.0"?>{before}<ovf:Envelope {NAMESPACES}><Content>{section * sections}</Content></ovf:Envelope>'.encode()


WHOLE = ovf(CPU, memory(), disk())


@pytest.fixture
def image(tmp_path: Path) -> bytes:
    """A small qcow2 image."""
    path = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "8M"], check=True, timeout=30)
    return path.read_bytes()


Pack = Callable[..., Path]


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Write an archive of (name or member, content) pairs."""

    def make(*files: tuple[str | tarfile.TarInfo, bytes]) -> Path:
        path = tmp_path / "machine.ova"
        with tarfile.open(path, "w") as tar:
            for name, content in files:
                member = tarfile.TarInfo(name) if isinstance(name, str) else name
                if member.isreg():
                    member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return path

    return make


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


# what is read


def test_an_export_is_read(ctx: TaskContext, pack: Pack, image: bytes) -> None:
    found = look_into(ctx, pack((OVF_NAME, WHOLE), (DISK_NAME, image)))
    assert (found.memory_mib, found.vcpu, found.disks) == (1024, 6, (ArchivedDisk("volume-1", DISK_NAME),))


def test_an_export_below_a_folder_is_read(ctx: TaskContext, pack: Pack, image: bytes) -> None:
    found = look_into(ctx, pack((f"./dom/{OVF_NAME}", WHOLE), (f"./dom/{DISK_NAME}", image)))
    assert found.disks[0].member == f"dom/{DISK_NAME}"


def test_an_archive_as_the_standard_has_it_is_read(ctx: TaskContext, pack: Pack, image: bytes) -> None:
    text = (
        f"<Envelope {NAMESPACES}><References><File ovf:id='f1' ovf:href='disk1.qcow2'/></References>"
        "<DiskSection><Disk ovf:diskId='d1' ovf:fileRef='f1'/></DiskSection><VirtualSystem><VirtualHardwareSection>"
        "<Item><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>"
        f"{memory('2', 'byte * 2^30')}{disk('ovf:/disk/d1')}</VirtualHardwareSection></VirtualSystem></Envelope>"
    )
    found = look_into(ctx, pack(("vm.ovf", text.encode()), ("disk1.qcow2", image)))
    assert (found.memory_mib, found.vcpu, found.disks) == (2048, 2, (ArchivedDisk("disk1.qcow2", "disk1.qcow2"),))


def test_a_gzipped_archive_is_read(ctx: TaskContext, pack: Pack, image: bytes, tmp_path: Path) -> None:
    path = pack((OVF_NAME, WHOLE), (DISK_NAME, image))
    path.write_bytes(gzip.compress(path.read_bytes()))
    extract(ctx, path, {DISK_NAME: str(tmp_path / "out")})
    assert (tmp_path / "out").read_bytes() == image


def test_disks_of_one_name_are_told_apart(ctx: TaskContext, pack: Pack, image: bytes) -> None:
    found = look_into(ctx, pack((OVF_NAME, ovf(disk("a/root"), disk("b/root"))), ("images/a/root", image), ("images/b/root", image)))
    assert [each.name for each in found.disks] == ["root-0", "root-1"]


@pytest.mark.parametrize(
    ("quantity", "units", "mib"),
    [
        ("512", "MegaBytes", 512),
        ("512", "", 512),
        ("2", "GigaBytes", 2048),
        ("1048576", "KiloBytes", 1024),
        ("536870912", "bytes", 512),
        ("3", "byte * 2^30", 3072),
        ("512", "byte*2^20", 512),
    ],
)
def test_memory_is_read_in_every_unit(quantity: str, units: str, mib: int) -> None:
    assert read_ovf(ovf(memory(quantity, units)), "x").memory_mib == mib


# what is taken out


def test_the_disk_is_taken_out_whole_and_read_only(ctx: TaskContext, pack: Pack, image: bytes, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    extract(ctx, pack((OVF_NAME, WHOLE), (DISK_NAME, image), ("notes.txt", b"x")), {DISK_NAME: str(out / "disk")})
    assert [path.name for path in out.iterdir()] == ["disk"]
    assert ((out / "disk").read_bytes(), (out / "disk").stat().st_mode & 0o777) == (image, 0o444)


def test_zeros_take_no_room(ctx: TaskContext, pack: Pack, tmp_path: Path) -> None:
    extract(ctx, pack((OVF_NAME, WHOLE), (DISK_NAME, bytes(16 * 1024 * 1024))), {DISK_NAME: str(tmp_path / "out")})
    about = (tmp_path / "out").stat()
    assert (about.st_size, about.st_blocks * 512 < 1024 * 1024) == (16 * 1024 * 1024, True)


def test_a_cancel_stops_and_leaves_nothing(ctx: TaskContext, token: CancelToken, pack: Pack, image: bytes, tmp_path: Path) -> None:
    path = pack((OVF_NAME, WHOLE), (DISK_NAME, image))
    token.cancel()
    with pytest.raises(Cancelled):
        extract(ctx, path, {DISK_NAME: str(tmp_path / "out")})
    assert not (tmp_path / "out").exists()


def test_a_disk_that_stands_on_a_file_of_this_machine_is_refused(ctx: TaskContext, pack: Pack, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", layer, "8M"], check=True, timeout=30)
    with pytest.raises(TemplateError, match="stands on another file"):
        extract(ctx, pack((OVF_NAME, WHOLE), (DISK_NAME, layer.read_bytes())), {DISK_NAME: str(tmp_path / "out")})
    assert not (tmp_path / "out").exists()


def test_a_disk_that_keeps_its_data_elsewhere_is_refused(ctx: TaskContext, pack: Pack, image: bytes, tmp_path: Path) -> None:
    hostile = bytearray(image)
    hostile[79] |= 1 << 2
    with pytest.raises(TemplateError, match="data in another file"):
        extract(ctx, pack((OVF_NAME, WHOLE), (DISK_NAME, bytes(hostile))), {DISK_NAME: str(tmp_path / "out")})


# what is refused

OUTSIDE = ("/etc/passwd", "../x", "images/../../x", "a/../../../etc/cron.d/x")
SPECIAL = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_lead_out_are_refused(ctx: TaskContext, pack: Pack, image: bytes, name: str) -> None:
    with pytest.raises(TemplateError, match="leads out of it"):
        look_into(ctx, pack((OVF_NAME, WHOLE), (DISK_NAME, image), (name, b"x")))


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", [OVF_NAME, DISK_NAME])
def test_links_and_devices_are_refused(ctx: TaskContext, pack: Pack, image: bytes, name: str, kind: bytes) -> None:
    files = {OVF_NAME: WHOLE, DISK_NAME: image, name: b""}
    members = [(special(name, kind, "/etc/passwd") if each == name else each, content) for each, content in files.items()]
    with pytest.raises(TemplateError, match="no plain file"):
        look_into(ctx, pack(*members))


@pytest.mark.parametrize("place", ["../../etc/passwd", "/etc/passwd", "a/../../../x", "absent/volume"])
def test_a_description_cannot_point_out_of_the_archive(ctx: TaskContext, pack: Pack, image: bytes, place: str) -> None:
    with pytest.raises(TemplateError, match="is not in it"):
        look_into(ctx, pack((OVF_NAME, ovf(disk(place))), (DISK_NAME, image)))


@pytest.mark.parametrize("names", [(), (OVF_NAME, "master/vms/vm-2/vm-2.ovf")])
def test_exactly_one_description_is_taken(ctx: TaskContext, pack: Pack, names: tuple[str, ...]) -> None:
    with pytest.raises(TemplateError, match=rf"holds {len(names)} descriptions"):
        look_into(ctx, pack(*((name, WHOLE) for name in names)))


def test_a_file_that_is_there_twice_is_refused(ctx: TaskContext, pack: Pack, image: bytes) -> None:
    with pytest.raises(TemplateError, match="twice"):
        look_into(ctx, pack((OVF_NAME, WHOLE), (DISK_NAME, image), (DISK_NAME, b"other")))


def test_endless_archives_are_refused(ctx: TaskContext, pack: Pack) -> None:
    with pytest.raises(TemplateError, match="more than"):
        look_into(ctx, pack(*((f"f{number}", b"") for number in range(MAX_MEMBERS + 1))))


def test_a_huge_header_is_not_taken_into_memory(ctx: TaskContext, tmp_path: Path) -> None:
    long_name = tarfile.TarInfo("././@LongLink")
    long_name.type, long_name.size = tarfile.GNUTYPE_LONGNAME, 2 * 1024**3
    path = tmp_path / "huge.ova"
    path.write_bytes(long_name.tobuf(tarfile.GNU_FORMAT))
    with path.open("r+b") as file:
        file.truncate(3 * 1024**3)
    with pytest.raises(TemplateError, match="no archive that can be read"):
        look_into(ctx, path)


@pytest.mark.parametrize("kept", [0, 100, 512, 3000])
def test_an_archive_that_is_cut_short_is_refused(ctx: TaskContext, pack: Pack, image: bytes, kept: int) -> None:
    path = pack((DISK_NAME, image), (OVF_NAME, WHOLE))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(TemplateError):
        look_into(ctx, path)


def test_a_disk_that_is_cut_short_is_refused(ctx: TaskContext, pack: Pack, image: bytes, tmp_path: Path) -> None:
    path = pack((OVF_NAME, WHOLE), (DISK_NAME, image))
    with path.open("r+b") as file:
        file.truncate(len(WHOLE) + 4096)
    with pytest.raises(TemplateError):
        extract(ctx, path, {DISK_NAME: str(tmp_path / "out")})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b no gzip", b"\x1f\x8b\x08\x00" + bytes(20), bytes(10_240)])
def test_what_is_no_archive_is_refused(ctx: TaskContext, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.ova"
    path.write_bytes(content)
    with pytest.raises(TemplateError):
        look_into(ctx, path)


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo"])
def test_an_archive_that_is_no_file_is_refused(ctx: TaskContext, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.ova"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        subprocess.run(["mkfifo", path], check=True)
    with pytest.raises(TemplateError):
        look_into(ctx, path)


HOSTILE_XML = {
    "no xml": b"hello",
    "nothing": b"",
    "cut": WHOLE[:-20],
    "outside entity": ovf(memory("&x;"), before='<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/hostname">]>'),
    "laughs": ovf(memory("&b;"), before='<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'),
    "outside dtd": ovf(memory(), before='<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">'),
    "no machine": ovf(sections=0),
    "two machines": ovf(CPU, sections=2),
    "no number": ovf(memory("many")),
    "negative": ovf(memory("-1")),
    "other digits": ovf(memory("١٢٨")),
    "huge": ovf(memory("9" * 15)),
    "endless number": ovf(memory("9" * 5000)),
    "no memory": ovf(memory("0")),
    "unknown unit": ovf(memory("1", "furlongs")),
    "unit that explodes": ovf(memory("1", "byte * 2^999999999")),
    "no cpus": ovf(CPU.replace("<rasd:num_of_sockets>2", "<rasd:num_of_sockets>0")),
    "too many cpus": ovf(CPU.replace("<rasd:num_of_sockets>2", "<rasd:num_of_sockets>9999")),
    "disk nowhere": ovf(disk("ovf:/disk/absent")),
    "disk without a place": ovf(disk("")),
    "too many disks": ovf(disk() * 30),
    "deep": b"<a>" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE_XML)
def test_hostile_descriptions_are_refused(name: str) -> None:
    with pytest.raises(TemplateError, match=r"vm\.ovf"):
        read_ovf(HOSTILE_XML[name], "vm.ovf")


def test_a_description_that_is_too_long_is_refused(ctx: TaskContext, pack: Pack) -> None:
    with pytest.raises(TemplateError, match="bytes long"):
        look_into(ctx, pack((OVF_NAME, b"<a>" + bytes(9 * 1024 * 1024))))
