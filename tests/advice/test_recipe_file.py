import pathlib

import pytest

from tfxfer import Augment, Data, Recipe, Stage, config, heads
from tfxfer.advice import recipe_file
from tfxfer.errors import ConfigError, WorkdirError
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


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine.py").write_text("x = 1\n")
    with pytest.raises(WorkdirError, match="exists and is not overwritten"):
        recipe_file.write_recipe(Recipe(), tmp_path / "mine.py")
    assert (tmp_path / "mine.py").read_text() == "x = 1\n"
    with pytest.raises(ConfigError, match=r"is no Python file. Write --write=recipe\.py"):
        recipe_file.check_new(pathlib.Path("recipe.json"))
