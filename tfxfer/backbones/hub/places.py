"""Finds the folder that a handle of `hub:` means: a folder, an unpacked archive, or a download of tensorflow_hub."""

from __future__ import annotations

import atexit
import hashlib
import os
import pathlib
import re
import shutil
import tempfile
import warnings
from typing import Literal

from tfxfer import archives, files
from tfxfer.backbones.hub import reading
from tfxfer.errors import BackboneError, ConfigError

# The largest modules that were published have a few gigabytes.
MOST_BYTES = 8 << 30
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
# In seconds; nobody unpacks for longer.
_DAY = 24 * 3600
_URL = re.compile(r"https?://\S+")
# What a SavedModel consists of; the rest of a folder is not kept.
_PARTS = (reading.PROGRAM, "variables", "assets", "tfhub_module.pb", "fingerprint.pb")


def kind_of(name: str) -> Literal["url", "archive", "folder"]:
    """Returns what a name is by its looks."""
    if "://" in name:
        return "url"
    return "archive" if name.lower().endswith(_ARCHIVES) and not _path(name).is_dir() else "folder"


def check(name: str) -> None:
    """Looks whether what `name` means can be there, without TensorFlow.

    Raises:
        ConfigError: an address of a kind that is not read.
        BackboneError: there is no such file or folder, or it holds no SavedModel.
    """
    kind = kind_of(name)
    if kind == "url":
        if not _URL.fullmatch(name) or not name.startswith("https://"):
            raise ConfigError(
                f"hub has no backbone {name!r}. Addresses begin with https://, such as "
                "https://www.kaggle.com/models/… or https://tfhub.dev/…."
            )
    elif kind == "archive":
        if not _path(name).is_file():
            raise BackboneError(f"there is no file {name}. Give a .tar.gz of a SavedModel, a folder or an address.")
    else:
        _check_folder(_path(name))


def find(name: str) -> pathlib.Path:
    """Returns the folder with the SavedModel that `name` means, after downloading or unpacking it if need be.

    Raises:
        ConfigError: an address of a kind that is not read.
        BackboneError: it is not there, cannot be had, or is refused; the message says what to do.
    """
    check(name)
    kind = kind_of(name)
    if kind == "url":
        return download(name)
    return _unpacked(_path(name)) if kind == "archive" else _path(name).resolve()


def is_here(name: str) -> bool:
    """Whether `name` can be had without network."""
    if kind_of(name) == "url":
        return (_place_of_download(name) / reading.PROGRAM).is_file()
    return _path(name).exists()


def download(address: str) -> pathlib.Path:
    """Returns the folder into which tensorflow_hub unpacked what is at `address`, in its own cache.

    Raises:
        BackboneError: it cannot be had; the message names the cache and the ways around.
    """
    hub = _tensorflow_hub()
    place = _place_of_download(address)
    try:
        folder = pathlib.Path(hub.resolve(address))
    except Exception as error:  # tensorflow_hub lets through whatever urllib, ssl, tarfile and TensorFlow raise
        joint = "&" if "?" in address else "?"
        raise BackboneError(
            f"{address} cannot be downloaded ({type(error).__name__}: {error}). On a machine with network get "
            f"{address}{joint}tf-hub-format=compressed, then name that file, hub:<file>.tar.gz, or unpack it into "
            f"{place}, where it is looked for here. The cache is set by the variable TFHUB_CACHE_DIR."
        ) from error
    if not (folder / reading.PROGRAM).is_file():
        raise BackboneError(
            f"{folder}, the cached copy of {address}, holds no {reading.PROGRAM}: something emptied it. Remove that "
            "folder and try again; the variable TFHUB_CACHE_DIR moves the cache out of the temporary files."
        )
    return folder


def keep(folder: pathlib.Path) -> pathlib.Path:
    """Copies a SavedModel that is about to vanish into our cache, by content; returns the copy.

    Where the cache cannot be written, the copy is a temporary folder that goes when the program ends.
    """
    digest = hashlib.sha256()
    parts = [path for name in _PARTS for path in sorted((folder / name).rglob("*")) or [folder / name]]
    for path in parts:
        if path.is_file():
            digest.update(f"{path.relative_to(folder)}:{files.sha256(path)}\n".encode())
    place = _cache() / digest.hexdigest()[:32]
    if not (place / reading.PROGRAM).is_file():
        try:
            with files.new_folder(place) as beside:
                copy(folder, beside)
        except (files.WorkdirError, OSError):
            if not (place / reading.PROGRAM).is_file():  # another process may have been faster
                place = pathlib.Path(tempfile.mkdtemp(prefix="tfxfer-hub-"))
                atexit.register(shutil.rmtree, place, ignore_errors=True)
                copy(folder, place)
    return place


def copy(folder: pathlib.Path, place: pathlib.Path) -> None:
    """Copies what a SavedModel consists of from one folder to another that exists."""
    for name in _PARTS:
        part = folder / name
        if part.is_dir():
            shutil.copytree(part, place / name)
        elif part.is_file():
            shutil.copy(part, place / name)


def _check_folder(folder: pathlib.Path) -> None:
    if not folder.exists():
        raise BackboneError(
            f"there is no folder {folder}. hub: takes the folder of a SavedModel, a .tar.gz of one, or an address "
            "such as https://www.kaggle.com/models/…."
        )
    if not folder.is_dir():
        raise BackboneError(
            f"{folder} is no SavedModel. hub: takes its folder, or an archive ({', '.join(_ARCHIVES)})."
        )
    if not (folder / reading.PROGRAM).is_file():
        inside = [path.parent for path in folder.glob(f"*/{reading.PROGRAM}")]
        near = f" Did you mean hub:{inside[0]}?" if inside else ""
        raise BackboneError(f"{folder} holds no {reading.PROGRAM}: it is no SavedModel.{near}")


def _path(name: str) -> pathlib.Path:
    return pathlib.Path(name).expanduser()


def _unpacked(archive: pathlib.Path) -> pathlib.Path:
    """Returns the folder with the SavedModel of an archive, named by the archive's content."""
    place = _cache() / files.sha256(archive)[:32]
    if not place.is_dir():
        files.remove_leftovers(_cache(), older_than=_DAY)
        try:
            archives.unpack(archive, place, most_bytes=MOST_BYTES)
        except BackboneError:
            if not place.is_dir():  # another process may have been faster
                raise
    found = [place, *(path.parent for path in sorted(place.glob(f"*/{reading.PROGRAM}")))]
    for folder in found:
        if (folder / reading.PROGRAM).is_file():
            return folder
    raise BackboneError(f"{archive} holds no {reading.PROGRAM}: it is no SavedModel.")


def _cache() -> pathlib.Path:
    return pathlib.Path(os.environ.get("TFXFER_CACHE") or "~/.cache/tfxfer").expanduser() / "hub"


def _place_of_download(address: str) -> pathlib.Path:
    """Returns where tensorflow_hub keeps what is at `address`."""
    cache = os.environ.get("TFHUB_CACHE_DIR") or pathlib.Path(tempfile.gettempdir(), "tfhub_modules")
    return pathlib.Path(cache) / hashlib.sha1(address.encode()).hexdigest()


def _tensorflow_hub():
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pkg_resources, which it imports
            import tensorflow_hub
    except ImportError as error:
        raise BackboneError(
            f"addresses are read through tensorflow_hub, which cannot be imported ({error}). "
            "Type: pip install tensorflow-hub tf-keras 'setuptools<82'."
        ) from error
    return tensorflow_hub
