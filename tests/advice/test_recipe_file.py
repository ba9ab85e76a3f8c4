import pathlib

import pytest

from tfxfer import Augment, Data, Recipe, Stage, config, heads
from tfxfer.advice import recipe_file
from tfxfer.errors import ConfigError, WorkdirError
from tfxfer.objectives import Written
from tfxfer.recipes import Adam, Backbone

RECIPES = [
    Recipe(),
    Recipe(data="folder:my 'photos'", backbone=Backbone(at="stage4.block6"), stages="partial", image_size=64),
    Recipe(
        data=Data(source="csv:a.csv", label_column="breed"),
        head=heads.MLP(hidden=(8,)),
        stages=(Stage(train="head", epochs=3, optimizer=Adam()), Stage(train=2, steps=7)),
        augment=Augment(views=3),
    ),
]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_written_recipe_is_read_as_it_was(recipe, tmp_path):
    path = tmp_path / "advised.py"
    recipe_file.write_recipe(recipe, path, ["because", 'of "quotes" """ and\nimport os'])
    assert config.read_recipe(str(path)) == recipe
    text = path.read_text()
    assert "seed" not in text
    assert '# of "quotes" """ and import os\n' in text  # still a comment


def test_what_a_program_made_is_told_to_be_imported(tmp_path):
    mine = Written(name="Mine", config='{"class_name": "Mine", "module": null, "registered_name": "own>Mine"}')
    error = Written(name="error", config='{"class_name": "function", "config": "own>error", "module": "builtins"}')
    theirs = Written(name="Hinge", config='{"class_name": "Hinge", "module": "keras.losses", "registered_name": null}')
    recipe = Recipe(loss=mine, metrics=(theirs, error, "auc"))
    recipe_file.write_recipe(recipe, tmp_path / "advised.py")
    lines = (tmp_path / "advised.py").read_text().splitlines()
    told = "# Of your own program: Mine, error. Import here what registers that, or training refuses it."
    assert lines[lines.index(told) + 1] == "from tfxfer.objectives import Written"
    assert config.read_recipe(str(tmp_path / "advised.py")) == recipe
    assert "own program" not in recipe_file.config_text(Recipe(loss=theirs))


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine.py").write_text("x = 1\n")
    with pytest.raises(WorkdirError, match="exists and is not overwritten"):
        recipe_file.write_recipe(Recipe(), tmp_path / "mine.py")
    assert (tmp_path / "mine.py").read_text() == "x = 1\n"
    with pytest.raises(ConfigError, match=r"is no Python file. Write --write=recipe\.py"):
        recipe_file.check_new(pathlib.Path("recipe.json"))
