"""What many tests share: tiny pictures, the tiny backbone as an installed plug-in, a finished run."""

import gc
import os
import pathlib
import subprocess
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = pathlib.Path(__file__).resolve().parent.parent
# Files that take minutes, most of them in the slow tier. They come first, the longest at the front: a worker that began
# one of them last would be left alone with it at the end (`--dist loadfile`).
LONGEST = (
    "test_readme.py",
    "backbones/test_keras_applications.py",
    "models/test_batch_norm.py",
    "training/test_several_workers.py",
    "real/test_vgg16_digits.py",
    "training/test_resuming.py",
    "export/test_formats_real.py",
    "training/test_strategies.py",
    "training/test_weights.py",
    "export/test_card.py",
)


def pytest_configure(config) -> None:
    """Has xdist hand out files in our order, not by how many tests they have: the longest have few."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items) -> None:
    """Brings `LONGEST` to the front; all else stays as it was."""
    places = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))


def pytest_collection_finish(session) -> None:
    """Splits the CPU in two for tests under a strategy, which is possible only before TensorFlow has started."""
    if any("mirrored" in getattr(item, "fixturenames", ()) for item in session.items):
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    if "tensorflow" in sys.modules:
        _leave_pipelines_untuned()
        _collect_less_often()


def _leave_pipelines_untuned() -> None:
    """Turns off the tuning of `tf.data` in tests' own pipelines, and in Keras's, as it is in ours.

    In a process that has run for long, the end of an iterator waits up to a minute for the thread that tunes.
    """
    import tensorflow as tf

    off = tf.data.Options()
    off.autotune.enabled = False
    begin = tf.data.Dataset.__iter__
    tf.data.Dataset.__iter__ = lambda self: begin(self.with_options(off))


def _collect_less_often() -> None:
    """Spares garbage collection the modules that stay anyway, and most of its turns while functions are traced.

    It took a tenth to a seventh of the processor's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session", autouse=True)
def activations_folder(tmp_path_factory) -> pathlib.Path:
    """Keeps activations of all tests, and of the processes they start, out of the user's folder."""
    folder = tmp_path_factory.mktemp("activations")
    os.environ["TFXFER_CACHE_DIR"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def mirrored():
    """The one strategy of this process, over two logical CPUs; several in one process clash."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])


@pytest.fixture(scope="session")
def plugin(tmp_path_factory) -> pathlib.Path:
    """A folder that makes `tiny:` a source; it is on the import path of this process."""
    from tfxfer import testing

    folder = testing.write_plugin(tmp_path_factory.mktemp("plugin"))
    sys.path.append(str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def colours(tmp_path_factory) -> pathlib.Path:
    """Three colours, 20 pictures each of 24×24 pixels. Do not write into it."""
    from tfxfer import testing

    return testing.write_colours(tmp_path_factory.mktemp("data") / "colours")


@pytest.fixture
def program(plugin):
    """Runs `python -m tfxfer …` in a process of its own: `program("train", …, cwd=…)`."""

    def run(*arguments: str, cwd: pathlib.Path | None = None, **environment: str) -> subprocess.CompletedProcess:
        variables = {**os.environ, "PYTHONPATH": f"{plugin}{os.pathsep}{ROOT}", **environment}
        command = [sys.executable, "-m", "tfxfer", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=variables, timeout=300, check=False)

    return run


@pytest.fixture(scope="session")
def trained(plugin, colours, tmp_path_factory) -> pathlib.Path:
    """The workdir of a finished run on the three colours. Do not write into it."""
    import tfxfer

    workdir = tmp_path_factory.mktemp("runs") / "colours"
    tfxfer.run(tiny_recipe(colours), workdir=workdir, show=lambda line: None)
    return workdir


@pytest.fixture
def keras_alone(monkeypatch) -> None:
    """Bundles hold Keras's file and no SavedModels, which take half of a tiny run; for tests of something else."""
    from tfxfer.export import core

    # A new table: what is taken out of the old one comes back in another order, for the tests behind.
    monkeypatch.setattr(core, "CORE", {"keras": core.CORE["keras"]})


def tiny_recipe(colours: pathlib.Path, **changes):
    """A recipe that learns the three colours in two stages, in about a second."""
    import tfxfer

    settings = {
        "data": f"folder:{colours}",
        "backbone": "tiny:cnn",
        "stages": (
            tfxfer.Stage(train="head", epochs=3, learning_rate=0.5),
            tfxfer.Stage(train="stage3.block1", steps=9, learning_rate=0.1, head_to_body=2.0),
        ),
        "batch_size": 8,
    }
    return tfxfer.Recipe(**{**settings, **changes})
