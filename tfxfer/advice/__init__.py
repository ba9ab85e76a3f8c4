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
    "NotRanked": "tfxfer.advice.ranking_result",
    "Race": "tfxfer.advice.result",
    "Ranked": "tfxfer.advice.ranking_result",
    "Ranking": "tfxfer.advice.ranking_result",
    "Scores": "tfxfer.advice.ranking_result",
    "advise": "tfxfer.advice.asking",
    "advised": "tfxfer.advice.asking",
    "advised_by_ranking": "tfxfer.advice.ranking",
    "check_new": "tfxfer.advice.recipe_file",
    "check_ranking": "tfxfer.advice.ranking_check",
    "measure": "tfxfer.advice.measuring",
    "rank": "tfxfer.advice.ranking",
    "run": "tfxfer.advice.running",
    "write_recipe": "tfxfer.advice.recipe_file",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy.attributes(__name__, _HOMES)
