"""Made-up measurements of advice, with round numbers."""

from tfxfer.advice.result import Candidate, Depth, Measurements, Race
from tfxfer.scores import Compared, Divergence, Estimate, Forecast, Learnable


def estimate(value: float) -> Estimate:
    """Two points to either side."""
    return Estimate(value=value, low=value - 0.02, high=value + 0.02)


def compared(difference: float, probability: float) -> Compared:
    """Of 200 examples."""
    return Compared(
        difference=estimate(difference), second_is_better=probability, only_first=3, only_second=30, examples=200
    )


def measured(**changes) -> Measurements:
    """Features at `block1` have 90 % right and at the end 80 %; pixels 60 %; labels mean something."""
    forecast = Forecast(examples=400, accuracy=estimate(0.91), gain=Estimate(value=0.01, low=0.008, high=0.015))
    settings = {
        "image_size": 128,
        "examples": 200,
        "frequent": 0.4,
        "pixels": estimate(0.6),
        "depths": tuple(
            Depth(
                name=name,
                width=8,
                linear=estimate(x),
                balanced=estimate(x),
                neighbours=estimate(x),
                megabytes=size,
            )
            for name, x, size in (("stem", 0.5, 1.0), ("block1", 0.9, 3.0), ("block2", 0.8, 9.0))
        ),
        "best": "block1",
        "best_against_last": compared(0.1, 0.999),
        "best_against_pixels": compared(0.3, 0.999),
        "learnable": Learnable(p_value=0.001, agreement=0.8, by_chance=0.3, permutations=999),
        "similarity": Divergence(all=0.4, early=0.4, middle=0.4, late=0.4, layers=(0.4,)),
        "sizes": (20, 199),
        "curve": (estimate(0.7), estimate(0.9)),
        "forecasts": (forecast,),
        "seconds": 1.0,
        "scoring_seconds": 2.0,
    }
    return Measurements(**{**settings, **changes})


def candidate(name: str, words: str, value: float, **changes) -> Candidate:
    """One that came half of its way and has this accuracy."""
    settings = {
        "change": f"--stages={name}",
        "accuracy": estimate(value),
        "seconds": 1.0,
        "whole_seconds": 2.0,
        "share": 0.5,
        "rung": 1,
        "reason": "",
        "why_not": "",
    }
    return Candidate(name=name, words=words, **{**settings, **changes})


def race(*candidates: Candidate, **changes) -> Race:
    """Of 10 seconds, which the first of them won before the second, if there is one."""
    settings = {
        "left_out": (),
        "winner": candidates[0].name,
        "runner_up": candidates[1].name if len(candidates) > 1 else "",
        "runner_up_is_better": 0.03 if len(candidates) > 1 else 0.0,
        "examples": 100,
        "trained_on": 100,
        "shares": (0.5,),
        "budget": 10.0,
        "seconds": 9.0,
        "predicted_seconds": 8.0,
        "ended": "the budget was used up",
    }
    return Race(candidates=candidates, **{**settings, **changes})
