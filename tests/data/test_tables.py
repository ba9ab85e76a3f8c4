"""Tables as they are saved: what opens, which column is meant, and what is refused before it is read."""

import os
import pathlib
import tracemalloc

import pytest

from tfxfer.data import tables
from tfxfer.errors import DataError


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes) -> pathlib.Path:
        path = tmp_path / "list.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read(path: pathlib.Path) -> tuple[tuple[str, ...], list[tuple[int, list[str]]]]:
    with tables.open_csv(path) as table:
        return table.headings, list(table.rows)


def refusal(path: pathlib.Path) -> str:
    with pytest.raises(DataError) as caught:
        read(path)
    return str(caught.value).replace(str(path), "list.csv")


@pytest.mark.parametrize(
    "text",
    [
        "image,label\na.jpg,cat\n",
        "\ufeffimage,label\r\na.jpg,cat\r\n",
        "image;label\na.jpg;cat",
        "image\tlabel\na.jpg\tcat\n",
        '"image", label\n"a.jpg",cat\n',
    ],
)
def test_tables_in_all_their_kinds(write, text):
    assert read(write(text)) == (("image", "label"), [(2, ["a.jpg", "cat"])])


def test_quotes_hold_commas_quotes_and_ends_of_lines(write):
    _, rows = read(write('image,label\n"a,b.jpg","the ""cat""\nof old"\nc.jpg,dog\n'))
    assert rows == [(2, ["a,b.jpg", 'the "cat"\nof old']), (3, ["c.jpg", "dog"])]


def test_rows_keep_their_numbers_when_blank_ones_are_passed_over(write):
    _, rows = read(write("image,label\n\na.jpg,cat\n , \nb.jpg,dog\n"))
    assert [number for number, _ in rows] == [3, 5]


def test_bytes_that_are_no_utf8_come_through(write):
    _, rows = read(write(b"image\ncaf\xe9.jpg\n"))
    assert os.fsencode(rows[0][1][0]) == b"caf\xe9.jpg"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "list.csv is empty. Its first line names the columns: image,label"),
        ("\ufeff", "list.csv is empty. Its first line names the columns: image,label"),
        ("\nimage,label\n", "list.csv begins with an empty line. Its first line names the columns: image,label"),
        (
            "image\n".encode("utf-16"),
            "list.csv is UTF-16. Save it as UTF-8: iconv -f UTF-16 -t UTF-8 list.csv > utf8.csv",
        ),
        ('image\n"a.jpg\n', "list.csv, line 2: no CSV (unexpected end of data)."),
        ('image\n"a"b\n', "list.csv, line 2: no CSV (',' expected after '\"')."),
        (
            'image\n"' + "a.jpg\n" * 30_000,
            "list.csv, line 21,847: a cell has more than 131,072 characters. Look for a quote that is opened and never "
            "closed.",
        ),
    ],
)  # fmt: skip
def test_what_is_no_table(write, content, message):
    assert refusal(write(content)) == message


def test_a_line_of_100_mb_is_refused_before_it_is_read(write):
    path = write("image,label\n")
    os.truncate(path, 100_000_000)  # zeros that take no disk
    tracemalloc.start()
    said = refusal(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert said == (
        "list.csv, line 2 has more than 1,048,576 characters, which is no row of a table. Write a line for each image."
    )
    assert peak < 10_000_000


def test_what_is_no_file(tmp_path):
    missing, folder, pipe = tmp_path / "none.csv", tmp_path / "folder.csv", tmp_path / "pipe.csv"
    folder.mkdir()
    os.mkfifo(pipe)
    for path, message in (
        (missing, f"{missing} cannot be read (No such file or directory)."),
        (folder, f"{folder} is a folder. Write folder:{folder} for a folder that has one sub-folder for each class."),
        (pipe, f"{pipe} is no regular file."),  # opening it would wait for a writer
        (pathlib.Path("a\0b"), "a\0b cannot be read (embedded null byte)."),
    ):
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value) == message


def test_columns_are_found_by_name_whatever_the_case():
    path, headings = pathlib.Path("list.csv"), ("id", "Path", "LABEL", "file")
    assert tables.places(path, headings, None, tables.IMAGE_HEADINGS) == [1, 3]
    assert tables.places(path, headings, "label", ()) == [2]
    assert tables.places(path, headings, None, ("split",)) == []


def test_a_heading_twice_or_not_at_all():
    path = pathlib.Path("list.csv")
    for headings, asked, message in (
        (("image", "Image"), None, "list.csv has 2 columns called 'image'. Rename all but one."),
        (("breed", "image", "breed"), "breed", "list.csv has 2 columns called 'breed'. Rename all but one."),
        (("image", "breed"), "bred", "list.csv has no column 'bred'. Did you mean 'breed'? Columns: 'image', 'breed'."),
    ):
        with pytest.raises(DataError) as caught:
            tables.places(path, headings, asked, ("image",))
        assert str(caught.value) == message
    assert tables.places(path, ("", "", "image"), None, ("image",)) == [2]  # what nobody asks for may be twice


def test_problems_are_counted_and_the_first_ones_told():
    problems = tables.Problems()
    problems.refuse(pathlib.Path("list.csv"))
    for row in range(13):
        problems.add(row + 2, "no")
    with pytest.raises(DataError) as caught:
        problems.refuse(pathlib.Path("list.csv"))
    lines = str(caught.value).splitlines()
    assert (lines[0], lines[1], lines[10], lines[11]) == (
        "list.csv has 13 rows that cannot be used:", "  row 2: no", "  row 11: no", "  and 3 more",
    )  # fmt: skip
