"""Names every mistake in a recipe that can be seen without its data, its backbone or TensorFlow."""

from tfxfer import backbones, data, recipes


def check_recipe(recipe: recipes.Recipe) -> None:
    """Refuses a recipe that cannot work. (Its own constructor has checked types and ranges.)

    Raises:
        ConfigError: an unknown kind of data source, an unknown source or name of the backbone, or an image
            size below what it needs.
    """
    data.check_source(recipe.data.source)
    card = backbones.card(recipe.backbone.handle)
    if recipe.image_size != "auto":
        backbones.check_size(card, recipe.image_size)
