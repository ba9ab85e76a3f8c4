"""The list of backbones: every source in it, in order, and none that can break it for the others."""

import pathlib
import sys

import pytest

from tfxfer.catalogue import listing
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.testing import TinySource, write_plugin

OURS = ("builtin", "file", "hub", "keras", "kerashub", "torch")


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> None:
    """Installs `tiny:` for one test."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(write_plugin(tmp_path / "tiny"))])


def install(folder: pathlib.Path, monkeypatch, source: str, code: str) -> None:
    """Installs a source whose module is `code`."""
    info = folder / f"tfxfer_{source}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tfxfer-{source}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tfxfer.backbones]\n{source} = module_of_{source}:SOURCE\n")
    (folder / f"module_of_{source}.py").write_text(code)
    monkeypatch.delitem(sys.modules, f"module_of_{source}", raising=False)
    monkeypatch.syspath_prepend(folder)


def listed(source: str, **settings) -> list[str]:
    return [entry.card.handle for entry in listing.list_source(source, **settings).entries]


def test_our_sources_come_in_the_order_in_which_they_are_declared(tiny):
    assert tuple(found.source for found in listing.list_all()) == (*OURS, "tiny")


def test_what_a_source_lists_or_how_its_handles_are_written_is_told():
    told = {found.source: found for found in listing.list_all()}
    assert all(told[source].entries for source in ("builtin", "keras", "torch"))
    assert all(told[source].usage.startswith(f"{source}:") for source in ("file", "hub", "kerashub", "torch"))
    assert [found.problems for found in told.values()] == [()] * len(told)


def test_numbers_in_names_are_sorted_by_value():
    names = [handle.removeprefix("torch:") for handle in listed("torch")]
    assert [name for name in names if name.startswith("resnet")] == [
        "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    ]  # fmt: skip
    assert listed("keras") == sorted(listed("keras"), key=listing._by_value)


def test_only_what_is_present(tiny, monkeypatch):
    monkeypatch.setattr(TinySource, "has_weights", lambda _self, name: name == "plain")
    assert listed("tiny", present=True) == ["tiny:plain"]
    assert listed("tiny") == ["tiny:cnn", "tiny:plain"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError"),
        ("", "has no attribute 'SOURCE'"),
    ],
)
def test_a_source_that_cannot_be_loaded_is_told_with_its_reason(tmp_path, monkeypatch, code, reason):
    install(tmp_path, monkeypatch, "broken", code)
    told = {found.source: found for found in listing.list_all()}
    assert {*OURS, "broken"} <= set(told)
    (problem,) = told["broken"].problems
    assert reason in problem
    assert "It comes from the package tfxfer-broken: update or remove that." in problem
    assert len(told["keras"].entries) >= 40
    with pytest.raises(BackboneError, match="the source 'broken' cannot be loaded"):
        listing.list_source("broken")


def test_a_source_without_names_is_told_with_its_reason(tiny, monkeypatch):
    monkeypatch.setattr(TinySource, "names", lambda _self: 1 / 0)
    found = listing.list_source("tiny")
    assert found.entries == ()
    assert found.problems == ("its names cannot be told: ZeroDivisionError: division by zero.",)


def test_one_card_that_fails_does_not_hide_the_others(tiny, monkeypatch):
    good = TinySource.card

    def card(self, name):
        if name == "cnn":
            raise RuntimeError("no luck\nat all")
        return good(self, name)

    monkeypatch.setattr(TinySource, "card", card)
    found = listing.list_source("tiny")
    assert [entry.card.handle for entry in found.entries] == ["tiny:plain"]
    assert found.problems == ("tiny:cnn cannot be told: RuntimeError: no luck.",)


@pytest.mark.parametrize(
    ("wrong", "reason"), [({"top1": "high"}, "top1='high'"), ({"groups": None}, "groups=None"), (None, "a NoneType")]
)
def test_a_card_of_wrong_values_is_told_not_shown(tiny, monkeypatch, wrong, reason):
    import dataclasses

    good = TinySource.card
    monkeypatch.setattr(TinySource, "card", lambda self, name: wrong and dataclasses.replace(good(self, name), **wrong))
    found = listing.list_source("tiny")
    assert found.entries == ()
    assert reason in found.problems[0]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("kears", "there is no source 'kears'. Did you mean 'keras'? Sources installed: builtin, file, "),
        ("vgg16", "there is no source 'vgg16'. Did you mean keras:VGG16 or torch:vgg16? Sources installed: "),
        ("zzz", "there is no source 'zzz'. Sources installed: "),
    ],
)
def test_an_unknown_source_gets_the_nearest_source_or_the_handle(source, message):
    with pytest.raises(ConfigError) as caught:
        listing.list_source(source)
    assert str(caught.value).startswith(message)
