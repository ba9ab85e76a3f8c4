"""For tests of tfxfer, of plug-ins and of users' own code: tiny pictures, a tiny backbone, contract checks."""

from tfxfer.testing.check_source import check_source
from tfxfer.testing.pictures import COLOURS, write_colours
from tfxfer.testing.tiny import TinySource, write_plugin

__all__ = ["COLOURS", "TinySource", "check_source", "write_colours", "write_plugin"]
