"""``lakemill advise``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lakemill.cli.command import Command, Group
from lakemill.cli.options import JsonOption
from lakemill.cli.output import fields, print_json, show, table
from lakemill.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lakemill.core.planning import Interval
    from lakemill.planner.advice.inference import InferenceAdvice
    from lakemill.planner.advice.inference_modes import InferenceOption
    from lakemill.planner.advice.tuning import TuningAdvice, TuningOption

MOST_SHOWN: Final = 8
SPAN: Final = "A number, or LOW..HIGH where it is not sure."

advise = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    help="""Weigh a choice beside the plan: how to tune, how to serve.

    Example:  lakemill advise tuning --fit-seconds 2 --trials 64 --workers 8""",
)


@advise.command(cls=Command)
def tuning(
    *,
    fit_seconds: Annotated[str, typer.Option("--fit-seconds", metavar="SECONDS", help=f"Of one fit. {SPAN}")],
    sampler: Annotated[str, typer.Option("--sampler", metavar="KIND", help="grid, random, tpe or other.")] = "tpe",
    grid: Annotated[
        str, typer.Option("--grid", metavar="N,N,...", help="Values of each hyperparameter; the sampler is then grid.")
    ] = "",
    trials: Annotated[int | None, typer.Option("--trials", metavar="N", help="Trials to run.")] = None,
    folds: Annotated[int, typer.Option("--folds", metavar="N", help="Fits of a trial.")] = 5,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Fits that can run at once; the cores here if none.")
    ] = None,
    deadline: Annotated[
        float | None, typer.Option("--deadline", metavar="SECONDS", help="What must not take longer.")
    ] = None,
    keep: Annotated[
        float, typer.Option("--keep", metavar="SHARE", help="Share of the worth of the trials that must be left.")
    ] = 0.75,
    as_json: JsonOption = False,
) -> None:
    """How many trials, how many at once, and what more at once loses.

    Example:  lakemill advise tuning --fit-seconds 1.5..3 --trials 64 --workers 16
    """
    from lakemill.planner.advice import Tuning, advise_tuning

    asked = Tuning(
        seconds_per_fit=_span(fit_seconds, "--fit-seconds"),
        sampler="grid" if grid else sampler,  # type: ignore[arg-type]  # checked by the record
        grid=_grid(grid),
        trials=trials,
        folds=folds,
        workers=workers or _cores(),
        deadline_seconds=deadline,
        least_share=keep,
    )
    made = advise_tuning(asked)
    print_json({"advice": made}) if as_json else _show_tuning(made)


@advise.command(cls=Command)
def inference(  # noqa: PLR0913  each is an option of the command
    *,
    requests: Annotated[float, typer.Option("--requests", metavar="N", help="Requests a second, mean of a day.")],
    row_seconds: Annotated[
        str, typer.Option("--row-seconds", metavar="SECONDS", help=f"Of the model for a row. {SPAN}")
    ],
    call_seconds: Annotated[
        str, typer.Option("--call-seconds", metavar="SECONDS", help=f"Of a call beside its rows. {SPAN}")
    ] = "0",
    peak: Annotated[
        float | None, typer.Option("--peak", metavar="N", help="Requests a second at the busiest time.")
    ] = None,
    rows_per_request: Annotated[int, typer.Option("--rows-per-request", metavar="N", help="Rows of a request.")] = 1,
    rows_ahead: Annotated[
        int | None,
        typer.Option("--rows-ahead", metavar="N", help="Rows to score before anybody asks; none: requests bring them."),
    ] = None,
    changes: Annotated[
        float | None, typer.Option("--changes", metavar="N", help="Of those rows, how many change a second.")
    ] = None,
    latency: Annotated[
        float | None, typer.Option("--latency", metavar="SECONDS", help="What an answer must not take longer.")
    ] = None,
    freshness: Annotated[
        float | None, typer.Option("--freshness", metavar="SECONDS", help="What features must not be older.")
    ] = None,
    price: Annotated[float | None, typer.Option("--price", metavar="P", help="Of an hour of a node.")] = None,
    workers: Annotated[int, typer.Option("--workers", metavar="N", help="Of a node that score at once.")] = 1,
    start: Annotated[
        str | None, typer.Option("--start", metavar="SECONDS", help=f"Of a batch run before its first row. {SPAN}")
    ] = None,
    microbatch: Annotated[
        str | None, typer.Option("--microbatch", metavar="SECONDS", help=f"Of a micro-batch beside its rows. {SPAN}")
    ] = None,
    lookup: Annotated[
        str | None, typer.Option("--lookup", metavar="SECONDS", help=f"Of reading a stored prediction. {SPAN}")
    ] = None,
    max_nodes: Annotated[int, typer.Option("--max-nodes", metavar="N", help="Nodes that can be had.")] = 64,
    as_json: JsonOption = False,
) -> None:
    """Batch, streaming or real-time, by latency, throughput, cost and freshness.

    Example:  lakemill advise inference --requests 20 --row-seconds 0.01 --latency 0.2 --price 0.5
    """
    from lakemill.planner.advice import Inference, advise_inference

    guesses = {"start_seconds": start, "microbatch_seconds": microbatch, "lookup_seconds": lookup}
    known: dict[str, Any] = {
        name: _span(text, f"--{name.split('_')[0]}") for name, text in guesses.items() if text is not None
    }
    asked = Inference(
        requests_per_second=requests,
        seconds_per_row=_span(row_seconds, "--row-seconds"),
        seconds_per_call=_span(call_seconds, "--call-seconds"),
        peak_requests_per_second=peak,
        rows_per_request=rows_per_request,
        rows_ahead=rows_ahead,
        changes_per_second=changes,
        latency_seconds=latency,
        freshness_seconds=freshness,
        price_per_hour=price,
        workers_per_node=workers,
        max_nodes=max_nodes,
    )
    made = advise_inference(replace(asked, **known))
    print_json({"advice": made}) if as_json else _show_inference(made)


def _span(text: str, option: str) -> Interval:
    """Read ``2`` or ``1.5..3``."""
    from lakemill.core.planning import Interval

    try:
        low, high = (float(part) for part in (text.split("..") if ".." in text else (text, text)))
    except ValueError:
        raise ConfigError(f"{option}: expected a number or LOW..HIGH, got {text!r}", hint="2, or 1.5..3") from None
    return Interval(value=(low + high) / 2, low=low, high=high)


def _grid(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ConfigError(f"--grid: expected whole numbers and commas, got {text!r}", hint="--grid 5,4,3") from None


def _cores() -> int:
    import psutil

    return len(psutil.Process().cpu_affinity())


def _show_tuning(made: TuningAdvice) -> None:
    from lakemill.planner.wording import in_seconds

    numbers = ("at once", "trials", "models", "predicted", "worth")
    rows = table("", *numbers, "90 % sure", right=numbers)
    for one in _worth_a_look(made):
        mark = "choice" if one is made.choice else f"breaks {', '.join(one.breaks)}" if one.breaks else ""
        counted = (str(one.parallel), f"{one.trials:,}", f"{one.fits:,}", in_seconds(one.seconds.value))
        rows.add_row(mark, *counted, f"{one.share.value:.0%}", f"{one.share.low:.0%} to {one.share.high:.0%}")
    show(rows, fields([*_below("why", made.reasons), ("assumed", ", ".join(made.assumed))]))


def _worth_a_look(made: TuningAdvice) -> Sequence[TuningOption]:
    """Return the choice, and powers of two at once."""
    powers = [one for one in made.options if one.parallel & (one.parallel - 1) == 0]
    kept = {one.parallel for one in powers[:MOST_SHOWN]} | ({made.choice.parallel} if made.choice else set())
    return [one for one in made.options if one.parallel in kept]


def _show_inference(made: InferenceAdvice) -> None:
    from lakemill.planner.wording import in_seconds

    ranks = {criterion: dict(places) for criterion, places in made.ranks}
    numbers = ("nodes", "latency", "rows a second", "cost a day", "age")
    rows = table("", "mode", *numbers, right=numbers)
    for one in made.options:
        rows.add_row(
            "choice" if one is made.choice else "refused" if one.breaks else "",
            one.mode,
            str(one.nodes),
            f"{in_seconds(one.latency.value)} ({ranks['latency'][one.mode]})",
            f"{one.rows_per_second.value:,.4g} ({ranks['throughput'][one.mode]})",
            f"{_cost(one)} ({ranks['cost'][one.mode]})",
            f"{in_seconds(one.age.value)} ({ranks['freshness'][one.mode]})",
        )
    changes = [f"at {each.amount:,.0f} {each.quantity}: {each.becomes}" for each in made.break_even]
    refused = [f"{mode}: {why}" for mode, why in made.refused]
    told = [*_below("why", made.reasons), *_below("refused", refused), *_below("changes", changes)]
    show(rows, fields([*told, ("assumed", ", ".join(made.assumed))]))


def _cost(one: InferenceOption) -> str:
    if one.money_per_day is None:
        return f"{one.node_hours_per_day.value:.3g} node-hours"
    return f"{one.money_per_day.value:.3g}"


def _below(name: str, lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for number, line in enumerate(lines):
        yield ("" if number else name), line
