"""What a sweep looks like on a terminal."""

from tfxfer.lr_finder.result import RateSweep, sparkline
from tfxfer.lr_finder.suggestions import RULES, Suggestion


def sweep(**rates: float | None) -> RateSweep:
    found = tuple(Suggestion(rule=name, rate=rates.get(name), note="" if name in rates else "why") for name in RULES)
    return RateSweep(
        rates=(1e-3, 1e-2, 1e-1),
        losses=(3.0, 2.0, 4.0),
        smoothed=(3.0, 2.0, 4.0),
        suggestions=found,
        ended="that is all",
    )


def test_the_valley_is_chosen_where_it_has_an_answer():
    assert sweep(valley=0.01, steep=0.02).rate == 0.01


def test_else_the_first_rule_with_an_answer_is_chosen_or_none():
    assert sweep(steep=0.02, slide=0.03).chosen.rule == "steep"
    assert sweep().rate is None
    assert sweep().chosen is None


def test_each_rule_can_be_asked():
    assert sweep(slide=0.03).by_rule("slide").rate == 0.03


def test_the_table():
    assert str(sweep(minimum=0.0123)).splitlines() == [
        "learning rates 0.001 to 0.1, 3 steps; that is all",
        "smoothed loss █▁█  from 3 down to 2, at last 4",
        "  valley   –        why",
        "  minimum  0.012    take this one",
        "  steep    –        why",
        "  slide    –        why",
    ]


def test_a_sweep_without_a_step_has_a_table_too():
    empty = RateSweep(rates=(), losses=(), smoothed=(), suggestions=sweep().suggestions, ended="then the loss was nan")
    assert str(empty).startswith("learning rates –, 0 steps; then the loss was nan\n  valley")


def test_bars_show_the_fall_and_cut_the_explosion_off():
    assert sparkline((8.0, 4.5, 1.0, 1000.0)) == "█▄▁█"
    assert sparkline((1.0, 1.0)) == "▁▁"
    assert sparkline((1.0, 2.0)) == "▁█"
    assert len(sparkline(tuple(map(float, range(500))))) == 60
