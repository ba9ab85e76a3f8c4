"""`tfxfer data check`: what a set of pictures has, and what may go wrong with it, before anything is trained."""

from tfxfer.inspection.finding import Finding
from tfxfer.inspection.findings import findings
from tfxfer.inspection.inspect import inspect
from tfxfer.inspection.inspected import Inspected
from tfxfer.inspection.page import html_page, shown_pairs, text_page
from tfxfer.inspection.sheet import pairs_sheet

__all__ = [
    "Finding",
    "Inspected",
    "findings",
    "html_page",
    "inspect",
    "pairs_sheet",
    "shown_pairs",
    "text_page",
]
