"""What transfer learning will be worth on some data, measured before anything trains.

    advice = tfxfer.advise(tfxfer.Recipe(data="folder:photos"))
    print(advice)

One inference pass gives features of every depth; `tfxfer.scores` tells what they are worth.
"""

from tfxfer import lazy

_HOMES = {
    "Advice": "tfxfer.advice.result",
    "Candidate": "tfxfer.advice.result",
    "Conclusion": "tfxfer.advice.result",
    "Depth": "tfxfer.advice.result",
    "LeftOut": "tfxfer.advice.result",
    "Measurements": "tfxfer.advice.result",
    "Race": "tfxfer.advice.result",
    "advise": "tfxfer.advice.asking",
    "advised": "tfxfer.advice.asking",
    "check_new": "tfxfer.advice.recipe_file",
    "measure": "tfxfer.advice.measuring",
    "run": "tfxfer.advice.running",
    "write_recipe": "tfxfer.advice.recipe_file",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy.attributes(__name__, _HOMES)
