"""Words of a command line become pictures in their order; a word that can mean none is one message."""

import os
import sys
import time

import pytest

from tfxfer.data import finding
from tfxfer.errors import ConfigError, DataError


def write(folder, *names) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder that the test is in, with pictures in folders, some hidden, and notes."""
    write(tmp_path, "a.jpg", "in/b.jpg", "in/c.png", "in/deep/d.jpg", "in/.hidden.jpg", "in/.git/e.jpg", "in/notes.txt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*words, column=None) -> list[str]:
    return [picture.name for picture in finding.find(words, column=column).pictures]


def refusal(*words, column=None) -> str:
    with pytest.raises(DataError) as caught:
        finding.find(words, column=column)
    return str(caught.value)


def manifest(folder, content: str | bytes, name="list.csv") -> str:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def test_files_and_folders_come_in_the_order_of_the_words(here):
    assert names("in/deep", "a.jpg", "in") == ["in/deep/d.jpg", "a.jpg", "in/b.jpg", "in/c.png", "in/deep/d.jpg"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("in/*.jpg", ["in/b.jpg"]),
        ("in/?.*", ["in/b.jpg", "in/c.png"]),
        ("in/[ac].*", ["in/c.png"]),
        ("**/*.jpg", ["a.jpg", "in/b.jpg", "in/deep/d.jpg"]),
        ("in/**", ["in/b.jpg", "in/c.png", "in/deep/d.jpg"]),
        ("in/*", ["in/b.jpg", "in/c.png"]),
        ("in/.*.jpg", ["in/.hidden.jpg"]),
    ],
)
def test_a_glob_stands_for_the_files_that_match(here, word, expected):
    assert names(word) == expected
    assert names(str(here / word)) == [str(here / name) for name in expected]


def test_a_file_that_is_called_like_a_glob_is_that_file(here):
    write(here, "a[1].jpg", "a1.jpg")
    assert names("a[1].jpg") == ["a[1].jpg"]


def test_loops_of_links_are_not_gone_round(here):
    (here / "in" / "loop").symlink_to(here / "in", target_is_directory=True)
    (here / "in" / "link.jpg").symlink_to(here / "a.jpg")
    expected = ["in/b.jpg", "in/c.png", "in/deep/d.jpg", "in/link.jpg"]
    assert sorted(names("in")) == expected
    assert names("in/**/*") == expected


@pytest.mark.parametrize(
    ("words", "count", "is_gathered"),
    [(["a.jpg"], 1, False), (["a.jpg", "in/c.png"], 2, False), (["in/deep"], 1, True), (["a.*"], 1, True)],
)
def test_what_is_known_of_a_listing(here, words, count, is_gathered):
    listing = finding.find(words)
    assert (listing.count, listing.is_gathered) == (count, is_gathered)


def test_all_words_that_name_nothing_are_told_at_once(here):
    (here / "empty").mkdir()
    assert refusal("a.jpg", "none.jpg", "empty", "*.gif", "", "x**/*").splitlines() == [
        "none.jpg does not exist.",
        "the folder empty has no images.",
        "*.gif matches no image. Folders at any depth are **: 'photos/**/*.jpg', in quotes.",
        "an empty word names no image. Write . for the folder you are in.",
        refusal("x**/*"),
    ]
    assert refusal(*[f"{number}.jpg" for number in range(30)]).splitlines()[9:] == [
        "9.jpg does not exist.",
        "and 20 more.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "image,label\na.jpg,cat\nin/b.jpg,dog\n",
        "\ufeffimage,label\na.jpg,cat\nin/b.jpg,dog\n",  # as Excel saves UTF-8
        "label;Path\r\ncat;a.jpg\r\n\r\ndog;in/b.jpg\r\n",
        "label\tfilename\ncat\ta.jpg\ndog\tin/b.jpg\n",
        "whatever\na.jpg\nin/b.jpg",
        'file,path\na.jpg,other\n"in/b.jpg",other\n',  # the first of the known headings
    ],
)
def test_a_manifest_in_all_its_kinds(here, text, tmp_path_factory, monkeypatch):
    word = here / manifest(here, text)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    listing = finding.find([str(word)])
    assert [picture.name for picture in listing.pictures] == ["a.jpg", "in/b.jpg"]
    assert [picture.path for picture in listing.pictures] == [f"{here}/a.jpg", f"{here}/in/b.jpg"]
    assert (listing.count, listing.is_gathered) == (2, True)


def test_the_column_of_a_manifest_can_be_said(here):
    word = manifest(here, "image,Thumbnail\nx.jpg,a.jpg\n")
    assert names(word, column="thumbnail") == ["a.jpg"]
    assert names(word) == ["x.jpg"]
    with pytest.raises(
        ConfigError, match=r"--column=x is of manifests, and none was given. Write it with a .csv file."
    ):
        finding.find(["a.jpg"], column="x")


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        ("image,label\na.jpg,x\n", "imge", "has no column 'imge'. Did you mean 'image'? Columns: 'image', 'label'."),
        ("a,b\na.jpg,x\n", None, "none of them called image, path, file or filename. Say which holds the paths: --col"),
        ("image,image\na.jpg,x\n", "image", "has 2 columns called 'image'. Rename all but one."),
        ("a.jpg\nb.jpg\n", None, "the first line of list.csv is an image, 'a.jpg', where its heading should be."),
        ("image\n", None, "list.csv names no images: it has headings and no rows."),
        ("", None, "list.csv is empty. Its first line names the columns: image,label"),
        ("\nimage\n", None, "list.csv begins with an empty line."),
        ("image,Image\na.jpg,x\n", None, "has 2 columns called 'image'. Rename all but one."),
        ("image,label\na.jpg,x\n", "", "has no column ''. Columns: 'image', 'label'."),
        ("image\n".encode("utf-16"), None, "list.csv is UTF-16. Save it as UTF-8: iconv"),
        ('image\na.jpg\n"b.jpg\n', None, "list.csv, line 3: no CSV (unexpected end of data)."),
    ],
)
def test_a_manifest_that_names_nothing_is_an_error(here, content, column, message):
    assert message in refusal(manifest(here, content), column=column)


def test_a_row_that_names_no_file_has_its_row_and_column_in_its_problem(here):
    word = manifest(here, "image,label\n,cat\na\0.jpg,cat\na.jpg,cat,dog\na.jpg,cat\n")
    found = [(p.name, p.path, f"{p.origin}: {p.problem}") for p in finding.find([word]).pictures]
    assert found == [
        ("", None, "list.csv, row 2, column image: the cell is empty"),
        ("a�.jpg", None, "list.csv, row 3, column image: a path cannot hold NUL"),
        ("a.jpg", None, "list.csv, row 4, column image: the row has 3 cells, and the table 2 columns"),
        ("a.jpg", "./a.jpg", "list.csv, row 5, column image: "),
    ]


def test_names_that_are_no_utf8_come_through_a_manifest(here):
    write(here, os.fsdecode(b"caf\xe9.jpg"))
    [picture] = finding.find([manifest(here, b"image\ncaf\xe9.jpg\n")]).pictures
    assert os.path.exists(picture.path)


@pytest.fixture
def sender(monkeypatch):
    """Standard input is a pipe; gives the descriptor to write to."""
    reading, writing = os.pipe()
    with open(reading) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield writing


def test_paths_of_standard_input_are_there_before_its_end(here, sender):
    listing = finding.find(["a.jpg", "-"])
    assert (listing.count, listing.is_gathered) == (None, False)
    pictures = iter(listing.pictures)
    assert next(pictures).name == "a.jpg"
    assert next(pictures) is None
    os.write(sender, b"one.jpg\r\n\ntw")
    assert next(pictures).name == "one.jpg"
    assert next(pictures) is None
    os.write(sender, b"o.jpg\ncaf\xe9\nlast\0.jpg")
    os.close(sender)
    assert [p.name for p in pictures] == ["two.jpg", os.fsdecode(b"caf\xe9"), "last�.jpg"]


def test_a_line_of_standard_input_has_a_limit(here, sender):
    os.set_blocking(sender, False)
    os.write(sender, b"x" * 65_536)
    pictures = finding.standard_input()
    assert next(pictures) is None  # as long as a line may be
    os.write(sender, b"x")
    with pytest.raises(DataError, match=r"a line of standard input has more than 65,536 bytes, which is no path"):
        next(pictures)
    os.close(sender)


def test_without_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match="there is no standard input"):
        next(finding.standard_input())


def test_a_large_manifest_takes_seconds_at_most(here):
    word = manifest(here, "image,label\n" + "in/b.jpg,cat\n" * 100_000)
    start = time.monotonic()
    assert finding.find([word]).count == 100_000
    assert time.monotonic() - start < 10
