"""Workers of one command on this machine: the tool, for tests."""

import importlib.util
import pathlib

_TOOL = pathlib.Path(__file__).resolve().parents[1] / "tools" / "run_local_cluster.py"
_spec = importlib.util.spec_from_file_location("run_local_cluster", _TOOL)
tool = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tool)
