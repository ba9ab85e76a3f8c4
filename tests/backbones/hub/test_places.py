"""A handle becomes a folder: folders, archives, downloads; nothing half-done stays behind."""

import contextlib
import http.server
import io
import pathlib
import tarfile
import threading

import pytest

from tfxfer.backbones.hub import places
from tfxfer.errors import BackboneError, ConfigError


def pack(folder: pathlib.Path, archive: pathlib.Path, inside: str = ".") -> pathlib.Path:
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder, inside)
    return archive


@contextlib.contextmanager
def served(content: bytes, status: int = 200):
    """The address of a server that answers everything with `content`."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/module/1"
        server.shutdown()
        thread.join()


@pytest.fixture
def hub_cache(tmp_path, monkeypatch) -> pathlib.Path:
    """The cache of tensorflow_hub, empty, and a way to this machine around any proxy."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub_cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "hub_cache"


def test_a_folder_is_itself(reusable):
    places.check(str(reusable))
    assert places.find(str(reusable)) == reusable.resolve()
    assert places.is_here(str(reusable))


def test_what_is_no_saved_model_is_named(tmp_path):
    with pytest.raises(BackboneError, match=r"there is no folder .*nowhere"):
        places.check(str(tmp_path / "nowhere"))
    (tmp_path / "file.txt").touch()
    with pytest.raises(BackboneError, match=r"takes its folder, or an archive \(.tar, .tar.gz"):
        places.check(str(tmp_path / "file.txt"))
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    with pytest.raises(BackboneError, match=r"Did you mean hub:.*/1"):
        places.check(str(tmp_path))
    with pytest.raises(BackboneError, match="there is no file"):
        places.check(str(tmp_path / "module.tar.gz"))
    assert not places.is_here(str(tmp_path / "module.tar.gz"))


@pytest.mark.parametrize("address", ["http://tfhub.dev/a/1", "gs://bucket/module", "file:///etc"])
def test_addresses_of_other_kinds_are_refused(address):
    with pytest.raises(ConfigError, match="begin with https://"):
        places.find(address)


@pytest.mark.parametrize("inside", [".", "module"])
def test_an_archive_is_unpacked_once_by_its_content(inside, reusable, tmp_path, cache):
    archive = pack(reusable, tmp_path / "module.tar.gz", inside)
    folder = places.find(str(archive))
    assert folder.is_relative_to(cache)
    assert (folder / "saved_model.pb").read_bytes() == (reusable / "saved_model.pb").read_bytes()
    (folder / "mark").touch()
    archive.rename(tmp_path / "other.tgz")
    assert (places.find(str(tmp_path / "other.tgz")) / "mark").exists()


def test_an_archive_that_leads_out_leaves_nothing(tmp_path, cache):
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as packed:
        packed.addfile(tarfile.TarInfo("../planted"), io.BytesIO())
    with pytest.raises(BackboneError, match="leads out of the folder"):
        places.find(str(tmp_path / "bad.tar.gz"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "bad.tar.gz"]


def test_an_archive_without_a_saved_model_is_named(tmp_path):
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / "readme").touch()
    with pytest.raises(BackboneError, match=r"bad.tar.gz holds no saved_model.pb"):
        places.find(str(pack(tmp_path / "content", tmp_path / "bad.tar.gz")))


def test_an_archive_beyond_the_limit_is_refused(reusable, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "MOST_BYTES", 1000)
    with pytest.raises(BackboneError, match="1000 bytes"):
        places.find(str(pack(reusable, tmp_path / "module.tar.gz")))


def test_a_download_lands_in_the_cache_of_tensorflow_hub(reusable, tmp_path, hub_cache):
    content = pack(reusable, tmp_path / "module.tar.gz").read_bytes()
    with served(content) as address:
        folder = places.download(address)
    assert folder.parent == hub_cache
    assert folder == places._place_of_download(address)
    assert places.is_here(address)
    # Without the server: from the cache.
    assert places.download(address) == folder
    (folder / "saved_model.pb").unlink()
    with pytest.raises(BackboneError, match=r"something emptied it.*TFHUB_CACHE_DIR"):
        places.download(address)


@pytest.mark.parametrize("fault", ["cut", "no archive", "not found", "offline"])
def test_a_failed_download_leaves_no_half_file(fault, reusable, tmp_path, hub_cache):
    content = pack(reusable, tmp_path / "module.tar.gz").read_bytes()
    content = {"cut": content[: len(content) // 2], "no archive": b"<html>"}.get(fault, content)
    with served(content, 404 if fault == "not found" else 200) as address:
        if fault != "offline":
            with pytest.raises(
                BackboneError, match=r"get .*tf-hub-format=compressed.*hub:<file>.tar.gz.*TFHUB_CACHE_DIR"
            ):
                places.download(address)
    if fault == "offline":
        with pytest.raises(BackboneError, match=str(hub_cache)):
            places.download(address)
    assert not list(hub_cache.rglob("*"))
    assert not places.is_here(address)


def test_what_is_kept_is_kept_once(reusable, tmp_path, monkeypatch):
    kept = places.keep(reusable)
    assert places.keep(kept) == kept
    monkeypatch.setenv("TFXFER_CACHE", str(tmp_path / "file" / "below"))
    (tmp_path / "file").touch()
    elsewhere = places.keep(reusable)
    assert (elsewhere / "saved_model.pb").read_bytes() == (reusable / "saved_model.pb").read_bytes()


def test_a_tilde_is_the_home(reusable, monkeypatch):
    monkeypatch.setenv("HOME", str(reusable.parent))
    assert places.find(f"~/{reusable.name}") == reusable.resolve()
    assert places.is_here(f"~/{reusable.name}")
