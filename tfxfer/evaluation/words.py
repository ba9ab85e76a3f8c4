"""Says in lines what was measured, for each task: the whole, what is worst, and each class, label or target."""

from tfxfer.display import clean, percent_text
from tfxfer.evaluation.report import AnyMeasured, MeasuredLabels, MeasuredNumbers, MeasuredOrdinal, TargetResult


def headline(measured: AnyMeasured) -> str:
    """Returns the result as a whole, with intervals."""
    if isinstance(measured, MeasuredLabels):
        return (
            f"mean average precision {percent_text(measured.mean_average_precision)} on {measured.examples:,} examples "
            f"({_interval(measured.mean_average_precision_interval)}), F1 {percent_text(measured.micro_f1)} over all "
            f"labels and {percent_text(measured.macro_f1)} as mean of each, all labels right for "
            f"{percent_text(measured.exact)}"
        )
    if isinstance(measured, MeasuredNumbers):
        if len(measured.targets) == 1:
            return _target(measured.targets[0], f" on {measured.examples:,} examples")
        shares = ", ".join(f"{clean(target.name)} {target.r2:.2f}" for target in measured.targets[:8])
        return f"R² on {measured.examples:,} examples: {shares}{', …' if len(measured.targets) > 8 else ''}"
    text = (
        f"accuracy {percent_text(measured.accuracy)} on {measured.examples:,} examples "
        f"({_interval(measured.accuracy_interval)}), balanced {percent_text(measured.balanced_accuracy)}"
    )
    if isinstance(measured, MeasuredOrdinal):
        low, high = measured.rank_error_interval
        text += f", off by {measured.rank_error:.2f} ranks ({low:.2f} to {high:.2f}), weighted kappa "
        text += f"{measured.weighted_kappa:.2f}"
    return text


def worst(measured: AnyMeasured) -> str:
    """Returns which class, label or target is told worst, of those that have examples."""
    if isinstance(measured, MeasuredLabels):
        there = [each for each in measured.labels if each.examples]
        if not there:
            return "no example of the test has a label, so that none was measured"
        label = min(there, key=lambda each: each.average_precision)
        return (
            f"lowest average precision {percent_text(label.average_precision)} for label {clean(label.name)} "
            f"({label.examples} examples)"
        )
    if isinstance(measured, MeasuredNumbers):
        target = min(measured.targets, key=lambda each: each.r2)
        return (
            f"the mean of the training examples would be off by {target.mean_mae:.4g} for {clean(target.name)}, the "
            f"network is by {target.mae:.4g}"
        )
    lowest = min((each for each in measured.classes if each.examples), key=lambda each: each.recall)
    return f"lowest recall {percent_text(lowest.recall)} for class {clean(lowest.name)} ({lowest.examples} examples)"


def lines_of(measured: AnyMeasured) -> list[str]:
    """Returns a line for each class, label or target."""
    if isinstance(measured, MeasuredNumbers):
        if len(measured.targets) == 1:  # the headline has it
            return []
        return [f"  {clean(target.name)}: {_target(target)}" for target in measured.targets]
    results = measured.labels if isinstance(measured, MeasuredLabels) else measured.classes
    width = max(len(clean(result.name)) for result in results)
    lines = []
    for result in results:
        first = f"average precision {100 * result.average_precision:5.1f} %  " if hasattr(result, "f1") else ""
        lines.append(
            f"  {clean(result.name):<{width}}  {first}precision {100 * result.precision:5.1f} %  recall "
            f"{100 * result.recall:5.1f} %  {result.examples:,} examples"
        )
    return lines


def _target(target: TargetResult, where: str = "") -> str:
    mae, r2 = (f"{low:.4g} to {high:.4g}" for low, high in (target.mae_interval, target.r2_interval))
    return (
        f"mean absolute error {target.mae:.4g}{where} (95 % interval {mae}), RMSE {target.rmse:.4g}, R² "
        f"{target.r2:.3f} ({r2})"
    )


def _interval(bounds: tuple[float, float]) -> str:
    low, high = (100 * bound for bound in bounds)
    return f"95 % interval {low:.1f} to {high:.1f} %"
