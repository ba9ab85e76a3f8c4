"""Writes and opens bundles, and SavedModels of anyone's networks."""

from tfxfer.export.bundle import Bundle, check_archive, open_bundle, representative, write
from tfxfer.export.hub import export_hub

__all__ = ["Bundle", "check_archive", "export_hub", "open_bundle", "representative", "write"]
