"""Writes and opens bundles."""

from tfxfer.export.bundle import Bundle, check_parity, open_bundle, write

__all__ = ["Bundle", "check_parity", "open_bundle", "write"]
