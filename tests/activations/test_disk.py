"""The store on disk goes on after whatever happened to it, and says what it cannot do."""

import contextlib
import errno
import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from tfxfer.activations import segments
from tfxfer.activations.disk import DiskStore
from tfxfer.activations.store import CacheFullError, DamagedRowsError
from tfxfer.errors import CacheError


@pytest.fixture
def filled(key, names, floats, tmp_path) -> pathlib.Path:
    """The folder of a store with 10 rows of 48 bytes, in two segments of 6 and 4."""
    for part in (slice(0, 6), slice(6, 10)):
        with DiskStore(key(), tmp_path) as store, store.filling(names(10)):
            store.append(names(10)[part], floats(10)[part])
    return tmp_path / key().digest


def flip(path: pathlib.Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_nothing_is_made_before_something_is_appended(key, names, tmp_path):
    with DiskStore(key(), tmp_path / "cache") as store:
        assert len(store.missing(names(3))) == 3
        assert (store.rows, store.bytes) == (0, 0)
    assert list(tmp_path.iterdir()) == []


def test_another_run_finds_the_rows_and_reads_plain_arrays(key, names, floats, filled, tmp_path):
    with DiskStore(key(), tmp_path) as store:
        assert store.missing(names(12)).tolist() == [10, 11]
        np.testing.assert_array_equal(store.gather(store.places(names(10))), floats(10))
    raw = (filled / "000001-00000.rows").read_bytes() + (filled / "000002-00000.rows").read_bytes()
    assert raw == floats(10).tobytes()
    said = json.loads((filled / "header.json").read_text())
    assert (said["key"]["network"], said["key"]["row_shape"]) == ("builtin:efficientnet_lite0", [2, 2, 3])


def test_the_range_of_uint8_is_that_of_the_first_filling_for_ever(key, names, tmp_path):
    first, later = np.array([[0.0], [10.0]], np.float32), np.array([[5.0], [99.0]], np.float32)
    for part, rows in ((slice(0, 2), first), (slice(2, 4), later)):
        with DiskStore(key((1,), "uint8"), tmp_path) as store, store.filling(names(4)):
            store.append(names(4)[part], rows)
    with DiskStore(key((1,), "uint8"), tmp_path) as store:
        read = store.encoding.decode(store.gather(store.places(names(4))))
    np.testing.assert_allclose(read[:, 0], [0, 10, 5, 10], atol=0.02)


def test_whatever_byte_was_the_last_to_be_written_the_rest_is_continued(key, names, floats, tmp_path):
    """All moments of a kill: the files grow in the order rows, records, rows, records. A row is 8 bytes."""
    rows = floats(6, 2)
    with DiskStore(key((2,)), tmp_path / "whole") as store, store.filling(names(6)):
        for part in (slice(0, 2), slice(2, 5)):
            store.append(names(6)[part], rows[part])
    whole = tmp_path / "whole" / store.key.digest
    size = segments.RECORD.itemsize
    moments = [(length, 0) for length in range(17)] + [(16, length) for length in range(1, 2 * size + 1)]
    moments += [(length, 2 * size) for length in range(17, 41)]
    moments += [(40, length) for length in range(2 * size + 1, 5 * size + 1)]
    for number, (written, recorded) in enumerate(moments):
        folder = tmp_path / str(number) / store.key.digest
        shutil.copytree(whole, folder)
        os.truncate(folder / "000001-00000.rows", written)
        os.truncate(folder / "000001.index", recorded)
        with DiskStore(store.key, folder.parent) as again:
            assert again.rows == recorded // size
            with again.filling(names(6)) as missing:
                assert missing.tolist() == list(range(recorded // size, 6))
                again.append(names(6)[missing], rows[missing])
            np.testing.assert_array_equal(again.gather(again.places(names(6))), rows)


@pytest.mark.parametrize("length", [0, 47, 100, 143])
def test_a_shard_that_is_shorter_than_its_index_lacks_just_those_rows(key, names, floats, filled, tmp_path, length):
    os.truncate(filled / "000001-00000.rows", length)
    with DiskStore(key(), tmp_path) as store:
        there = [*range(length // 48), *range(6, 10)]
        assert store.missing(names(10)).tolist() == list(range(length // 48, 6))
        np.testing.assert_array_equal(store.gather(store.places(names(10)[there])), floats(10)[there])


@pytest.mark.parametrize("name", ["000001-00000.rows", "000001.index"])
def test_a_file_that_is_gone_takes_its_rows_along(key, names, filled, tmp_path, name):
    (filled / name).unlink()
    with DiskStore(key(), tmp_path) as store:
        assert store.missing(names(10)).tolist() == list(range(6))


def test_bytes_behind_the_last_row_are_no_matter(key, names, floats, filled, tmp_path):
    for name in ("000002-00000.rows", "000002.index"):
        with open(filled / name, "ab") as stream:
            stream.write(b"torn")
    with DiskStore(key(), tmp_path) as store:
        np.testing.assert_array_equal(store.gather(store.places(names(10))), floats(10))


@pytest.mark.parametrize("position", [0, 2 * 48 + 17, 5 * 48 + 47])
def test_a_flipped_byte_is_found_and_only_its_row_computed_again(key, names, floats, filled, tmp_path, position):
    row = position // 48
    flip(filled / "000001-00000.rows", position)
    with DiskStore(key(), tmp_path) as store:
        places = store.places(names(10))
        with pytest.raises(DamagedRowsError, match="1 cached rows are damaged") as caught:
            store.gather(places)
        assert caught.value.places.tolist() == [places[row]]
        assert store.missing(names(10)).tolist() == [row]
        with pytest.raises(DamagedRowsError):
            store.gather(places[[row]])
    with DiskStore(key(), tmp_path) as store, store.filling(names(10)) as missing:
        assert missing.tolist() == [row]  # known without reading
        store.append(names(10)[missing], floats(10)[missing])
    with DiskStore(key(), tmp_path) as store:
        np.testing.assert_array_equal(store.gather(store.places(names(10))), floats(10))


def test_all_rows_can_be_checked_before_they_are_needed(key, names, filled, tmp_path, monkeypatch):
    monkeypatch.setattr("tfxfer.activations.store._CHECKED_AT_ONCE", 100)
    flip(filled / "000001-00000.rows", 50)
    flip(filled / "000002-00000.rows", 3 * 48)
    with DiskStore(key(), tmp_path) as store:
        places = store.places(names(10))
        assert sorted(store.damaged(places)) == [places[1], places[9]]
        assert store.missing(names(10)).tolist() == [1, 9]
        assert store.damaged(places[[0, 2]]).tolist() == []


@pytest.mark.parametrize("position", [0, 15, 16, 23])
def test_a_flipped_byte_of_the_index_costs_a_row_at_most(key, names, floats, filled, tmp_path, position):
    """In the fingerprint the row is not found, in the checksum it seems damaged."""
    flip(filled / "000001.index", 3 * segments.RECORD.itemsize + position)
    with DiskStore(key(), tmp_path) as store:
        found = np.setdiff1d(np.arange(10), store.missing(names(10)))
        store.damaged(store.places(names(10)[found]))
        assert store.missing(names(10)).tolist() == [3]
        others = np.delete(np.arange(10), 3)
        np.testing.assert_array_equal(store.gather(store.places(names(10)[others])), floats(10)[others])


def test_records_in_each_other_s_place_are_found(key, names, filled, tmp_path):
    """Or else an example would get the activations of another."""
    records = np.fromfile(filled / "000001.index", segments.RECORD)
    records["fingerprint"][[1, 4]] = records["fingerprint"][[4, 1]]
    records.tofile(filled / "000001.index")
    with DiskStore(key(), tmp_path) as store:
        store.damaged(store.places(names(10)))
        assert store.missing(names(10)).tolist() == [1, 4]


@pytest.mark.parametrize("is_gone", [True, False])
def test_of_many_shards_one_that_is_cut_or_gone_lacks_just_its_rows(key, names, floats, tmp_path, monkeypatch, is_gone):
    monkeypatch.setattr(segments, "_SHARD_BYTES", 3 * 48)
    with DiskStore(key(), tmp_path) as store, store.filling(names(10)):
        store.append(names(10), floats(10))
    shard = store.folder / "000001-00001.rows"
    if is_gone:
        shard.unlink()
    else:
        os.truncate(shard, 48 + 47)
    with DiskStore(key(), tmp_path) as store:
        missing = store.missing(names(10))
        assert missing.tolist() == [3, 4, 5][not is_gone :]
        there = np.setdiff1d(np.arange(10), missing)
        np.testing.assert_array_equal(store.gather(store.places(names(10)[there])), floats(10)[there])


def test_an_index_of_absurd_length_is_read_as_far_as_there_are_rows(key, names, filled, tmp_path):
    os.truncate(filled / "000001.index", 1 << 40)
    (filled / "000001.damaged").touch()
    os.truncate(filled / "000001.damaged", 1 << 40)  # zeros: the row 0, again and again
    with DiskStore(key(), tmp_path) as store:
        assert store.missing(names(10)).tolist() == [0]
        assert len(store._table) == 10
        store.gather(store.places(names(10)[1:]))


def test_a_record_is_written_after_its_row(key, names, floats, tmp_path, monkeypatch):
    """Whatever moment a kill takes: no record is there without its row."""
    real, seen = os.write, []

    def write(handle, data):
        written = real(handle, data[: 1 + len(data) // 2])  # as the system may, not all at once
        rows, records = (sum(path.stat().st_size for path in tmp_path.rglob(form)) for form in ("*.rows", "*.index"))
        seen.append((rows // 48, records // segments.RECORD.itemsize))
        return written

    monkeypatch.setattr(os, "write", write)
    with DiskStore(key(), tmp_path) as store, store.filling(names(9)):
        for part in (slice(0, 3), slice(3, 9)):
            store.append(names(9)[part], floats(9)[part])
    assert seen[-1] == (9, 9)
    assert all(rows >= records for rows, records in seen)


def test_files_of_absurd_length_cost_the_memory_of_one_shard(key, filled, tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "_MOST_ROWS", 100)
    os.truncate(filled / "000001.index", 1 << 40)
    os.truncate(filled / "000001-00000.rows", 1 << 40)
    with DiskStore(key(), tmp_path) as store:
        assert len(store._table) <= 104


@pytest.mark.parametrize("name", ["000001-00000.rows", "000001.index", "000001.damaged", "header.json"])
def test_a_link_is_not_followed(key, names, filled, tmp_path, name):
    (filled / "000001.damaged").write_bytes(bytes(8))
    (filled / name).rename(tmp_path / "outside")
    (filled / name).symlink_to(tmp_path / "outside")
    if name == "header.json":
        with pytest.raises(CacheError, match=r"header\.json cannot be read"):
            DiskStore(key(), tmp_path)
        return
    with DiskStore(key(), tmp_path) as store:
        missing = store.missing(names(10)).tolist()
    assert missing == ([] if name == "000001.damaged" else list(range(6)))


def test_links_and_pipes_in_the_folder_are_not_followed(key, names, filled, tmp_path):
    secret = tmp_path / "secret"
    (filled / "000001-00000.rows").rename(secret)
    (filled / "000001-00000.rows").symlink_to(secret)
    (filled / "000002.index").unlink()
    os.mkfifo(filled / "000002.index")
    with DiskStore(key(), tmp_path) as store:
        assert len(store.missing(names(10))) == 10


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_stands_in_the_folder_s_place_is_refused(key, filled, tmp_path, kind):
    filled.rename(tmp_path / "elsewhere")
    if kind == "link":
        filled.symlink_to(tmp_path / "elsewhere")
    else:
        filled.touch()
    with pytest.raises(CacheError, match="is no folder, or a link to one"):
        DiskStore(key(), tmp_path)


HEADERS = {
    "no JSON": "{",
    "deep": "[" * 100_000,
    "long": " " * (5 << 20),
    "a number of many digits": '{"made_by": ' + "9" * 10_000 + "}",
    "a list": "[]",
    "strange bytes": "\udcff",
}


@pytest.mark.parametrize("text", HEADERS.values(), ids=list(HEADERS))
def test_a_header_that_is_none_is_refused(key, filled, tmp_path, text):
    (filled / "header.json").write_text(text, errors="surrogateescape")
    with pytest.raises(CacheError, match=r"header\.json is damaged .*Remove the folder"):
        DiskStore(key(), tmp_path)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("key", "row_shape", [10**15, 10**15]),
        ("key", "row_shape", []),
        ("key", "precision", "float8"),
        ("key", "network", "keras:VGG16"),
        ("encoding", "precision", "float16"),
        ("encoding", "scale", [1.0]),
    ],
)
def test_a_header_that_says_something_else_is_refused(key, filled, tmp_path, part, field, value):
    said = json.loads((filled / "header.json").read_text())
    said[part][field] = value
    (filled / "header.json").write_text(json.dumps(said))
    with pytest.raises(CacheError, match=r"header\.json is damaged"):
        DiskStore(key(), tmp_path)


def test_two_stores_at_once_of_which_one_fills(key, names, floats, tmp_path):
    """In one process here; `test_processes` has two."""
    with DiskStore(key(), tmp_path) as writer, DiskStore(key(), tmp_path) as reader:
        with writer.filling(names(9)):
            writer.append(names(4), floats(4))
            with DiskStore(key(), tmp_path) as third:  # sees what is finished
                np.testing.assert_array_equal(third.gather(third.places(names(4))), floats(4))
            writer.append(names(9)[4:], floats(5))
        with reader.filling(names(10)) as missing:
            assert missing.tolist() == [9]
            reader.append(names(10)[missing], floats(1))
        with writer.filling(names(11)) as missing:
            assert missing.tolist() == [10]
        np.testing.assert_array_equal(writer.gather(writer.places(names(10)[9:])), floats(1))
        assert writer.rows == reader.rows == 10


@pytest.fixture
def read_only(monkeypatch):
    """Makes whatever opens a file for writing fail, as on a medium that cannot be written."""

    def refuse(number: int) -> None:
        real, real_mkdir = os.open, os.mkdir

        def opened(path, flags, *rest, **settings):
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                raise OSError(number, os.strerror(number), os.fspath(path))
            return real(path, flags, *rest, **settings)

        def made(path, *rest, **settings):
            with contextlib.suppress(OSError):
                os.lstat(path)
                return real_mkdir(path, *rest, **settings)
            raise OSError(number, os.strerror(number), os.fspath(path))

        monkeypatch.setattr(os, "open", opened)
        monkeypatch.setattr(os, "mkdir", made)
        monkeypatch.setattr(os, "utime", lambda *_, **__: opened("header.json", os.O_WRONLY))

    return refuse


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("has_locks", [True, False])
def test_a_read_only_folder_gives_what_it_has_and_says_what_to_do(
    key, names, floats, filled, tmp_path, read_only, number, has_locks
):
    """As root no permission is refused, so the fault is planted in `os.open`."""
    flip(filled / "000001-00000.rows", 0)
    if not has_locks:
        (filled / "in_use.lock").unlink()
        (filled / "filling.lock").unlink()
    read_only(number)
    with DiskStore(key(), tmp_path) as store:
        np.testing.assert_array_equal(store.gather(store.places(names(10)[1:])), floats(10)[1:])
        with store.filling(names(10)[1:]) as missing:
            assert len(missing) == 0
        assert len(store.damaged(store.places(names(10)))) == 1
        with (
            pytest.raises(CacheError, match=r"cannot be written \(.*\)\. Set TFXFER_CACHE_DIR to a folder"),
            store.filling(names(10)),
        ):
            pass
        np.testing.assert_array_equal(store.gather(store.places(names(10)[1:])), floats(10)[1:])


def test_a_root_that_cannot_be_made_says_what_to_do(key, names, tmp_path, read_only):
    read_only(errno.EROFS)
    with (
        DiskStore(key(), tmp_path / "cache") as store,
        pytest.raises(CacheError, match="Set TFXFER_CACHE_DIR"),
        store.filling(names(1)),
    ):
        pass


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("room", [0, 47, 48, 100, 48 * 4, 48 * 4 + 1, 48 * 4 + 33, 48 * 4 + 95])
def test_a_full_disk_takes_back_what_was_being_appended(
    key, names, floats, filled, tmp_path, monkeypatch, number, room
):
    """After so many more bytes the disk is full: in the rows, and in their records."""
    real, left = os.write, [room]

    def write(handle, data):
        if not left[0]:
            raise OSError(number, os.strerror(number))
        written = real(handle, data[: left[0]])
        left[0] -= written
        return written

    with DiskStore(key(), tmp_path) as store:
        with store.filling(names(16)):
            store.append(names(16)[10:12], floats(16)[10:12])
            before = {place.name: place.stat().st_size for place in filled.iterdir()}
            monkeypatch.setattr(os, "write", write)
            with pytest.raises(CacheFullError, match=r"is full .* tfxfer cache prune, or set TFXFER_CACHE_DIR"):
                store.append(names(16)[12:], floats(16)[12:])
            monkeypatch.undo()
            assert {place.name: place.stat().st_size for place in filled.iterdir()} == before
        assert store.missing(names(16)).tolist() == [12, 13, 14, 15]
        np.testing.assert_array_equal(store.gather(store.places(names(10))), floats(10))
        with store.filling(names(16)) as missing:  # there is room again
            store.append(names(16)[missing], floats(16)[missing])
        assert store.rows == 16
    with DiskStore(key(), tmp_path) as store:
        np.testing.assert_array_equal(store.gather(store.places(names(16)[10:])), floats(16)[10:])


def test_a_disk_that_is_full_at_the_first_byte_of_the_header(key, names, floats, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with DiskStore(key(), tmp_path) as store, store.filling(names(3)):
        monkeypatch.setattr("tempfile.mkstemp", fail)
        with pytest.raises(CacheFullError, match="No space left on device"):
            store.append(names(3), floats(3))
        monkeypatch.undo()
        store.append(names(3), floats(3))
        np.testing.assert_array_equal(store.gather(store.places(names(3))), floats(3))


def test_what_is_free_on_the_disk_is_looked_at_before(key, names, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1000, 900, 100))
    with (
        DiskStore(key(), tmp_path) as store,
        pytest.raises(CacheFullError, match="100 B are free there"),
        store.filling(names(3)),
    ):
        pass


def test_an_interrupt_while_appending_takes_back_what_was_being_appended(key, names, floats, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with DiskStore(key(), tmp_path) as store:
        with store.filling(names(5)):
            store.append(names(2), floats(2))
            monkeypatch.setattr(segments.os, "write", interrupted)
            with pytest.raises(KeyboardInterrupt):
                store.append(names(5)[2:], floats(3))
            monkeypatch.undo()
            store.append(names(5)[3:], floats(5)[3:])
        assert store.missing(names(5)).tolist() == [2]
        np.testing.assert_array_equal(store.gather(store.places(names(5)[3:])), floats(5)[3:])


def test_memory_does_not_hold_the_rows(key, names, tmp_path):
    """50 MB of rows, read twice; what the system maps from the file it can take back."""

    def anonymous() -> int:
        lines = pathlib.Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))

    shape, count = (5000,), 5000
    with DiskStore(key(shape, "float16"), tmp_path) as store:
        with store.filling(names(count)) as missing:
            for start in range(0, count, 100):
                some = missing[start : start + 100]
                store.append(names(count)[some], np.full((100, *shape), start, np.float16))
        before = anonymous()
        places = np.random.default_rng(0).permutation(store.places(names(count)))
        for start in range(0, 2 * count, 50):
            store.gather(places[start % count :][:50])
        assert store.bytes == 50_000_000
        assert anonymous() - before < 5_000_000
