"""Downloads a weights file once, over https and only with a digest that says which bytes it must have."""

import hashlib
import http.client
import os
import pathlib
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import IO

from tfxfer import files, progress
from tfxfer.errors import BackboneError, ConfigError, WorkdirError

MOST_BYTES = 8 << 30

_TIMEOUT_SECONDS = 30
_CHUNK = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch(url: str, *, sha256: str, most_bytes: int = MOST_BYTES) -> pathlib.Path:
    """Returns the file of these bytes in the cache, after downloading it if need be.

    What is in the cache is hashed again: it may have been put there by hand, and reading it costs less than one
    failed training. No network is used then.

    Args:
        url: an address that begins with https://.
        sha256: hex digest of the file, which is also its name in the cache.
        most_bytes: that are accepted.

    Raises:
        ConfigError: another kind of address, or no digest.
        BackboneError: it cannot be downloaded, or has another digest; nothing is kept of it.
    """
    check_url(url, sha256=sha256)
    place = cached(sha256)
    if not place.is_file():
        try:
            _download(url, place, sha256.lower(), most_bytes)
        except WorkdirError as error:
            raise BackboneError(f"{url} cannot be kept: {error} The folder is that of $TFXFER_CACHE.") from error
    elif files.sha256(place) != place.name:
        raise BackboneError(
            f"{place} should have the sha256 of its name and has another: it is damaged, or another file than that of "
            f"{url}. Remove it, and it is downloaded again."
        )
    return place


def cached(sha256: str) -> pathlib.Path:
    """Returns where the file with this digest lies once it is downloaded."""
    cache = os.environ.get("TFXFER_CACHE") or "~/.cache/tfxfer"
    return pathlib.Path(cache).expanduser() / "weights" / sha256.lower()


def check_url(url: str, *, sha256: str) -> None:
    """Refuses addresses that `fetch` would not take.

    Raises:
        ConfigError: not https, no host, a password within, or no digest.
    """
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"{url} is no address ({error}). Write https://<host>/<file>.") from error
    if parts.scheme != "https" or not parts.hostname:
        raise ConfigError(
            f"{url} is not downloaded: only https://<host>/<file> is, where nobody on the way can read or change what "
            "is asked for. Get the file yourself and give its path."
        )
    if parts.username or parts.password:
        raise ConfigError(
            f"the address on {parts.hostname} holds a name or password, which would be written into reports. Get the "
            "file yourself and give its path."
        )
    if not _SHA256.fullmatch(sha256.lower()):
        given = f"sha256={sha256} is not 64 hex digits" if sha256 else "it says not which bytes the file must have"
        raise ConfigError(
            f"{url}: {given}. Add #sha256=<64 hex digits>, as its publisher gives it, or as sha256sum prints it for a "
            "copy that you trust."
        )


def _download(url: str, place: pathlib.Path, sha256: str, most_bytes: int) -> None:
    by_hand = f"On a machine with network get {url} and put it at {place}, or give the path of the file instead."
    try:
        files.remove_leftovers(place.parent, older_than=24 * 3600)
        with _opener().open(url, timeout=_TIMEOUT_SECONDS) as response, files.replacing(place) as beside:
            found = _save(response, url, beside, most_bytes)
            if found != sha256:
                raise BackboneError(
                    f"{url} has sha256 {found}, expected is {sha256}. It was changed, or the digest is of another "
                    "file. Nothing was kept."
                )
    except urllib.error.HTTPError as error:
        with error:
            raise BackboneError(
                f"{url} could not be downloaded: its host answers {error.code} {error.reason}. {by_hand}"
            ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise BackboneError(f"{url} could not be downloaded ({reason}). {by_hand}") from error


def _save(response: http.client.HTTPResponse, url: str, path: pathlib.Path, most_bytes: int) -> str:
    """Writes what comes to `path`; returns its digest."""
    length = response.headers.get("Content-Length", "")
    stated = int(length) if length.isdecimal() else 0
    state = hashlib.sha256()
    count = 0
    with (
        open(path, "wb") as out,
        progress.bar(f"downloading {url.rsplit('/', 1)[-1]}", max(1, stated >> 20), kind="MiB") as done,
    ):
        while chunk := response.read(_CHUNK):
            megabytes = count >> 20
            count += len(chunk)
            if max(count, stated) > most_bytes:
                raise BackboneError(f"{url} is larger than {most_bytes} bytes, the most that is downloaded.")
            state.update(chunk)
            out.write(chunk)
            done((count >> 20) - megabytes, "")
    if count < stated:
        raise http.client.HTTPException(f"it ended after {count} of {stated} bytes")
    return state.hexdigest()


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows redirects within https."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme != "https":
            fp.close()
            raise urllib.error.URLError(f"it sends us on to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Returns what opens https alone: of the standard opener's parts, none for files or ftp is in it."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _OnlyHttps(),
    ):
        opener.add_handler(handler)
    return opener
