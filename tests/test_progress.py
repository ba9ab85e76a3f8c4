"""A bar is on standard error alone, and what is printed meanwhile goes where it was meant to go."""

import io
import sys

import pytest

from tfxfer import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("total", [2, None])
def test_lines_printed_beside_a_bar_reach_the_file_that_standard_output_is(monkeypatch, total):
    errors, output = Terminal(), io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setattr(sys, "stdout", output)
    with progress.bar("labelling", total, kind="images") as advance:
        advance(1, "7 images/s")
        print("a line")
    assert output.getvalue() == "a line\n"
    assert "labelling" in errors.getvalue()
    assert ("1/2" if total else "1/?") in errors.getvalue()
    assert "7 images/s" in errors.getvalue()


def test_without_a_terminal_there_is_no_bar(capsys):
    with progress.bar("labelling", None) as advance:
        advance(1)
    assert capsys.readouterr() == ("", "")
