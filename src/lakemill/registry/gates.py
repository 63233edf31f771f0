"""What a version must show before an alias moves to it: pure arithmetic over evaluations."""

from __future__ import annotations

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


def decide(gate: BetterThan, challenger: Evaluation, opponent: Evaluation) -> Decision:
    """Compare a challenger with its opponent.

    Raises
    ------
    ConfigError
        If the two were not measured by the gate's metric.

    Examples
    --------
    >>> gate = BetterThan(opponent="champion", metric="rmse", by=0.05)
    >>> new, old = (Evaluation(metric="rmse", value=v, data="June", n=100) for v in (0.98, 1.0))
    >>> decide(gate, new, old).reason
    'rmse 0.98 is 2.0 % better than 1 of the champion; at least 5.0 % is asked'
    """
    for evaluation in (challenger, opponent):
        if evaluation.metric != gate.metric:
            raise ConfigError(f"the gate asks for {gate.metric}, the evaluation holds {evaluation.metric}")
    gain = _gain(challenger, opponent)
    direction = "better" if gain >= 0 else "worse"
    reason = (
        f"{gate.metric} {challenger.value:.4g} is {abs(gain):.1%} {direction} than {opponent.value:.4g} "
        f"of the {gate.opponent}; at least {gate.by:.1%} is asked"
    ).replace("%", " %")
    if challenger.data != opponent.data:
        reason += f" (measured on other data: {challenger.data} against {opponent.data})"
    return Decision(passed=gain > 0 and gain >= gate.by, reason=reason)


def _gain(challenger: Evaluation, opponent: Evaluation) -> float:
    """Return the improvement as a share of the opponent's value."""
    difference = challenger.value - opponent.value
    towards = difference if challenger.higher_is_better else -difference
    return towards / abs(opponent.value) if opponent.value else towards
