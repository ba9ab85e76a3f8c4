"""Stores are listed by what they hold; only what is ours, and in nobody's use, is removed."""

import fcntl
import os
import pathlib
import time

import pytest

from tfxfer.activations import inventory
from tfxfer.activations.disk import DiskStore
from tfxfer.display import size_text

NETWORKS = ("keras:VGG16", "builtin:efficientnet_lite0", "hub:mobilenet")


@pytest.fixture
def three(key, names, floats, tmp_path) -> list[pathlib.Path]:
    """Folders of three stores, last used 30, 20 and 10 days ago, of 1,000 to 3,000 bytes of rows and some more."""
    folders = []
    for number, network in enumerate(NETWORKS):
        count = 125 * (number + 1)
        with DiskStore(key((2,), network=network), tmp_path) as store, store.filling(names(count)):
            store.append(names(count), floats(count, 2))
        used = time.time() - 86_400 * (30 - 10 * number)
        os.utime(store.folder / "header.json", (used, used))
        folders.append(store.folder)
    return folders


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"TFXFER_CACHE_DIR": "/a", "TFXFER_CACHE": "/b", "XDG_CACHE_HOME": "/c"}, "/a"),
        ({"TFXFER_CACHE": "/b", "XDG_CACHE_HOME": "/c"}, "/b/activations"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/tfxfer/activations"),
        ({"TFXFER_CACHE_DIR": "~/x"}, "/users/me/x"),
        ({}, "/users/me/.cache/tfxfer/activations"),
    ],
)
def test_the_folder_of_all_stores(monkeypatch, variables, expected):
    for name in ("TFXFER_CACHE_DIR", "TFXFER_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/users/me", **variables}.items():
        monkeypatch.setenv(name, value)
    assert inventory.root() == pathlib.Path(expected)


def test_the_table_says_what_there_is_the_last_used_first(three, tmp_path):
    found = inventory.stores(tmp_path)
    assert [store.key.network for store in found] == list(reversed(NETWORKS))
    assert [store.rows for store in found] == [375, 250, 125]
    assert sum(store.bytes for store in found) == inventory.used_bytes(tmp_path)
    lines = inventory.listing_text(found, tmp_path).splitlines()
    day = time.strftime("%Y-%m-%d", time.localtime(found[0].last_used))
    assert lines[0].split() == ["size"]
    assert " ".join(lines[1].split()) == "store network cut behind (px) kept as rows bytes last used"
    assert lines[2].split()[:6] == [three[2].name, "hub:mobilenet", "stage4.block1", "96", "float32", "375"]
    assert f" {size_text(found[0].bytes)} " in lines[2]
    assert day in lines[2]
    assert lines[-1].endswith(f"kB in {tmp_path}. Remove some: tfxfer cache prune --help")


def test_a_folder_without_stores(tmp_path):
    for place in (tmp_path, tmp_path / "none"):
        assert inventory.listing_text(inventory.stores(place), place) == f"no cached activations in {place}.\n"
        assert inventory.prune(place, to_bytes=0) == inventory.Pruned((), (), ())


def test_use_is_noted(three, key, tmp_path):
    DiskStore(key((2,), network=NETWORKS[0]), tmp_path).close()
    assert inventory.stores(tmp_path)[0].folder == three[0]
    assert time.time() - inventory.stores(tmp_path)[0].last_used < 60


def test_what_was_not_used_for_days_goes(three, tmp_path):
    pruned = inventory.prune(tmp_path, older_than_days=15)
    assert [store.folder for store in pruned.gone] == three[:2]
    assert [place.name for place in tmp_path.iterdir()] == [three[2].name]
    assert inventory.pruned_text(pruned, tmp_path).startswith("removed 2 stores, ")


def test_the_longest_unused_go_until_the_rest_fits(three, tmp_path):
    total = inventory.used_bytes(tmp_path)
    assert inventory.prune(tmp_path, to_bytes=total).gone == ()
    assert [store.folder for store in inventory.prune(tmp_path, to_bytes=total - 1).gone] == three[:1]
    assert [store.folder for store in inventory.prune(tmp_path, to_bytes=0).gone] == three[1:]
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_open_stays_and_can_be_used_on(three, key, names, tmp_path):
    with DiskStore(key((2,), network=NETWORKS[0]), tmp_path) as store:
        pruned = inventory.prune(tmp_path, to_bytes=0)
        assert [kept.folder for kept in pruned.in_use] == three[:1]
        assert f"{three[0]} stays: it is in use." in inventory.pruned_text(pruned, tmp_path)
        assert len(store.gather(store.places(names(125)))) == 125
    assert len(inventory.prune(tmp_path, to_bytes=0).gone) == 1


def test_files_of_others_are_never_removed(three, tmp_path):
    (three[0] / "notes.txt").write_text("mine")
    (three[1] / "000009-00000.rows").mkdir()
    (tmp_path / "photo.jpg").touch()
    (tmp_path / "0123456789abcdef").mkdir()
    (tmp_path / "0123456789abcdef" / "thesis.tex").touch()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "header.json").write_bytes((three[2] / "header.json").read_bytes())
    (tmp_path / "fedcba9876543210").symlink_to(outside)
    before = {place.relative_to(tmp_path) for place in tmp_path.rglob("*")}
    pruned = inventory.prune(tmp_path, to_bytes=0)
    assert [(store.folder, reason) for store, reason in pruned.failed] == [
        (three[0], "notes.txt in it is not of tfxfer"),
        (three[1], "000009-00000.rows in it is not of tfxfer"),
    ]
    assert [store.folder for store in pruned.gone] == three[2:]
    after = {place.relative_to(tmp_path) for place in tmp_path.rglob("*")}
    assert {str(place).partition("/")[0] for place in before - after} == {three[2].name}


def test_a_store_with_a_damaged_header_is_listed_and_left_to_its_owner(three, tmp_path):
    (three[0] / "header.json").write_text("{")
    damaged = next(store for store in inventory.stores(tmp_path) if store.key is None)
    assert " damaged " in inventory.listing_text([damaged], tmp_path)
    ((store, reason),) = inventory.prune(tmp_path, to_bytes=0).failed
    assert (store.folder, reason) == (three[0], "its header is damaged; remove the folder by hand")


def test_what_a_header_says_cannot_reach_the_terminal_s_controls(key, names, floats, tmp_path):
    with DiskStore(key((2,), network="\x1b[31mred" + "x" * 500), tmp_path) as store, store.filling(names(1)):
        store.append(names(1), floats(1, 2))
    text = inventory.listing_text(inventory.stores(tmp_path), tmp_path)
    assert "\x1b" not in text
    assert "red" in text
    assert max(map(len, text.splitlines())) < 250


def test_a_removal_that_was_killed_is_finished_by_the_next(three, tmp_path):
    three[0].rename(tmp_path / f".removing-{three[0].name}-{'0' * 32}")
    inventory.prune(tmp_path, older_than_days=1000)
    assert sorted(place.name for place in tmp_path.iterdir()) == sorted(place.name for place in three[1:])


def test_a_store_that_cannot_be_removed_is_told(three, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "rename", refuse)
    assert [reason for _, reason in inventory.prune(tmp_path, to_bytes=0).failed] == ["Permission denied"] * 3


@pytest.mark.parametrize("moment", ["open", "flock"])
def test_whoever_opens_a_store_while_it_is_removed_begins_a_new_one(
    three, key, names, floats, tmp_path, monkeypatch, moment
):
    """The folder goes before the lock is opened, or between that and the locking."""
    home = {"open": os, "flock": fcntl}[moment]
    real, gone = getattr(home, moment), []

    def late(what, *rest, **settings):
        if not gone and (moment == "flock" or os.fspath(what).endswith("in_use.lock")):
            gone.append(True)
            inventory.prune(tmp_path, to_bytes=0)
        return real(what, *rest, **settings)

    monkeypatch.setattr(home, moment, late)
    with DiskStore(key((2,), network=NETWORKS[0]), tmp_path) as store:
        assert gone
        with store.filling(names(3)) as missing:
            assert len(missing) == 3
            store.append(names(3), floats(3, 2))
        assert inventory.prune(tmp_path, to_bytes=0).gone == ()
    assert [found.rows for found in inventory.stores(tmp_path)] == [3]
