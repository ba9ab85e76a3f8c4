"""Files are answered in order and in batches of one shape, while threads decode; none of them is left behind."""

import threading
import time

import keras
import numpy as np
import PIL.Image
import pytest

from tfxfer import prediction
from tfxfer.data.finding import Picture
from tfxfer.framing import Framing


@pytest.fixture(scope="module")
def model():
    """Its logits are the picture's mean colour, ×10."""
    pixels = keras.Input((8, 8, 3))
    return keras.Model(pixels, keras.layers.Rescaling(10.0)(keras.layers.GlobalAveragePooling2D()(pixels)))


@pytest.fixture
def pictures(tmp_path) -> list[Picture]:
    """Ten pictures, each red, green or blue by its number; the fifth is none."""
    found = []
    for number in range(10):
        path = tmp_path / f"{number}.png"
        colour = [0, 0, 0]
        colour[number % 3] = 255
        PIL.Image.new("RGB", (8, 8), tuple(colour)).save(path)
        found.append(Picture(path.name, str(path)))
    (tmp_path / "5.png").write_bytes(b"none")
    return found


def decoding() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decoding")]


def test_answers_are_in_order_with_errors_in_their_place(model, pictures, monkeypatch):
    read = prediction.read

    def slowest_first(picture, size, framing):
        time.sleep(0.02 * (9 - int(picture.name[0])))
        return read(picture, size, framing)

    monkeypatch.setattr(prediction, "read", slowest_first)
    found = list(prediction.predict_files(model, pictures, framing=Framing(), batch_size=4, threads=8))
    assert [answer.picture for answer in found] == pictures
    assert [answer.problem for answer in found] == [""] * 5 + ["no picture of a known format"] + [""] * 4
    assert found[5].probabilities is None
    best = [int(answer.probabilities.argmax()) for answer in found if not answer.problem]
    assert best == [number % 3 for number in range(10) if number != 5]
    assert decoding() == []


def test_all_batches_have_one_shape_and_are_traced_once(model, pictures, monkeypatch):
    shapes = []
    predict = prediction.models.predict_on_batch
    monkeypatch.setattr(
        prediction.models, "predict_on_batch", lambda m, batch: shapes.append(batch.shape) or predict(m, batch)
    )
    fresh = keras.Model(model.input, model.output)
    list(prediction.predict_files(fresh, pictures, framing=Framing(), batch_size=4))
    assert shapes == [(4, 8, 8, 3)] * 3
    assert fresh.predict_function.experimental_get_tracing_count() == 1
    list(prediction.predict_files(fresh, pictures[:1], framing=Framing(), batch_size=1))  # a canary: another shape
    assert fresh.predict_function.experimental_get_tracing_count() == 2


def test_a_batch_of_unreadable_pictures_needs_no_network(model, tmp_path):
    missing = [Picture(str(number), str(tmp_path / str(number)), "list.csv, row 2") for number in range(3)]
    found = list(prediction.predict_files(model, missing, framing=Framing(), batch_size=2))
    assert {answer.problem for answer in found} == {"list.csv, row 2: cannot be read (No such file or directory)"}
    assert list(prediction.predict_files(model, [], framing=Framing())) == []


def test_what_has_come_is_answered_when_nothing_more_comes(model, pictures):
    """Who sends paths may wait for the answer to the first before sending the next."""
    answered, waited = [], 0

    def one_at_a_time():
        nonlocal waited
        for picture in pictures[:3]:
            yield picture
            while not answered or answered[-1] != picture.name:
                waited += 1
                assert waited < 1000, "the batch waits to be full"
                yield None

    for answer in prediction.predict_files(model, one_at_a_time(), framing=Framing(), batch_size=4):
        answered.append(answer.picture.name)
    assert answered == ["0.png", "1.png", "2.png"]


def test_pictures_are_taken_as_they_are_needed(model, pictures):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield pictures[0]

    answers = prediction.predict_files(model, endless(), framing=Framing(), batch_size=4)
    for _ in range(8):
        next(answers)
    assert taken <= 8 + 4 * prediction._BATCHES_AHEAD
    assert decoding()
    answers.close()
    assert decoding() == []


def test_an_interruption_leaves_no_thread_and_waits_for_no_queue(model, pictures, monkeypatch):
    def slow(picture, size, framing):
        time.sleep(0.3)
        return np.zeros((8, 8, 3), np.uint8)

    def interrupted(model, batch):
        raise KeyboardInterrupt

    monkeypatch.setattr(prediction, "read", slow)
    monkeypatch.setattr(prediction.models, "predict_on_batch", interrupted)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(prediction.predict_files(model, pictures * 10, framing=Framing(), batch_size=2, threads=1))
    assert time.monotonic() - start < 1.7  # 0.9: the first two and the one that was begun, but not the four that wait
    assert decoding() == []


def test_an_error_of_ours_while_reading_is_not_taken_for_an_unreadable_picture(model, pictures, monkeypatch):
    monkeypatch.setattr(prediction.images, "render", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(prediction.predict_files(model, pictures, framing=Framing()))
    assert decoding() == []


def test_the_next_pictures_are_decoded_while_the_network_computes(model, pictures, monkeypatch):
    """The network waits until a picture of a later batch is read, which no reading in turn would do."""
    reading_goes_on, begun = threading.Event(), threading.Event()

    def read(picture, size, framing):
        if begun.is_set():
            reading_goes_on.set()
        time.sleep(0.01)
        return np.zeros((8, 8, 3), np.uint8)

    def network(model, batch):
        begun.set()
        assert reading_goes_on.wait(10)
        return np.zeros((len(batch), 3), np.float32)

    monkeypatch.setattr(prediction, "read", read)
    monkeypatch.setattr(prediction.models, "predict_on_batch", network)
    assert len(list(prediction.predict_files(model, pictures * 2, framing=Framing(), batch_size=4, threads=2))) == 20
