"""What a version must show before an alias moves to it: pure arithmetic over evaluations."""

from __future__ import annotations

from collections.abc import Iterator

from lakemill.core.errors import ConfigError
from lakemill.core.records import record
from lakemill.registry.records import Decision, Evaluation


@record
class BetterThan:
    """A challenger must beat its opponent by a share of the opponent's value.

    Parameters
    ----------
    opponent
        An alias, ``champion`` as a rule; while no version has it, the training's baseline stands in.
    metric
        The metric that counts.
    by
        Least relative improvement: 0.01 asks for one percent.
    """

    opponent: str
    metric: str
    by: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a share below 0."""
        if self.by < 0:
            raise ConfigError(
                f"by must be 0 or more, got {self.by}", hint="0.01 asks for an improvement of one percent"
            )


@record
class MetricThreshold:
    """A challenger must reach a value, and may have to improve on its opponent.

    Parameters
    ----------
    metric
        The metric that counts.
    threshold
        The least value, or the greatest where lower is better; None asks for none.
    min_absolute_change
        Least improvement on the opponent, in the metric's unit.
    min_relative_change
        Least improvement as a share of the opponent's value.
    opponent
        As for `BetterThan`; without one the changes are not asked.
    """

    metric: str
    threshold: float | None = None
    min_absolute_change: float | None = None
    min_relative_change: float | None = None
    opponent: str = "champion"

    def __post_init__(self) -> None:
        """Refuse a gate that asks for nothing, or for a change for the worse."""
        changes = [change for change in (self.min_absolute_change, self.min_relative_change) if change is not None]
        if self.threshold is None and not changes:
            raise ConfigError(f"the gate on {self.metric} asks for nothing", hint="set threshold, or a least change")
        if any(change < 0 for change in changes):
            raise ConfigError(f"a least change must be 0 or more, got {min(changes)}")


Gate = BetterThan | MetricThreshold


def decide(gate: Gate, challenger: Evaluation, opponent: Evaluation | None) -> Decision:
    """Let a gate judge a challenger.

    Parameters
    ----------
    opponent
        None while there is nothing to compare with, which holds no challenger back.

    Raises
    ------
    ConfigError
        If the two were not measured by the gate's metric, in one direction.

    Examples
    --------
    >>> gate = BetterThan(opponent="champion", metric="rmse", by=0.05)
    >>> new = Evaluation(metric="rmse", value=0.98, of="version 2", data="June", n=100)
    >>> old = Evaluation(metric="rmse", value=1.0, of="version 1", data="June", n=100)
    >>> decide(gate, new, old).reason
    'rmse 0.98 is 2.0 % better than 1 of version 1; at least 5.0 % is asked'
    """
    _check(gate, challenger, opponent)
    judge = (
        _against(gate, challenger, opponent) if isinstance(gate, BetterThan) else _beyond(gate, challenger, opponent)
    )
    verdicts = list(judge)
    reason = "; ".join(verdict.reason for verdict in verdicts)
    if opponent is not None and challenger.data != opponent.data:
        reason += f" (measured on other data: {challenger.data} against {opponent.data})"
    return Decision(passed=all(verdict.passed for verdict in verdicts), reason=reason)


def _check(gate: Gate, challenger: Evaluation, opponent: Evaluation | None) -> None:
    for evaluation in filter(None, (challenger, opponent)):
        if evaluation.metric != gate.metric:
            raise ConfigError(f"the gate asks for {gate.metric}, the evaluation holds {evaluation.metric}")
    if opponent is not None and challenger.higher_is_better != opponent.higher_is_better:
        raise ConfigError(f"{gate.metric} of challenger and {gate.opponent} do not agree which direction is better")


def _against(gate: BetterThan, challenger: Evaluation, opponent: Evaluation | None) -> Iterator[Decision]:
    if opponent is None:
        yield _unopposed(challenger, gate.opponent)
    else:
        yield _by_share(challenger, opponent, asked=gate.by)


def _beyond(gate: MetricThreshold, challenger: Evaluation, opponent: Evaluation | None) -> Iterator[Decision]:
    if gate.threshold is not None:
        yield _reaches(challenger, gate.threshold)
    elif opponent is None:
        yield _unopposed(challenger, gate.opponent)
    if opponent is not None and gate.min_absolute_change is not None:
        yield _by_amount(challenger, opponent, asked=gate.min_absolute_change)
    if opponent is not None and gate.min_relative_change is not None:
        yield _by_share(challenger, opponent, asked=gate.min_relative_change)


def _unopposed(challenger: Evaluation, opponent: str) -> Decision:
    reason = f"{challenger.metric} {challenger.value:.4g}: there is no {opponent} to compare with yet"
    return Decision(passed=True, reason=reason)


def _reaches(challenger: Evaluation, threshold: float) -> Decision:
    passed = challenger.value >= threshold if challenger.higher_is_better else challenger.value <= threshold
    bound = "least" if challenger.higher_is_better else "most"
    reason = f"{challenger.metric} is {challenger.value:.4g}; at {bound} {threshold:.4g} is asked"
    return Decision(passed=passed, reason=reason)


def _by_share(challenger: Evaluation, opponent: Evaluation, *, asked: float) -> Decision:
    if opponent.value == 0:
        return _by_amount(challenger, opponent, asked=0.0)
    share = _gain(challenger, opponent) / abs(opponent.value)
    reason = _compared(challenger, opponent, gain=_percent(share), asked=_percent(asked))
    return Decision(passed=share > 0 and share >= asked, reason=reason)


def _by_amount(challenger: Evaluation, opponent: Evaluation, *, asked: float) -> Decision:
    gain = _gain(challenger, opponent)
    reason = _compared(challenger, opponent, gain=f"{abs(gain):.4g}", asked=f"{asked:.4g}")
    return Decision(passed=gain > 0 and gain >= asked, reason=reason)


def _compared(challenger: Evaluation, opponent: Evaluation, *, gain: str, asked: str) -> str:
    direction = "better" if _gain(challenger, opponent) >= 0 else "worse"
    return (
        f"{challenger.metric} {challenger.value:.4g} is {gain} {direction} than {opponent.value:.4g} "
        f"of {opponent.of}; at least {asked} is asked"
    )


def _gain(challenger: Evaluation, opponent: Evaluation) -> float:
    """Return the improvement in the metric's unit."""
    difference = challenger.value - opponent.value
    return difference if challenger.higher_is_better else -difference


def _percent(share: float) -> str:
    return f"{100 * abs(share):.1f} %"
