"""How many trials to run, and how many at once.

References
----------
Bergstra, Bengio (2012), Random search for hyper-parameter optimization, JMLR 13, section 2: of n random trials one
lies in the best share q of the space with probability ``1 - (1-q)^n``. Bergstra, Bardenet, Bengio, Kégl (2011),
Algorithms for hyper-parameter optimization, NIPS: the tree-structured Parzen estimator (TPE), and several trials at
once under a constant lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil, exp, floor, log, prod
from typing import Final, Literal, get_args

from lakemill.core.errors import ConfigError
from lakemill.core.planning import Interval, check_between, check_known, exact, total
from lakemill.core.records import record
from lakemill.planner.advice.tuning_evidence import evidence, measured
from lakemill.planner.cost import counts, makespan
from lakemill.planner.wording import in_seconds

Sampler = Literal["grid", "random", "tpe", "other"]
TuningLimit = Literal["deadline", "loss"]

TOLERANCE: Final = 0.10
NEARLY: Final = 1 - 1e-9


@record
class Tuning:
    """A search for hyperparameters.

    Parameters
    ----------
    seconds_per_fit
        Of one fit, in a worker that has its cores to itself.
    sampler
        ``grid``: all combinations. ``random``. ``tpe``: Optuna's, with its constant liar. ``other``: any that draws
        each trial from the results of those before.
    grid
        Number of values of each hyperparameter, for the sampler ``grid``.
    trials
        None for as many as end by the deadline; without one, as many as random search needs to find one of the
        best `top_share` of the space with probability `confidence`.
    folds
        Fits of a trial; 1 for a single held-out set.
    workers
        Fits that can run at once.
    slowdown_per_busy_worker
        Share by which each further busy worker slows down all of them.
    least_share
        How much of the worth of its trials a search must keep, see `TuningOption.share`.
    """

    seconds_per_fit: Interval
    sampler: Sampler = "tpe"
    grid: tuple[int, ...] = ()
    trials: int | None = None
    folds: int = 5
    workers: int = 1
    slowdown_per_busy_worker: float = 0.0
    deadline_seconds: float | None = None
    least_share: float = 0.75
    top_share: float = 0.05
    confidence: float = 0.95

    def __post_init__(self) -> None:
        """Refuse searches that contradict themselves at birth."""
        check_known(self.sampler, get_args(Sampler), what="sampler")
        check_between(self, "folds", "workers", least=1)
        check_between(self, "slowdown_per_busy_worker", least=0)
        check_between(self, "least_share", least=0, most=1)
        check_between(self, "top_share", "confidence", least=1e-6, most=1 - 1e-6)
        for name, least in (("trials", 1), ("deadline_seconds", 1e-3)):
            if getattr(self, name) is not None:
                check_between(self, name, least=least)
        if self.seconds_per_fit.low <= 0:
            raise ConfigError(f"seconds_per_fit must be above 0, got {self.seconds_per_fit.low}")
        self._check_grid()

    def _check_grid(self) -> None:
        if (self.sampler == "grid") != bool(self.grid) or any(values < 1 for values in self.grid):
            raise ConfigError(
                f"sampler 'grid' needs the number of values of each hyperparameter, all 1 or more, and no other "
                f"sampler takes them; got sampler {self.sampler!r} with grid {self.grid}",
                hint="Tuning(sampler='grid', grid=(5, 4, 3), ...)",
            )
        if self.grid and self.trials is not None:
            raise ConfigError(
                f"a grid sets its own number of trials ({prod(self.grid)}), got trials={self.trials}",
                hint="leave out trials, or use sampler 'random'",
            )

    @property
    def learns(self) -> bool:
        """Whether a trial is drawn from the results of others."""
        return self.sampler in ("tpe", "other")

    @property
    def all_trials(self) -> int | None:
        """Number of trials where time does not set it."""
        if self.trials is not None or self.grid:
            return self.trials or prod(self.grid)
        return None if self.deadline_seconds else trials_to_hit(self.top_share, confidence=self.confidence)


@record
class TuningOption:
    """So many trials, so many at once.

    Parameters
    ----------
    parallel
        Trials at once; fits at once where trials don't learn from each other.
    fits
        Models fitted: trials x folds, and one on all rows with what was found.
    seconds
        Until the last of them ends.
    share
        Share of its trials that the same search needs one after another to find as much: 0.7 if 100 trials find
        what 70 would. Its bounds hold nine problems in ten.
    breaks
        ``deadline``, or ``loss`` where less than `Tuning.least_share` is left.
    """

    parallel: int
    trials: int
    fits: int
    seconds: Interval
    share: Interval
    breaks: tuple[TuningLimit, ...] = ()

    @property
    def worth(self) -> Interval:
        """How many trials one after another find as much."""
        return self.share * self.trials


@record
class TuningAdvice:
    """What to run, and why.

    Parameters
    ----------
    choice
        None where nothing meets the limits; the reasons say what would.
    options
        All that were weighed, one after another first.
    assumed
        Figures that nobody measured.
    """

    tuning: Tuning
    choice: TuningOption | None
    options: tuple[TuningOption, ...]
    reasons: tuple[str, ...]
    assumed: tuple[str, ...] = ()


def trials_to_hit(top_share: float, *, confidence: float) -> int:
    """Return how many random trials hit the best share of the space with that probability.

    References
    ----------
    Bergstra, Bengio (2012): ``1 - (1-q)^n``.

    Examples
    --------
    >>> trials_to_hit(0.05, confidence=0.95)
    59
    """
    return ceil(log(1 - confidence) / log(1 - top_share) * NEARLY)


def share_hit(trials: int, *, confidence: float) -> float:
    """Return the best share of the space that so many random trials hit with that probability.

    Examples
    --------
    >>> round(share_hit(59, confidence=0.95), 3)
    0.05
    """
    return 1 - exp(log(1 - confidence) / trials)


def advise_tuning(tuning: Tuning) -> TuningAdvice:
    """Recommend how many trials to run, and how many at once.

    With a number of trials and a deadline, the fewest at once that meet it; with a deadline alone, what finds most by
    then; without one, the fastest that loses no more than allowed. Each time the fewest at once within 10 % of it.

    Examples
    --------
    >>> from lakemill.core.planning import exact
    >>> grid = Tuning(sampler="grid", grid=(5, 4), folds=3, seconds_per_fit=exact(2.0), workers=8)
    >>> choice = advise_tuning(grid).choice
    >>> choice.fits, choice.parallel, choice.seconds.value, choice.share.value
    (61, 8, 18.0, 1.0)
    """
    options = tuple(_options(tuning))
    choice = _choose(tuning, [option for option in options if not option.breaks])
    reasons = _reasons(tuning, options, choice) if choice else _relaxed(tuning, options)
    guessed = any(_is_guessed(tuning, option) for option in options)
    return TuningAdvice(
        tuning=tuning,
        choice=choice,
        options=options,
        reasons=tuple(reasons),
        assumed=("share",) if guessed else (),
    )


def _options(tuning: Tuning) -> Iterator[TuningOption]:
    trials = tuning.all_trials
    most = tuning.workers if trials is None else min(tuning.workers, _tasks(tuning, trials))
    for parallel in counts(most):
        yield _option(tuning, parallel, trials=trials or _trials_in_time(tuning, parallel))


def _option(tuning: Tuning, parallel: int, *, trials: int) -> TuningOption:
    seconds, share = _seconds(tuning, trials, parallel), _share(tuning, trials, parallel)
    late = tuning.deadline_seconds is not None and seconds.value > tuning.deadline_seconds / NEARLY
    loses = tuning.all_trials is not None and share.value < tuning.least_share
    judged: dict[TuningLimit, bool] = {"deadline": late, "loss": loses}
    return TuningOption(
        parallel=parallel,
        trials=trials,
        fits=trials * tuning.folds + 1,
        seconds=seconds,
        share=share,
        breaks=tuple(limit for limit, breaks in judged.items() if breaks),
    )


def _tasks(tuning: Tuning, trials: int) -> int:
    """Return what workers share out: trials, whose folds run in turn, or all fits where none waits for a result."""
    return trials if tuning.learns else trials * tuning.folds


def _fit(tuning: Tuning, parallel: int) -> Interval:
    return tuning.seconds_per_fit * (1 + tuning.slowdown_per_busy_worker * (parallel - 1))


def _seconds(tuning: Tuning, trials: int, parallel: int) -> Interval:
    work = _fit(tuning, parallel) * (trials * tuning.folds)
    searched = makespan(work, _tasks(tuning, trials), workers=parallel)
    return total([searched, tuning.seconds_per_fit])


def _trials_in_time(tuning: Tuning, parallel: int) -> int:
    """Return the most trials that end by the deadline; 1 if none does."""
    left = (tuning.deadline_seconds or 0.0) - tuning.seconds_per_fit.value
    task = _fit(tuning, parallel).value * (tuning.folds if tuning.learns else 1)
    tasks = parallel * floor(left / task / NEARLY)
    return max(1, tasks if tuning.learns else tasks // tuning.folds)


def _share(tuning: Tuning, trials: int, parallel: int) -> Interval:
    """Return the share of the trials that is left, as measured; rounds of results bound it where nobody measured."""
    if not tuning.learns or parallel == 1:
        return exact(1.0)
    found = evidence(trials, min(parallel, trials)).share
    if tuning.sampler == "tpe" and measured(trials, parallel):
        return found
    return Interval(value=found.value, low=min(found.low, 1 / parallel), high=1.0)


def _is_guessed(tuning: Tuning, option: TuningOption) -> bool:
    known = tuning.sampler == "tpe" and measured(option.trials, option.parallel)
    return tuning.learns and option.parallel > 1 and not known


def _choose(tuning: Tuning, allowed: Sequence[TuningOption]) -> TuningOption | None:
    """Return the fewest at once that are near enough to the best."""
    if not allowed:
        return None
    if tuning.all_trials is None:
        most = max(option.worth.value for option in allowed) * (1 - TOLERANCE)
        return next(option for option in allowed if option.worth.value >= most)
    if tuning.deadline_seconds is not None:
        return allowed[0]
    longest = min(option.seconds.value for option in allowed) * (1 + TOLERANCE)
    return next(option for option in allowed if option.seconds.value <= longest)


def _reasons(tuning: Tuning, options: Sequence[TuningOption], choice: TuningOption) -> Iterator[str]:
    yield _models(tuning, choice)
    yield from _why_so_many(tuning, choice)
    yield from _why_at_once(tuning, options[0], choice)
    yield from _why_no_more(tuning, options, choice)


def _models(tuning: Tuning, option: TuningOption) -> str:
    what = (
        f"grid of {' x '.join(map(str, tuning.grid))} = {option.trials:,}"
        if tuning.grid
        else f"{option.trials:,} trials"
    )
    return f"models fitted: {what} x {tuning.folds} folds + 1 on all rows = {option.fits:,}"


def _why_so_many(tuning: Tuning, choice: TuningOption) -> Iterator[str]:
    best = share_hit(choice.trials, confidence=tuning.confidence)
    if tuning.sampler == "random" or (tuning.learns and tuning.trials is None):
        yield (
            f"{choice.trials:,} random trials hit the best {best:.2g} of the space with {tuning.confidence:.0%}, however "
            "many hyperparameters it has"
        )
    if tuning.sampler == "tpe":
        factor = evidence(choice.trials, choice.parallel).random_factor
        yield f"by rank, random search needs {factor:.2g} times as many trials to find as much, on the mean of what was measured"


def _why_at_once(tuning: Tuning, alone: TuningOption, choice: TuningOption) -> Iterator[str]:
    if choice.parallel == 1:
        return
    if alone.trials == choice.trials:
        yield (
            f"{choice.parallel} at once take {in_seconds(choice.seconds.value)}, {choice.seconds.value / alone.seconds.value:.0%} "
            f"of one after another ({in_seconds(alone.seconds.value)})"
        )
    else:
        yield f"{choice.parallel} at once end {choice.trials:,} trials by the deadline, one after another {alone.trials:,}"
    yield _loss(choice) if tuning.learns else "trials don't learn from each other, so more at once lose nothing"


def _loss(option: TuningOption) -> str:
    bounds = f"{option.share.low:.0%} to {option.share.high:.0%} on nine problems in ten"
    return (
        f"{option.trials:,} trials, {option.parallel} at once, find what {option.worth.value:,.0f} would one after another: "
        f"{option.share.value:.0%} ({bounds})"
    )


def _why_no_more(tuning: Tuning, options: Sequence[TuningOption], choice: TuningOption) -> Iterator[str]:
    more = [option for option in options if option.parallel > choice.parallel]
    if not more:
        yield f"more than {choice.parallel} at once: no workers, or nothing for them to do"
    elif lost := [option for option in more if "loss" in option.breaks]:
        yield f"{lost[0].parallel} at once would leave {lost[0].share.value:.1%} of their worth, below {tuning.least_share:.0%}"
    elif tuning.deadline_seconds is None:
        least = min(more, key=lambda option: option.seconds.value)
        yield f"{least.parallel} at once would end in {in_seconds(least.seconds.value)}, less than {TOLERANCE:.0%} sooner"


def _relaxed(tuning: Tuning, options: Sequence[TuningOption]) -> Iterator[str]:
    """Return what would have to give, where nothing meets the limits."""
    deadline = tuning.deadline_seconds or 0.0
    kept = min((one for one in options if "loss" not in one.breaks), key=lambda one: one.seconds.value)
    yield _models(tuning, kept)
    yield f"relax the deadline from {in_seconds(deadline)} to {in_seconds(kept.seconds.value)}: {kept.parallel} at once"
    fastest = min(options, key=lambda one: one.seconds.value)
    lossy = next((one for one in options if "deadline" not in one.breaks), fastest)
    if "loss" in lossy.breaks:
        yield f"or accept a worth of {lossy.share.value:.0%}: {lossy.parallel} at once end in {in_seconds(lossy.seconds.value)}"
    fewer = _trials_in_time(tuning, fastest.parallel)
    if _seconds(tuning, fewer, fastest.parallel).value <= deadline:
        best = share_hit(fewer, confidence=tuning.confidence)
        yield f"or run {fewer:,} random trials: they hit the best {best:.2g} of the space with {tuning.confidence:.0%}"
