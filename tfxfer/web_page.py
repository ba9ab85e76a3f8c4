"""Pages in HTML: one file with nothing outside it, no script, and everything of the user cleaned and escaped."""

import base64
from typing import Any

import jinja2

from tfxfer.display import clean, duration_text


def render(title: str, body: str, *, style: str = "", **shown: Any) -> str:
    """Returns a page.

    Args:
        title: of the page, as text.
        body: a template of Jinja for what stands in it. Beside Jinja's filters there are `clean` (text of others, line
            by line, without control characters), `duration` (of seconds) and `inline` (a PNG as an address).
        style: CSS of this page alone.
        shown: names of the template. What it does not find is an error.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {"clean": _clean, "duration": duration_text, "inline": _inline}
    whole = _FRAME.replace("@STYLE@", style).replace("@BODY@", body)
    return environment.from_string(whole).render(page_title=title, **shown)


def _clean(text: object) -> str:
    return "\n".join(map(clean, str(text).splitlines()))


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


_FRAME = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ page_title | clean }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse } td, th { padding: .15em .8em .15em 0; text-align: left; vertical-align: top }
.number { text-align: right; font-variant-numeric: tabular-nums }
td, li, h1 { overflow-wrap: anywhere } img { max-width: 100% }
@STYLE@</style>
@BODY@</html>
"""
