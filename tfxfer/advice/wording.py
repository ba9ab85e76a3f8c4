"""How measured figures are said: accuracies and average precision in percent, R² as a number."""

from tfxfer.advice import references
from tfxfer.advice.result import Measurements, Metric, Target
from tfxfer.display import percent_text
from tfxfer.scores import Estimate

# What a figure is called: as heading, and before its value.
NAMES: dict[Metric, tuple[str, str]] = {
    "accuracy": ("accuracy", ""),
    "r_squared": ("R²", "R² "),
    "average_precision": ("mean average precision", "a mean average precision of "),
}


def figure(metric: Metric, estimate: Estimate) -> str:
    """Returns a figure with its interval: `90.0 % (88.0 to 92.0 %)`, `0.63 (0.60 to 0.66)`."""
    if metric == "r_squared":
        return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"
    return str(estimate)


def score(measured: Measurements, estimate: Estimate) -> str:
    """Returns a figure that something has: `90.0 % (88.0 to 92.0 %) right`, `R² 0.63 (0.60 to 0.66)`."""
    told = f"{NAMES[measured.metric][1]}{figure(measured.metric, estimate)}"
    return f"{told} right" if measured.metric == "accuracy" else told


def probe(measured: Measurements) -> str:
    """Returns what tells, from features alone."""
    return "a linear classifier" if measured.metric == "accuracy" else "a ridge regression"


def gain(measured: Measurements, *bounds: float) -> str:
    """Returns differences of figures, joined by "to": `2.0 to 6.0 points`, `0.02 to 0.06 of R²`."""
    if measured.metric == "r_squared":
        return f"{' to '.join(f'{bound:.2f}' for bound in bounds)} of R²"
    return f"{' to '.join(f'{100 * bound:.1f}' for bound in bounds)} points"


def without_looking(measured: Measurements) -> str:
    """Returns what an answer reaches that does not look at pictures."""
    if measured.metric == "r_squared":
        return "their mean has R² 0"
    if measured.metric == "average_precision":
        return f"an answer without looking has {percent_text(measured.frequent)}"
    return f"the most frequent class is {percent_text(measured.frequent)}"


def agreement(measured: Measurements) -> str:
    """Returns how alike labels of nearest neighbours are, and how alike they are by chance."""
    test = measured.learnable
    if measured.metric != "accuracy":
        what = "labels" if measured.metric == "average_precision" else "numbers"
        mean = f", as the mean over {what}" if test.each_class_alike else ""
        return (
            f"{what} correlate with those of nearest neighbours by {test.agreement:.2f}{mean}, by chance "
            f"{test.by_chance:.2f}"
        )
    mean = " (mean over classes)" if test.each_class_alike else ""
    return f"{percent_text(test.agreement)} of nearest neighbours agree{mean}, by chance {percent_text(test.by_chance)}"


def of_curve(measured: Measurements) -> str:
    """Returns what the learning curve is of: such as `a linear classifier on features of block3`."""
    *others, last = measured.curve_depths or (measured.best,)
    if not others:
        return f"a linear classifier on features of {last}"
    return f"linear classifiers on features of {', '.join(others)} and {last}, the mean of their accuracies"


def expected(measured: Measurements) -> str:
    """Returns what is expected of the best depth on other examples; "" where that is what was measured."""
    told = None if measured.expected is None else score(measured, measured.expected)
    if told in (None, score(measured, measured.depth(measured.best).linear)):
        return ""
    return (
        f"on other examples {measured.best} is expected to have {told}: chosen for being the best of several, it looks "
        "better here than it is"
    )


def beyond(measured: Measurements) -> str:
    """Returns that there are too many examples for a forecast, where there are; else ""."""
    if measured.forecasts or not measured.sizes:
        return ""
    return (
        f"no forecast: the curve ends at {measured.examples:,} of {measured.available:,} examples, and was tried to "
        "four times its end"
    )


def target(one: Target) -> str:
    """Returns what is told of one number or label."""
    if one.error is None:
        return f"average precision {one.score}; {percent_text(one.share)} have it"
    error = f"{one.error.value:.4g} ({one.error.low:.4g} to {one.error.high:.4g})"
    return f"off by {error} on average, the mean of all by {one.mean_error:.4g}; R² {figure('r_squared', one.score)}"


def nearest_class(measured: Measurements) -> str:
    """Returns how near pictures are to the classes of pretraining, where no batch norm tells more; else ""."""
    if measured.nearest_class is None:
        return ""
    text = f"nearest class of pretraining {measured.nearest_class:.3f}, the larger the more alike"
    if not references.holds_at(measured.image_size):
        return f"{text}; nothing was measured near {measured.image_size} pixels to compare it with"
    shown = ", ".join(f"{name} {value:.3f}" for name, value in references.scale_of_classes(measured.image_size))
    small = ""
    if measured.image_size < references.CLASSES_FROM:
        small = f". Below {references.CLASSES_FROM} pixels it tells blurred pictures less surely from others"
    return f"{text}; on SqueezeNet 1.1 it was for {shown}{small}. Other networks have scales of their own"
