"""Writes and opens bundles, and SavedModels of anyone's networks."""

from tfxfer.export.bundle import Bundle, check_archive, open_bundle, representative, write
from tfxfer.export.hub import export_hub
from tfxfer.export.known import count_known, known_contents, read_known

__all__ = [
    "Bundle",
    "check_archive",
    "count_known",
    "export_hub",
    "known_contents",
    "open_bundle",
    "read_known",
    "representative",
    "write",
]
