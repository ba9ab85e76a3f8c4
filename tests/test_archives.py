"""Archives made by hand: honest ones unpack, hostile and damaged ones leave nothing."""

import gzip
import io
import pathlib
import stat
import tarfile
import zipfile

import pytest

from tfxfer import archives
from tfxfer.errors import BackboneError

FILES = {"model/variables/a": b"one", "model/b": b"", "top": b"x" * 3000}


def tar(path: pathlib.Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> pathlib.Path:
    with tarfile.open(path, mode) as out:
        for info, content in members:
            info.size = len(content) or info.size
            out.addfile(info, io.BytesIO(content))
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zipped(path: pathlib.Path, *members: tuple[zipfile.ZipInfo | str, bytes], packed: bool = False) -> pathlib.Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as out:
        for name, content in members:
            out.writestr(name, content)
    return path


def honest(folder: pathlib.Path, kind: str) -> pathlib.Path:
    path = folder / f"archive{kind}"
    if kind == ".zip":
        return zipped(path, ("model/", b""), *FILES.items(), packed=True)
    members = [(entry("./model", tarfile.DIRTYPE), b""), *((entry(f"./{name}"), FILES[name]) for name in FILES)]
    return tar(path, *members, mode="w" if kind == ".tar" else "w:gz")


KINDS = (".tar", ".tar.gz", ".tgz", ".zip")


@pytest.fixture
def place(tmp_path) -> pathlib.Path:
    return tmp_path / "new" / "folder"


def refusal(archive: pathlib.Path, place: pathlib.Path, **limits) -> str:
    """Returns the message, after making sure that nothing is left."""
    with pytest.raises(BackboneError) as caught:
        archives.unpack(archive, place, **limits)
    assert not place.exists()
    assert not place.parent.exists() or not list(place.parent.iterdir())
    assert str(archive) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_honest_archives_unpack_whatever_they_are_called(tmp_path, place, kind):
    archives.unpack(honest(tmp_path, kind).rename(tmp_path / "download"), place)
    found = {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert found == FILES


NAMES = {
    "../up": "leads out",
    "model/../../up": "leads out",
    "/etc/passwd": "leads out",
    "C:/windows": "leads out",
    "C:windows": "leads out",
    "//server/share": "leads out",
    "model\\..\\up": "leads out",
    "new\nline": "is no name",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_out(tmp_path, place, name):
    kinds = [tar(tmp_path / "a.tar", (entry("ok"), b"1"), (entry(name), b"2"))]
    kinds.append(tar(tmp_path / "a.tgz", (entry("ok"), b"1"), (entry(name), b"2"), mode="w:gz"))
    kinds.append(zipped(tmp_path / "a.zip", ("ok", b"1"), (name, b"2")))
    for archive in kinds:
        assert NAMES[name] in refusal(archive, place)
        assert {path.name for path in tmp_path.iterdir()} <= {"a.tar", "a.tgz", "a.zip", "new"}
    with pytest.raises(BackboneError, match=NAMES[name]):
        archives.check_zip(tmp_path / "a.zip")


def test_folders_that_lead_out(tmp_path, place):
    assert "'../up' leads out" in refusal(tar(tmp_path / "a.tar", (entry("../up", tarfile.DIRTYPE), b"")), place)
    assert "'../up/' leads out" in refusal(zipped(tmp_path / "a.zip", ("../up/", b"")), place)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"]
)
def test_links_and_devices_in_a_tar(tmp_path, place, kind):
    """The last is of no kind that is known."""
    archive = tar(tmp_path / "a.tar", (entry("ok"), b"1"), (entry("inner", kind, link="ok"), b""))
    assert "'inner' is a link or device" in refusal(archive, place)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip(tmp_path, place, kind):
    info = zipfile.ZipInfo("inner")
    info.external_attr = (kind | 0o644) << 16
    assert "'inner' is a link or device" in refusal(zipped(tmp_path / "a.zip", (info, b"/etc/passwd")), place)


@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("a", "a/b"), ("a/b", "a"), ("d/a", "d//a")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_are_there_twice(tmp_path, place, names):
    assert "is there twice" in refusal(tar(tmp_path / "a.tar", *((entry(name), b"1") for name in names)), place)
    assert "is there twice" in refusal(zipped(tmp_path / "a.zip", *((name, b"1") for name in names)), place)


@pytest.mark.parametrize("kind", KINDS)
def test_the_limits(tmp_path, place, kind):
    archive = honest(tmp_path, kind)
    assert "it unpacks to more than 3002 bytes" in refusal(archive, place, most_bytes=3002)
    assert "it has more than 3 members" in refusal(archive, place, most_members=3)
    archives.unpack(archive, place, most_bytes=3003, most_members=4)


def test_a_gzip_bomb_in_the_headers(tmp_path, place):
    """A long name is read into memory at once; no file counts its bytes."""
    info = entry("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    archive = tar(tmp_path / "a.tgz", (info, b"a" * (3 << 20)), mode="w:gz")
    assert archive.stat().st_size < 20_000
    assert "(a header of 3145728 bytes)" in refusal(archive, place)


def test_a_gzip_bomb_behind_the_end(tmp_path, place):
    content = tar(tmp_path / "a.tar", (entry("ok"), b"1")).read_bytes()
    archive = tmp_path / "a.tgz"
    archive.write_bytes(gzip.compress(content + bytes(4 << 20)))
    assert "it unpacks to more than 1000 bytes" in refusal(archive, place, most_bytes=1000, most_members=10)


def test_a_zip_that_lies_about_the_size_of_a_member(tmp_path, place):
    """The list says 10 bytes where 3,000 unpack: no more than 10 are given, and the checksum is wrong."""
    archive = zipped(tmp_path / "a.zip", ("bomb", b"x" * 3000), packed=True)
    archive.write_bytes(archive.read_bytes().replace((3000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    assert "Bad CRC-32" in refusal(archive, place, most_bytes=2000)


def test_members_that_share_bytes(tmp_path, place):
    """The list names one place twice: by that, small files unpack to petabytes."""
    archive = zipped(tmp_path / "a.zip", ("1", b"x" * 500), ("2", b"x" * 500))
    content = bytearray(archive.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = bytes(4)
    archive.write_bytes(content)
    assert "overlaps what follows it" in refusal(archive, place)
    with pytest.raises(BackboneError, match="overlaps what follows it"):
        archives.check_zip(archive)


def test_an_encrypted_zip(tmp_path, place):
    archive = zipped(tmp_path / "a.zip", ("secret", b"1"))
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    assert "'secret' is encrypted" in refusal(archive, place)


def test_other_ways_to_compress(tmp_path, place):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as out:
        out.writestr("a", b"1" * 100)
    assert "is compressed by method 14" in refusal(path, place)


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_cut_at_any_length(tmp_path, place, kind):
    archive = honest(tmp_path, kind)
    whole = archive.read_bytes().rstrip(b"\0") if kind == ".tar" else archive.read_bytes()
    for length in {*range(0, len(whole), max(1, len(whole) // 50)), len(whole) - 1}:
        archive.write_bytes(whole[:length])
        assert "is truncated, damaged or no archive (" in refusal(archive, place)


def test_a_tar_cut_between_two_members(tmp_path, place):
    """Without a mark at its end, where the standard library would say nothing."""
    archive = tar(tmp_path / "a.tar", (entry("1"), b"1"), (entry("2"), b"2"))
    content = archive.read_bytes()
    archive.write_bytes(content[:1024])
    assert "it ends in the middle" in refusal(archive, place)
    archive.write_bytes(content[:1024] + b"damaged" + content[1031:])
    assert "it ends in the middle" in refusal(archive, place)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>" * 100, b"\x1f\x8b", b"PK\x03\x04"])
def test_files_that_are_no_archive(tmp_path, place, content):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    assert "is truncated, damaged or no archive (" in refusal(path, place)


def test_a_file_that_is_missing(tmp_path, place):
    assert "there is no file" in refusal(tmp_path / "none.zip", place)
    with pytest.raises(BackboneError, match="there is no file"):
        archives.check_zip(tmp_path / "none.keras")


def test_a_folder_that_exists_is_left_alone(tmp_path):
    place = tmp_path / "folder"
    place.mkdir()
    with pytest.raises(BackboneError, match="exists and is not overwritten"):
        archives.unpack(honest(tmp_path, ".zip"), place)
    assert list(place.iterdir()) == []


def test_the_files_of_a_zip_that_is_read_in_place(tmp_path):
    archive = honest(tmp_path, ".zip")
    assert {info.filename: info.file_size for info in archives.check_zip(archive)} == {
        name: len(content) for name, content in FILES.items()
    }
    with pytest.raises(BackboneError, match="more than 3002 bytes"):
        archives.check_zip(archive, most_bytes=3002)
    with pytest.raises(BackboneError, match="more than 3 members"):
        archives.check_zip(archive, most_members=3)
