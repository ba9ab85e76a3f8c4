"""The page of `tfxfer data check`: for a terminal and as HTML, whatever names are made of."""

import html.parser

from tfxfer.facts import BadImage
from tfxfer.inspection import Finding, html_page, text_page
from tfxfer.inspection.inspected import Alike, ClassCounts, Inspected, Pairs, Place

EVIL = "<script>alert(1)</script>\x1b[31m\udcff"
HOSTILE = Inspected(
    source=f"folder:{EVIL}",
    images=3,
    classes=(ClassCounts(name=EVIL, images=2, train=1, validation=0, test=1),),
    split="by hash",
    heights=(1, 2, 3),
    widths=(4, 5, 6),
    modes=(("RGB", 2),),
    unreadable=(BadImage(name=EVIL, reason="x"),),
    near=Alike(
        across_splits=Pairs(
            count=1,
            first=((Place(index=0, name=EVIL, class_name=EVIL, split="train"),) * 2,),
        )
    ),
    notes=(EVIL,),
)
FOUND = (Finding(severity="error", what=f"two\nlines {EVIL}", where=(EVIL,), fix="Rename it."),)


class Tags(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_names_are_escaped_in_html_and_cleaned_of_control_characters():
    page = html_page(HOSTILE, FOUND, b"png")
    page.encode()  # no surrogates
    assert "\x1b" not in page
    tags = Tags()
    tags.feed(page)
    assert "script" not in {tag for tag, _ in tags.found}
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;�[31m�") == 10
    assert {attributes["src"] for tag, attributes in tags.found if tag == "img"} == {"data:image/png;base64,cG5n"}


def test_nothing_is_loaded_from_elsewhere():
    page = html_page(HOSTILE, FOUND)
    assert "http" not in page
    assert "<img" not in page


def test_names_are_cleaned_in_the_terminal():
    page = text_page(HOSTILE, FOUND)
    assert "\x1b" not in page
    assert "\udcff" not in page
    assert "two\nlines <script>" in page
    assert page.endswith("1 error. Training refuses the data as they are.\n")


def test_marks_of_rich_in_names_are_text():
    classes = (ClassCounts(name="[bold]x[/]", images=2, train=1, validation=0, test=1),)
    page = text_page(Inspected(source="folder:[red]", images=2, classes=classes, split="s"), ())
    assert "[bold]x[/]" in page
    assert "folder:[red]" in page
    assert page.endswith("nothing wrong was found.\n")


def test_many_classes_are_the_largest_and_the_smallest_in_the_terminal_and_all_in_html():
    classes = tuple(
        ClassCounts(name=f"class{number:03}", images=number, train=number, validation=0, test=0)
        for number in range(1, 101)
    )
    inspected = Inspected(source="folder:x", images=5050, classes=classes, split="s")
    page = text_page(inspected, ())
    assert page.count("class0") + page.count("class100") == 30
    assert "… 70 more" in page
    assert html_page(inspected, ()).count("<td>class") == 100
