"""Progress drawn on a terminal: a line per task, the stages within it below."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self, TextIO

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from lakemill.cli.progress.board import Board, Stage, State
from lakemill.cli.progress.lines import ended, facts
from lakemill.cli.wording import duration
from lakemill.core.events import Event

REFRESHES_PER_SECOND: Final = 8
_SPINNER: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ICONS: Final[dict[State, tuple[str, str]]] = {"waiting": ("·", "dim"), "ended": ("✓", "green"), "failed": ("✗", "red")}
_FACTS_WIDTH: Final = 46
_MARGIN: Final = 4  # room for the ^C that a terminal writes itself
_SHARE_WIDTH: Final = 7
_BAR_WIDTHS: Final = (6, 24)
_TIME_WIDTH: Final = 12


class Terminal(Console):
    """The terminal behind a stream, also while the standard streams are captured."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(file=stream, highlight=False, markup=False, emoji=False)

    @property  # type: ignore[misc]  # nobody sets it
    def size(self) -> ConsoleDimensions:
        """Columns and lines at this moment."""
        return ConsoleDimensions(*os.get_terminal_size(self.file.fileno()))


class Drawing:
    """Draws the board anew some times a second; notes scroll by above it.

    Parameters
    ----------
    board
        Where the run stands.
    console
        The terminal.
    """

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._console = console
        self._live = Live(
            self,
            console=console,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,  # the table of results takes its place
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wipe the drawing."""
        self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take an event."""
        stage = self._board.take(event)
        if event.kind == "note":
            self.say(f"{stage.key}: {event.text}" if stage.key else event.text)

    def say(self, line: str) -> None:
        """Write a line above the drawing."""
        self._console.print(Text.from_ansi(line, style="dim"), soft_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the board as it stands."""
        del console
        height = options.height or options.size.height
        yield Text("\n").join(rows(self._board, width=options.max_width - _MARGIN, height=height - 2))


def rows(board: Board, *, width: int, height: int) -> list[Text]:
    """Return the board as lines that fit a terminal of `width` columns and `height` lines."""
    now, stages = board.clock(), [stage for stage in board.stages if stage.key]
    running = {stage.key for stage in stages if stage.state == "running"}
    shown = [stage for stage in stages if not stage.depth or stage.task in running]
    names = max((2 * stage.depth + len(stage.label) for stage in shown), default=0)
    kept, hidden = _fit(shown, height)
    lines = [_row(stage, now, names=min(names, width // 3), width=width) for stage in kept]
    return [*lines, Text(f"  … and {hidden:,} more", style="dim")] if hidden else lines


def _fit(stages: Sequence[Stage], height: int) -> tuple[list[Stage], int]:
    """Keep what runs, then what ended last, then what comes next."""
    if len(stages) <= height:
        return list(stages), 0
    urgency = {"running": 0, "failed": 1, "ended": 2, "waiting": 3}
    ranked = sorted(stages, key=lambda stage: (urgency[stage.state], -stage.ended))
    kept = {stage.key for stage in ranked[: max(height - 1, 1)]}
    return [stage for stage in stages if stage.key in kept], len(stages) - len(kept)


def _row(stage: Stage, now: float, *, names: int, width: int) -> Text:
    time = duration(stage.seconds(now)) if stage.state != "waiting" else ""
    icon, style = _ICONS.get(stage.state) or (_SPINNER[int(now * REFRESHES_PER_SECOND) % len(_SPINNER)], "cyan")
    name = f"{'  ' * stage.depth}{stage.label}"[:names].ljust(names)
    line = Text.assemble((icon, style), " ", (name, "bold" if stage.state == "running" else ""), "  ", no_wrap=True)
    middle = _middle(stage, now, width=width - line.cell_len - _TIME_WIDTH)
    middle.truncate(width - line.cell_len - _TIME_WIDTH, overflow="ellipsis", pad=True)
    return line.append_text(middle).append(time.rjust(_TIME_WIDTH), "dim")


def _middle(stage: Stage, now: float, *, width: int) -> Text:
    if stage.state == "waiting":
        return Text("")
    if stage.state != "running":
        return Text(
            stage.text.partition("\n")[0] or ended(stage),
            "red" if stage.state == "failed" else "dim" if stage.depth else "",
        )
    bar = Text()
    if stage.total:
        room = width - _FACTS_WIDTH - _SHARE_WIDTH
        bar = _bar(stage.done / stage.total, width=min(max(room, _BAR_WIDTHS[0]), _BAR_WIDTHS[1]))
    told = Text(facts(stage, now, width=width - bar.cell_len) or stage.text.partition("\n")[0])
    told.highlight_regex(r"[\d,]+ failed", "red")
    return bar.append_text(told)


def _bar(share: float, *, width: int) -> Text:
    full = round(min(max(share, 0.0), 1.0) * width)
    return Text.assemble(("━" * full, "cyan"), ("━" * (width - full), "bright_black"), f" {share:4.0%}  ")
