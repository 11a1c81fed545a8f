"""A metric's points as a curve of characters, and as CSV."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from support.records import run_record

from orchestrator.run.attempt_model import MetricPoint
from orchestrator.run.metrics.series import Point, points_of
from orchestrator.view.forms.page import Text, View
from orchestrator.view.runs.curve_view import HEIGHT, curve_lines, curve_view, series_csv

LOSS = tuple(MetricPoint(name="loss", step=10 * n, value=1.0 / (n + 1)) for n in range(5))
RUN = run_record()
POINTS = {
    "loss": list(points_of(LOSS)),
    "acc": [Point("acc", None, 0.9)],
    "=x": [Point("=x", None, float("nan"))],
}


def view(name: str) -> View:
    return curve_view(RUN, name, POINTS[name], 60)


def texts(name: str) -> list[str]:
    return [block.text for block in view(name).page if isinstance(block, Text)]


def test_a_curve_has_its_ends_and_its_extremes() -> None:
    _, said, curve = texts("loss")
    assert said == "5 points, last 0.2 at step 40, least 0.2 at step 40, greatest 1 at step 0"
    lines = curve.strip("\n").split("\n")
    assert len(lines) == HEIGHT + 2 and all(len(line) <= 60 + len("  step") for line in lines)
    assert (
        lines[0].startswith("  1 |*")
        and lines[HEIGHT - 1].startswith("0.2 |")
        and lines[HEIGHT - 1].endswith("*")
    )
    assert lines[-1].split() == ["0", "40", "step"]
    assert view("loss").document["points"][1] == {"step": 10, "value": 0.5}


def test_what_has_no_curve_is_said() -> None:
    assert texts("acc")[1:] == ["0.9"]
    assert texts("=x")[1:] == ["nan, 1 not finite"]


def test_points_as_csv() -> None:
    assert series_csv(POINTS["loss"]).split("\n")[:3] == ["metric,step,value", "loss,0,1.0", "loss,10,0.5"]
    assert series_csv(POINTS["=x"]).split("\n")[1:] == ["'=x,,NaN", ""]


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        min_size=2,
        max_size=20,
    ),
    st.integers(1, 200),
)
def test_any_finite_points_make_a_curve_of_one_size(
    points: list[tuple[int | None, float]], width: int
) -> None:
    lines = curve_lines([Point("x", *point) for point in points], width)
    assert len(lines) == HEIGHT + 2
    assert max(map(len, lines)) <= max(width, 40) + 60
    assert sum(line.count("*") for line in lines) >= 1
