"""From what was measured to advice: pure rules, each with its reason and its number.

Which stages train is what won a race, where there was one. Else it is the textbook's table, with measured answers to
"small?" and "similar?"; that they are the best of several was not tried then, and the advice says so.
"""

from tfxfer.advice import references, wording
from tfxfer.advice.result import Candidate, Conclusion, Measurements, Race, Verdict
from tfxfer.display import percent_text
from tfxfer.scores import Estimate

# Above this p-value labels look like noise. Of labels that are noise one in a hundred passes.
SIGNIFICANT = 0.01
# Two classifiers differ where one is better with at least this probability.
CERTAIN = 0.975
# Where as much or more may still be gained by transfer, it is not said that it does not help. A prior.
WORTH = 0.05
# So many right on 16×16 pixels leave nothing to gain; where one class is so frequent, that says nothing. Priors.
EASY, OFTEN = 0.97, 0.8
# "Small": twice the labels are expected to bring so much accuracy or more. A prior.
SMALL_GAIN = 0.02
# From here on more labels come first: the gain expected of twice as many, of which half must be certain. A prior.
LABELS_FIRST_GAIN = 0.03
# One part of the network diverges more than another if by this factor.
_UNEVEN = 1.5

# The textbook's table: which preset of stages where data are (small, similar to pretraining).
TABLE = {
    (True, True): "feature_extraction",
    (True, False): "partial",
    (False, True): "full",
    (False, False): "full",
}
# Likewise for a network whose features do not help.
_WITHOUT_HELP = "full"
# What trains in a preset.
TRAINED = {"feature_extraction": "the head alone", "partial": "the head and the later groups", "full": "everything"}


def verdict_of(measured: Measurements) -> Verdict:
    """Returns in a word whether features of the network are worth anything here."""
    if not measured.has_pairs:
        return "undecided"
    if measured.learnable.p_value > SIGNIFICANT:
        return "nothing_learnable"
    compared = measured.best_against_pixels
    if compared.second_is_better >= CERTAIN:
        return "transfer_helps"
    is_worse = compared.second_is_better <= 1 - CERTAIN
    if measured.pixels.value >= EASY and measured.frequent < OFTEN and not is_worse:
        return "easy"
    if compared.difference.high >= WORTH or not _is_nothing_gained_by_classes(measured):
        return "undecided"
    return "transfer_does_not_help"


def _is_nothing_gained_by_classes(measured: Measurements) -> bool:
    """Whether transfer gains little where each class weighs the same, too: accuracy hardly counts rare classes."""
    balanced = measured.balanced_against_pixels
    if balanced is None:  # accuracy alone says it only where so much can be gained
        return 1 - measured.pixels.value >= WORTH
    return balanced.high < WORTH


def cut_of(measured: Measurements) -> str:
    """Returns the layer group to cut the network behind: where features are better than at its end for certain."""
    return measured.best if measured.best_against_last.second_is_better >= CERTAIN else ""


def advised_cut(measured: Measurements) -> str:
    """Returns where to cut the network that is trained; "" where all of it is, or nothing."""
    return cut_of(measured) if verdict_of(measured) in ("transfer_helps", "undecided") else ""


def is_small(measured: Measurements) -> bool:
    """Whether twice the labels are expected to help.

    Where there are too few for a forecast, or that is not known, they would; where there are too many, they would not.
    """
    if measured.forecasts and measured.has_pairs:
        return measured.forecasts[0].gain.value >= SMALL_GAIN
    return not wording.beyond(measured)


def is_similar(measured: Measurements) -> bool:
    """Whether pictures are as near to those of pretraining as photographs are; not, where nothing tells."""
    found = measured.similarity
    return is_comparable(measured) and references.is_similar(found.all, measured.image_size)


def is_comparable(measured: Measurements) -> bool:
    """Whether the distance from pretraining is known, and others were measured at about this size."""
    return measured.similarity is not None and references.holds_at(measured.image_size)


def quarter_of(measured: Measurements) -> str:
    """Returns which of the four cases of the textbook table this is; "" where similarity is not known.

    "Small" and "large" say whether more labels are expected to help, not how many there are.
    """
    if not is_comparable(measured):
        return ""
    if measured.metric != "accuracy":
        return f"data {_likeness(measured)}; whether more of it would help was not measured"
    return f"{_size(measured)}, {_likeness(measured)}"


def _likeness(measured: Measurements) -> str:
    return f"{'similar to' if is_similar(measured) else 'different from'} what the network was pretrained on"


def _size(measured: Measurements) -> str:
    return f"{'small' if is_small(measured) else 'large'} data"


def stages_of(measured: Measurements) -> str:
    """Returns the preset that the table has for the case; "" where nothing is to be trained.

    Small and similar: the head alone. Small and different: later groups, too. Large: everything. Where anything will
    do, the head; where transfer does not help, everything: what helps then is another network.
    """
    verdict = verdict_of(measured)
    if verdict == "nothing_learnable":
        return ""
    if verdict == "easy":
        return "feature_extraction"
    if verdict == "transfer_does_not_help":
        return _WITHOUT_HELP
    return TABLE[is_small(measured), is_similar(measured)]


def conclude(measured: Measurements, race: Race | None = None) -> tuple[Conclusion, ...]:
    """Returns what to do, the most important first."""
    verdict = verdict_of(measured)
    if verdict == "nothing_learnable":
        return (_nothing_learnable(measured),)
    if verdict == "easy":
        return (_easy(measured),)
    worth = {"transfer_does_not_help": _no_transfer, "undecided": _undecided, "transfer_helps": _transfer}
    found = [worth[verdict](measured)]
    if (labels := _labels(measured)) is not None:
        found.insert(0 if verdict == "transfer_helps" else 1, labels)
    if race is not None:
        found.append(_raced(race))
    elif verdict == "transfer_does_not_help":
        found.append(_all_the_same())
    elif not measured.has_pairs:
        found.append(_stages(measured))
    else:
        found += [_depth(measured), _stages(measured)]
    return tuple(found)


def _nothing_learnable(measured: Measurements) -> Conclusion:
    test = measured.learnable
    return Conclusion(
        advice="Nothing is learnable from these features: the labels look like noise. Check the labels before "
        "anything trains.",
        reason=f"{wording.agreement(measured)}; labels shuffled {test.permutations} times look as learnable with "
        f"p = {test.p_value:.2g}",
    )


def _easy(measured: Measurements) -> Conclusion:
    what = "These classes are easy to tell apart" if measured.metric == "accuracy" else "This is easy to tell"
    return Conclusion(
        advice=f"{what}: any method will do. Train the head alone (--stages=feature_extraction).",
        reason=f"{wording.probe(measured)} on 16×16 pixels has {wording.score(measured, measured.pixels)}; "
        f"{wording.without_looking(measured)}",
    )


def _no_transfer(measured: Measurements) -> Conclusion:
    compared, best = measured.best_against_pixels, measured.at_best
    return Conclusion(
        advice="Transfer does not help here: no depth of this network beats the pixels themselves. Try another "
        "backbone, or a small network of your own.",
        reason=f"{wording.probe(measured)} has {wording.score(measured, measured.pixels)} on 16×16 pixels and "
        f"{wording.figure(measured.metric, best)} on the best features; these are better with probability "
        f"{compared.second_is_better:.2f}, by at most {wording.gain(measured, compared.difference.high)}",
    )


def _all_the_same() -> Conclusion:
    """Returns what trains where this network is taken although it does not help."""
    return Conclusion(
        advice=f"If you train this network all the same, train {TRAINED[_WITHOUT_HELP]} (--stages={_WITHOUT_HELP}).",
        reason="its features as they are do not help, so all of them have to change",
    )


def _undecided(measured: Measurements) -> Conclusion:
    if not measured.has_pairs:
        return Conclusion(
            advice="Each class has one example: nothing could be measured. Start from the pretrained weights, as is "
            "usual, and label at least a second one of each.",
            reason="of a class whose one example is left out none is there to be recognised by",
        )
    found, balanced = measured.best_against_pixels.difference, measured.balanced_against_pixels
    if found.high < WORTH and balanced is not None:
        return _undecided_by_classes(measured, balanced)
    best = measured.at_best
    return Conclusion(
        advice="Too few examples to tell whether transfer helps; start from the pretrained weights, as is usual.",
        reason=f"on {measured.examples:,} examples {wording.probe(measured)} has "
        f"{wording.score(measured, measured.pixels)} on 16×16 pixels and {wording.figure(measured.metric, best)} on "
        f"the best features: {wording.gain(measured, found.low, found.high)} more",
    )


def _undecided_by_classes(measured: Measurements, balanced: Estimate) -> Conclusion:
    helps = balanced.low > 0
    return Conclusion(
        advice="Transfer helps where each class weighs the same, though accuracy hardly shows it: start from the "
        "pretrained weights, and look at the balanced accuracy."
        if helps
        else "Too few examples of each class to tell whether transfer helps; start from the pretrained weights, as is "
        "usual, and look at the balanced accuracy.",
        reason=f"the most frequent class is {percent_text(measured.frequent)}, and a linear classifier has "
        f"{measured.pixels} right on 16×16 pixels; where each class weighs the same, the best features have "
        f"{100 * balanced.low:.1f} to {100 * balanced.high:.1f} points more",
    )


def _transfer(measured: Measurements) -> Conclusion:
    best = measured.at_best
    return Conclusion(
        advice="Transfer helps: start from the pretrained weights.",
        reason=f"{wording.probe(measured)} on frozen features has {wording.score(measured, best)}, on 16×16 pixels "
        f"{wording.figure(measured.metric, measured.pixels)}; {wording.without_looking(measured)}",
    )


def _labels(measured: Measurements) -> Conclusion | None:
    """Returns that labels come first, where they do."""
    if not measured.forecasts:
        return None
    twice = measured.forecasts[0]
    if twice.gain.value < LABELS_FIRST_GAIN or twice.gain.low < LABELS_FIRST_GAIN / 2:
        return None
    return Conclusion(
        advice=f"You need labels, not tuning: {twice.examples - measured.available:,} more are expected to bring "
        f"{_points(twice)}.",
        reason=f"the learning curve of {wording.of_curve(measured)}, still rises: "
        + ", ".join(
            f"{percent_text(one.value)} with {size:,}" for size, one in zip(measured.sizes, measured.curve, strict=True)
        ),
    )


def _depth(measured: Measurements) -> Conclusion:
    compared, last = measured.best_against_last, measured.depths[-1]
    at_end, at_best = (wording.figure(measured.metric, one.linear) for one in (last, measured.depth(measured.best)))
    both = f"{at_end} at the end, {at_best} at {measured.best}"
    if measured.best == last.name:
        return Conclusion(advice="Use the whole network.", reason=f"no depth has better features: {both}")
    smaller = f"{measured.depth(measured.best).megabytes:.1f} instead of {last.megabytes:.1f} MB of weights"
    if not cut_of(measured):
        return Conclusion(
            advice=f"Use the whole network; cut it only to make it smaller ({smaller}).",
            reason=f"{both}: a tie, the latter better with probability {compared.second_is_better:.2f}",
        )
    right, alone = ("right", " alone") if measured.metric == "accuracy" else ("told more nearly", "")
    return Conclusion(
        advice=f"Cut the network behind {measured.best} (--config.backbone.at={measured.best}): it gets smaller "
        f"({smaller}) and better.",
        reason=f"{both}; on the same examples {compared.only_second} are {right} there{alone}, {compared.only_first} "
        f"at the end{alone}",
    )


def _stages(measured: Measurements) -> Conclusion:
    stages = stages_of(measured)
    raced = " (--budget=60 races them for a minute)" if measured.metric == "accuracy" else ""
    return Conclusion(
        advice=f"Train {TRAINED[stages]} (--stages={stages}).",
        reason=f"{_case(measured)}{_where_it_differs(measured)}: {_table_says(measured)}; other strategies were not "
        f"tried out{raced}",
    )


def _case(measured: Measurements) -> str:
    """Returns which case of the table it is, why, and what of that is not known."""
    known = []
    if measured.metric == "accuracy":
        known.append(f"{_size(measured)} ({_why_so_large(measured)})")
    if is_comparable(measured):
        known.append(_likeness(measured))
    unknown = []
    if measured.metric != "accuracy":
        unknown.append("whether more data would help is not known, and it is taken for small")
    if not is_comparable(measured):
        unknown.append("similarity is not known, and it is taken for different")
    return "; ".join([", ".join(known), *unknown] if known else unknown)


def _why_so_large(measured: Measurements) -> str:
    if measured.forecasts and measured.has_pairs:
        would = "would" if is_small(measured) else "would not"
        return f"twice the labels {would} bring {100 * SMALL_GAIN:g} points"
    return "too few for a forecast" if is_small(measured) else "too much for a forecast"


def _table_says(measured: Measurements) -> str:
    if is_small(measured) or is_similar(measured):
        return "the textbook's table says so"
    return (
        "textbooks train everything there, too, but from random weights, which come as far with much data and longer "
        "training (He et al. 2018)"
    )


def _raced(race: Race) -> Conclusion:
    winner = race.candidate(race.winner)
    train = f"Train {winner.words} ({winner.change})"
    if not race.runner_up:
        lacking = any(one.lacks_seconds for one in race.left_out)
        within = f" within {race.budget:g} s" if lacking else ""
        more = "; give the race more seconds if others are to be tried." if lacking else ": no other could race."
        return Conclusion(
            advice=f"{train}{more}",
            reason=f"it alone came to race{within}: {_after(winner)} of {race.held_out} examples",
        )
    second = race.candidate(race.runner_up)
    reason = (
        f"{_how_won(race)}, {_after(winner)}; next came {second.words} with {_after(second)}, better with probability "
        f"{race.runner_up_is_better:.2f}"
    )
    if winner.accuracy.value >= second.accuracy.value:
        reason += f". The same {race.examples:,} examples chose it, so that its figure is a little too good"
    return Conclusion(advice=f"{train}: it won the race.", reason=reason)


def _how_won(race: Race) -> str:
    """Returns what is true of the winner: that it had most right, or else what kept the others from winning."""
    winner, others = race.candidate(race.winner), [one for one in race.candidates if one.name != race.winner]
    of, right = f"of {len(race.candidates)} strategies", f"{race.held_out} examples right"
    better = [one for one in others if one.accuracy.value >= winner.accuracy.value]
    if not better:
        return f"{of} it had most {right}"
    if all(one.failed for one in better):
        failed = ", ".join(one.name for one in better)
        return f"{of} it had most {right} among those that could train on, which {failed} could not"
    return f"{of}, compared rung by rung by {right} and by what mostly is better, it was left as the best"


def _after(one: Candidate) -> str:
    return f"{one.accuracy} after {100 * one.share:.0f} % of its schedule"


def _where_it_differs(measured: Measurements) -> str:
    found = measured.similarity
    if found is None or not is_comparable(measured) or is_similar(measured):
        return ""
    if found.early > _UNEVEN * found.late:
        return ", most of all in early layers (how pictures look)"
    if found.late > _UNEVEN * found.early:
        return ", most of all in late layers (what they show)"
    return ""


def _points(forecast) -> str:
    gain = forecast.gain
    return f"{100 * gain.value:+.1f} points ({100 * gain.low:.1f} to {100 * gain.high:.1f})"
