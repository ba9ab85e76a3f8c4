"""Examples from Python: what becomes pixels and classes, and what the answer is to arrays that cannot."""

import numpy as np
import pytest

from tfxfer.data import arrays
from tfxfer.data.arrays import check_pixel_scale
from tfxfer.errors import DataError

LABELS = [0, 1, 1]


def grey(*levels: float, dtype=np.uint8) -> np.ndarray:
    """Returns pictures of 2×2 pixels, each of one level, `[pictures, 2, 2, 3]`."""
    return np.array(levels)[:, None, None, None] * np.ones((1, 2, 2, 3)).astype(dtype)


IMAGES = grey(0, 100, 255).astype(np.uint8)


def refusal(data, class_names=None) -> str:
    with pytest.raises(DataError) as caught:
        arrays.find(data, class_names)
    return str(caught.value)


def test_a_pair_of_arrays_is_found_as_it_is():
    found = arrays.find((IMAGES, LABELS))
    assert (found.source, found.class_names, found.splits) == ("arrays:", ("0", "1"), None)
    assert (found.labels.tolist(), found.labels.dtype) == (LABELS, np.int32)
    assert [found.pictures.name(i) for i in range(3)] == ["example 0", "example 1", "example 2"]
    np.testing.assert_array_equal(found.pictures.pixels[1], IMAGES[1])


@pytest.mark.parametrize("images", [IMAGES[..., 0], IMAGES[..., :1]])
def test_grey_pictures_become_rgb(images):
    found = arrays.find((images, LABELS))
    np.testing.assert_array_equal(found.pictures.pixels[2], IMAGES[2])


def test_pictures_of_many_sizes_come_as_a_list():
    found = arrays.find(([np.zeros((2, 3, 3), np.uint8), np.zeros((4, 5), np.uint8)], [0, 1]))
    assert [found.pictures.pixels[i].shape for i in range(2)] == [(2, 3, 3), (4, 5, 3)]


def test_float_pixels_on_0_to_255_are_rounded():
    found = arrays.find((grey(0.4, 100.6, 255.0), LABELS))
    assert [int(found.pictures.pixels[i][0, 0, 0]) for i in range(3)] == [0, 101, 255]


def test_whole_numbers_of_another_type_keep_their_values():
    found = arrays.find((IMAGES.astype(np.int64), LABELS))
    np.testing.assert_array_equal(found.pictures.pixels[1], IMAGES[1])


def test_labels_may_be_whole_floats():
    assert arrays.find((IMAGES, np.array([0.0, 1.0, 1.0]))).labels.tolist() == LABELS


@pytest.mark.parametrize(
    "labels", [["dog", "cat", "dog"], np.array(["dog", "cat", "dog"], object), [b"dog", b"cat", b"dog"]]
)
def test_labels_may_be_texts_numbered_by_the_alphabet(labels):
    found = arrays.find((IMAGES, labels))
    assert found.class_names == ("cat", "dog")
    assert found.labels.tolist() == [1, 0, 1]


def test_class_names_give_the_order_of_texts_and_the_names_of_numbers():
    assert arrays.find((IMAGES, ["dog", "cat", "dog"]), ["dog", "cat"]).labels.tolist() == [0, 1, 0]
    assert arrays.find((IMAGES, LABELS), ["cat", "dog", "fox"]).class_names == ("cat", "dog", "fox")


def test_equal_pixels_are_one_content_unless_their_shape_differs():
    found = arrays.find(
        ([np.zeros((2, 8, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), np.zeros((2, 8), np.uint8)], LABELS)
    )
    contents = [found.pictures.look(i).key for i in range(3)]
    assert contents[0] == contents[2]
    assert contents[0] != contents[1]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            grey(0, 0.5, 1, dtype=np.float32),
            "pixels lie between 0 and 1, expected 0 to 255: they look like fractions. Multiply by 255: images = "
            "(images * 255).astype('uint8').",
        ),
        (
            grey(-1, 0.5, 1),
            "pixels lie between -1 and 1, expected 0 to 255: they look normalised. Hand over the images as they were "
            "decoded; the model normalises them itself.",
        ),
        (grey(0, 300, 5).astype(int), "pixels lie between 0 and 300, expected 0 to 255: they look normalised."),
        (grey(0, np.nan, 1), "some pixels are not finite numbers."),
        (grey(0, np.inf, 1), "some pixels are not finite numbers."),
        (
            ["a.png", "b.png", "c.png"],
            "an image is a.png, expected pixels, numbers of shape [height, width, 3]. For files write "
            "Recipe(data='folder:<dir>').",
        ),
        (np.zeros((3, 0, 0, 3), np.uint8), "an image has shape (0, 0, 3), expected pixels, numbers of shape"),
        (np.zeros((3, 2, 2, 4), np.uint8), "an image has shape (2, 2, 4), expected [height, width], [h, w, 1] or [h,"),
        (np.zeros((3, 12), np.uint8), "an image has shape (12,), expected [height, width], [h, w, 1] or [h, w, 3]."),
        (IMAGES[:2], "there are 2 images but 3 labels."),
    ],
)
def test_pixels_that_cannot_be(images, message):
    assert refusal((images, LABELS)).startswith(message)


@pytest.mark.parametrize(
    ("labels", "class_names", "message"),
    [
        ([0, -1, 1], None, "labels lie between -1 and 1, expected 0 to 1."),
        ([0, 1, 2], ["cat", "dog"], "labels lie between 0 and 2, expected 0 to 1."),
        ([0.0, 1.5, 1.0], None, "labels are fractions such as 1.5; classes are whole numbers from 0 or texts."),
        ([0.0, np.nan, 1.0], None, "labels are fractions such as nan; classes are whole numbers from 0 or texts."),
        (
            np.eye(3),
            None,
            "labels have shape (3, 3), expected one label for each image: [examples]. One-hot labels become "
            "numbers by labels.argmax(axis=1).",
        ),
        (["cat", "wolf", "owl"], ["cat", "dog"], "labels ['owl', 'wolf'] are not in class_names ('cat', 'dog')."),
    ],
)
def test_labels_that_cannot_be(labels, class_names, message):
    assert refusal((IMAGES, labels), class_names) == message


def test_no_examples():
    assert refusal((np.zeros((0, 2, 2, 3), np.uint8), [])) == "there are no examples: images and labels are empty."


@pytest.mark.parametrize(("data", "kind"), [(IMAGES, "ndarray"), ((IMAGES,), "tuple"), ({"x": 1}, "dict")])
def test_what_is_no_pair(data, kind):
    assert refusal(data) == (
        f"data is a {kind}. Give a pair (images, labels), or (images, labels, weights), or a tf.data.Dataset of such "
        "pairs."
    )


class Elements:
    """Stands in for a `tf.data.Dataset`, of which only `as_numpy_iterator` is used."""

    def __init__(self, *elements):
        self.as_numpy_iterator = lambda: iter(elements)


def test_a_dataset_is_read_one_by_one_or_in_batches():
    one_by_one = arrays.find(Elements(*((image, np.int64(label)) for image, label in zip(IMAGES, LABELS, strict=True))))
    in_batches = arrays.find(Elements((IMAGES[:2], np.array(LABELS[:2])), (IMAGES[2:], np.array(LABELS[2:]))))
    for found in (one_by_one, in_batches):
        assert found.labels.tolist() == LABELS
        assert [found.pictures.look(i).key for i in range(3)] == [
            arrays.find((IMAGES, LABELS)).pictures.look(i).key for i in range(3)
        ]


@pytest.mark.parametrize("element", [IMAGES, {"image": IMAGES}, (IMAGES, LABELS, 1)])
def test_a_dataset_of_something_else(element):
    assert refusal(Elements(element)) == (
        "the dataset must give pairs (image, label), or all (image, label, weight), or batches of them."
    )


def test_weights_come_third():
    found = arrays.find((IMAGES, LABELS, [1, 2, 0.5]))
    assert found.weights.dtype == np.float64
    assert found.weights.tolist() == [1, 2, 0.5]
    whole = Elements((IMAGES, LABELS, np.float32([1, 2, 0.5])))
    singly = Elements(*zip(IMAGES, LABELS, np.float32([1, 2, 0.5]), strict=True))
    for given in (whole, singly):
        assert arrays.find(given).weights.tolist() == [1, 2, 0.5]
    assert arrays.find((IMAGES, LABELS)).weights is None


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], "weights are int64 [2], expected a number for each of the 3 images."),
        (["1", "2", "3"], "weights are <U1 [3], expected a number for each of the 3 images."),
        ([[1.0]] * 3, "weights are float64 [3, 1], expected a number for each of the 3 images."),
        (
            [1, float("nan"), 0],
            "2 of 3 weights are no finite numbers above 0, the first is weights[1] = nan. Leave out examples that are "
            "not to count.",
        ),
        (
            [1, 1, -2.0],
            "1 of 3 weights are no finite numbers above 0, the first is weights[2] = -2.0. Leave out examples that are "
            "not to count.",
        ),
        (
            [0.0, 0.0, 0.0],
            "3 of 3 weights are no finite numbers above 0, the first is weights[0] = 0.0. Leave out examples that are "
            "not to count.",
        ),
        (
            [1, float("inf"), 1],
            "1 of 3 weights are no finite numbers above 0, the first is weights[1] = inf. Leave out examples that are "
            "not to count.",
        ),
    ],
)
def test_weights_that_cannot_be(weights, message):
    assert refusal((IMAGES, LABELS, weights)) == message


@pytest.mark.parametrize("last", [(IMAGES, LABELS), (IMAGES, LABELS, np.ones(2))])
def test_a_dataset_that_has_weights_only_now_and_then(last):
    assert "all (image, label, weight)" in refusal(Elements((IMAGES, LABELS, np.ones(3)), last))


def test_the_scale_of_pixels_can_be_checked_alone():
    check_pixel_scale(IMAGES)
    check_pixel_scale([np.zeros((2, 2, 3), np.uint8)] * 2)  # a black picture of whole numbers is no fraction
    with pytest.raises(DataError, match="look like fractions"):
        check_pixel_scale(IMAGES / 255)


def test_the_scale_is_seen_on_a_sample():
    many = np.zeros((1000, 1, 1, 3), np.float32)
    many[3] = 200.0  # 1000 // 256 = 3: every third is looked at
    check_pixel_scale(many)
    many[3], many[4] = 0.0, 200.0
    with pytest.raises(DataError, match="look like fractions"):
        check_pixel_scale(many)


@pytest.mark.parametrize(
    ("labels", "class_names", "message"),
    [
        ([0, 1, 2**32], ["a", "b"], "labels lie between 0 and 4294967296, expected 0 to 1."),
        ([0, 1, 2**64 - 1], ["a", "b"], "labels lie between 0 and 18446744073709551615, expected 0 to 1."),
        ([0.0, 1.0, np.inf], None, "labels are infinite; classes are whole numbers from 0 or texts."),
        (
            np.zeros(3, "datetime64[s]"),
            None,
            "labels are datetime64[s]; classes are whole numbers from 0 or texts.",
        ),
        (
            [0, 1, 2 * 10**8],
            None,
            "labels go up to 200,000,000, and the numbers from 0 on are the classes, of which at most 1,000,000 can be "
            "told apart. Number those that are there: class_names, labels = np.unique(labels, return_inverse=True).",
        ),
        (
            np.array(1),
            None,
            "labels are the one value array(1), expected one label for each image: [examples].",
        ),
        (1, None, "labels are the one value 1, expected one label for each image: [examples]."),
        (
            np.array([b"a", b"\xff", b"a"]),
            None,
            "the class np.bytes_(b'\\xff') is no UTF-8. Write texts of type str.",
        ),
        (
            LABELS,
            ["a", "b", "c", "a"],
            "class_names has 'a' twice, expected another name for each class. Rename one.",
        ),
    ],
)
def test_labels_that_would_become_others(labels, class_names, message):
    labels = np.array(labels, np.uint64) if isinstance(labels, list) and max(labels) == 2**64 - 1 else labels
    assert refusal((IMAGES, labels), class_names) == message


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x1b[2J", "\udcff"])
def test_names_that_cannot_be_shown(name):
    told = f"the class {name!r} is no name: expected printable text that is not empty."
    assert refusal((IMAGES, [0, 1, 1]), ["a", name]).startswith(told)
    assert refusal((IMAGES, ["a", "a", name]), None).startswith(told)


def test_names_may_be_an_array_of_bytes():
    assert arrays.find((IMAGES, [0, 1, 1]), np.array([b"cat", b"dog"])).class_names == ("cat", "dog")


def test_there_are_at_most_so_many_classes(monkeypatch):
    monkeypatch.setattr(arrays, "MOST_CLASSES", 2)
    assert refusal((IMAGES, ["a", "b", "c"]), None) == "there are 3 classes, and at most 2 can be told apart."
