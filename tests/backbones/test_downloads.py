"""Downloads from a server of the test's own, on this machine; TLS is left out, and is Python's business."""

import contextlib
import hashlib
import http.client
import http.server
import os
import pathlib
import threading
import urllib.request

import pytest

from tfxfer.backbones import downloads
from tfxfer.errors import BackboneError, ConfigError

CONTENT = b"weights " * 400_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Host(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT at /weights.pth, and what can go wrong elsewhere."""

    def do_GET(self):
        self.server.paths.append(self.path)
        if self.path in ("/insecure", "/file", "/moved"):
            targets = {"/insecure": "http://127.0.0.1/x", "/file": "file:///etc/passwd"}
            self.send_response(302)
            self.send_header("Location", targets.get(self.path, "/weights.pth"))
            self.end_headers()
        elif self.path == "/missing":
            self.send_error(404)
        else:
            self.send_response(200)
            if self.path != "/unannounced":
                self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # who downloads may hang up
                self.wfile.write(CONTENT[: 2_000_000 if self.path == "/cut" else None])

    def log_message(self, *_):
        pass


class Plain(urllib.request.HTTPSHandler):
    """Opens https addresses without TLS."""

    def https_open(self, req):
        return self.do_open(http.client.HTTPConnection, req)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> pathlib.Path:
    monkeypatch.setenv("TFXFER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def host(cache, monkeypatch):
    """Gives a server with the addresses asked for in `paths`, and its own in `url`."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloads.urllib.request, "HTTPSHandler", Plain)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        server.paths = []
        server.url = f"https://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def left(cache: pathlib.Path) -> list[str]:
    return [path.name for path in cache.iterdir()] if cache.exists() else []


def test_a_file_is_downloaded_once(host, cache):
    path = downloads.fetch(f"{host.url}/weights.pth", sha256=SHA256.upper())
    assert path == cache / SHA256
    assert path.read_bytes() == CONTENT
    assert downloads.fetch(f"{host.url}/weights.pth", sha256=SHA256) == path
    assert host.paths == ["/weights.pth"]
    assert left(cache) == [SHA256]


def test_redirects_within_https_and_answers_of_unknown_length(host, cache):
    assert downloads.fetch(f"{host.url}/moved", sha256=SHA256).read_bytes() == CONTENT
    assert host.paths == ["/moved", "/weights.pth"]
    (cache / SHA256).unlink()
    assert downloads.fetch(f"{host.url}/unannounced", sha256=SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "settings", "reason"),
    [
        ("/weights.pth", {"sha256": "0" * 64}, f"has sha256 {SHA256}, expected is 0000"),
        ("/weights.pth", {"most_bytes": 1000}, "is larger than 1000 bytes"),
        ("/unannounced", {"most_bytes": 3_000_000}, "is larger than 3000000 bytes"),
        ("/cut", {}, f"it ended after 2000000 of {len(CONTENT)} bytes"),
        ("/missing", {}, "its host answers 404 Not Found"),
        ("/insecure", {}, "it sends us on to http://127.0.0.1/x, which is not https"),
        ("/file", {}, "Redirection to url 'file:///etc/passwd' is not allowed"),
    ],
)
def test_a_download_that_fails_leaves_nothing(host, cache, path, settings, reason):
    with pytest.raises(BackboneError) as caught:
        downloads.fetch(host.url + path, **{"sha256": SHA256, **settings})
    assert reason in str(caught.value)
    assert f"{host.url}{path}" in str(caught.value)
    assert left(cache) == []


def test_an_interrupted_download_leaves_nothing(host, cache, monkeypatch):
    def interrupt(*_):
        assert len(left(cache)) == 1  # the half file: the canary of this test
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads.hashlib, "sha256", interrupt)
    with pytest.raises(KeyboardInterrupt):
        downloads.fetch(f"{host.url}/weights.pth", sha256=SHA256)
    assert left(cache) == []


def test_without_network_the_error_says_where_to_put_the_file(cache, monkeypatch):
    def no_network(*_, **__):
        raise OSError("Name or service not known")

    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(http.client.HTTPSConnection, "connect", no_network)
    url = "https://weights.invalid/net.pth"
    with pytest.raises(BackboneError) as caught:
        downloads.fetch(url, sha256=SHA256)
    assert str(caught.value) == (
        f"{url} could not be downloaded (Name or service not known). On a machine with network get {url} and put it "
        f"at {cache / SHA256}, or give the path of the file instead."
    )
    cache.mkdir(parents=True, exist_ok=True)
    (cache / SHA256).write_bytes(CONTENT)
    assert downloads.fetch(url, sha256=SHA256) == cache / SHA256


def test_what_was_put_into_the_cache_is_checked(host, cache):
    cache.mkdir(parents=True)
    (cache / SHA256).write_bytes(b"another file")
    with pytest.raises(BackboneError, match="should have the sha256 of its name and has another"):
        downloads.fetch(f"{host.url}/weights.pth", sha256=SHA256)
    assert (cache / SHA256).read_bytes() == b"another file"
    assert host.paths == []


@pytest.mark.parametrize(
    "url",
    ["http://host/a", "ftp://host/a", "file:///etc/passwd", "https:///a", "host/a", "data:,x", "", "https://[::1/a"],
)
def test_only_https_is_downloaded(cache, url):
    with pytest.raises(ConfigError, match=r"https://<host>/<file>"):
        downloads.fetch(url, sha256=SHA256)


def test_addresses_with_a_password_are_not_repeated(cache):
    with pytest.raises(ConfigError, match="holds a name or password") as caught:
        downloads.fetch("https://me:secret@host/a", sha256=SHA256)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("sha256", ["", "12", "g" * 64, "../" * 21 + "a"])
def test_without_a_digest_nothing_is_downloaded(cache, sha256):
    with pytest.raises(ConfigError, match=r"Add #sha256=<64 hex digits>"):
        downloads.fetch("https://host/a", sha256=sha256)


def test_a_cache_that_cannot_be_written(host, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TFXFER_CACHE", str(tmp_path / "file"))
    with pytest.raises(BackboneError, match=r"cannot be kept: .* cannot be written"):
        downloads.fetch(f"{host.url}/weights.pth", sha256=SHA256)


def test_the_cache_in_the_home_folder(monkeypatch):
    monkeypatch.delenv("TFXFER_CACHE", raising=False)
    home = pathlib.Path(os.path.expanduser("~"))
    assert downloads.cached("AB") == home / ".cache" / "tfxfer" / "weights" / "ab"
