"""`python -m tfxfer` is the command `tfxfer`."""

from tfxfer.cli.main import console

console()
