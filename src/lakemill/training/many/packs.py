"""From a table to packs: groups of like cost together, the largest first, one file a pack."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import ceil

import pyarrow as pa

from lakemill.catalog.schemas import quoted
from lakemill.core.errors import SchemaError
from lakemill.core.records import record, to_json
from lakemill.engines.frames import Frame, FrameEngine
from lakemill.training.many.rows import write_rows
from lakemill.training.many.spill import PACK, Spill
from lakemill.training.many.staging import Staging

PACKS = "packs.json"
PACKS_PER_SLOT = 16
MAX_GROUPS = 500
MAX_ROWS = 200_000


@record
class Size:
    """How much work there is, summed by the engine."""

    groups: int
    rows: int
    cost: float


@record
class Part:
    """A frame to cut into packs, and the columns that order a group's rows."""

    frame: Frame
    order: tuple[str, ...]


@record
class Packs:
    """The packs of a training: their numbers, largest groups first, and how many groups they hold."""

    numbers: tuple[int, ...]
    groups: int


def write_packs(
    frames: FrameEngine,
    staging: Staging,
    *,
    parts: Mapping[str, Part],
    by: tuple[str, ...],
    cost: str,
    slots: int,
) -> Packs:
    """Write the rows of every group into the file of its pack, once.

    Parameters
    ----------
    frames
        The engine that holds the parts; rows stream through the driver to files and are sorted there
        pack by pack.
    staging
        Where the files go.
    parts
        Frames that hold the columns of `by`; the first one names the groups.
    by
        Columns that name a group.
    cost
        SQL aggregate over a group, its relative cost.
    slots
        How many packs run at once.

    Raises
    ------
    SchemaError
        If there is no group, or a column of `by` holds nulls.
    """
    if (known := staging.noted(PACKS)) is not None:
        kept = json.loads(known)
        return Packs(numbers=tuple(kept["numbers"]), groups=kept["groups"])
    plan, groups = _plan(frames, next(iter(parts.values())).frame, by, cost, slots)
    numbers: list[int] = []
    for name, part in parts.items():
        written, schema = _cut(frames, staging, part, plan, name=name, by=by)
        numbers = numbers or written
        for absent in set(numbers) - set(written):
            write_rows(staging.pack_file(name, absent), schema.empty_table())
    packs = Packs(numbers=tuple(numbers), groups=groups)
    staging.note(PACKS, to_json(packs))
    return packs


def _plan(frames: FrameEngine, frame: Frame, by: tuple[str, ...], cost: str, slots: int) -> tuple[Frame, int]:
    """Return a frame of keys and their pack, and the number of keys."""
    keys = ", ".join(map(quoted, by))
    costs = frames.sql(
        f"select {keys}, {cost} as lakemill_cost, count(*) as lakemill_rows from s group by {keys}", {"s": frame}
    )
    size = _size(frames, costs, by)
    target = size.cost / packs_for(size, slots)
    before = f"sum(lakemill_cost) over (order by lakemill_cost desc, {keys}) - lakemill_cost"
    plan = frames.sql(
        f"select {keys}, cast(floor(({before}) / {target!r}) as int) as {PACK} from costs", {"costs": costs}
    )
    return plan, size.groups


def packs_for(size: Size, slots: int) -> int:
    """Return how many packs keep the slots busy and each pack small.

    Examples
    --------
    >>> packs_for(Size(groups=4000, rows=1_000_000, cost=1.0), slots=2)
    32
    >>> packs_for(Size(groups=100_000, rows=6_000_000, cost=1.0), slots=2)
    200
    """
    return min(
        size.groups,
        max(slots * PACKS_PER_SLOT, ceil(size.groups / MAX_GROUPS), ceil(size.rows / MAX_ROWS)),
    )


def _size(frames: FrameEngine, costs: Frame, by: tuple[str, ...]) -> Size:
    nulls = " or ".join(f"{quoted(name)} is null" for name in by)
    total = frames.sql(
        "select count(*) as groups, sum(lakemill_rows) as n_rows, sum(lakemill_cost) as cost, "
        f"sum(case when {nulls} then lakemill_rows else 0 end) as without_key from costs",
        {"costs": costs},
    )
    row = frames.to_arrow(total).read_all().to_pylist()[0]
    if row["without_key"]:
        raise SchemaError(
            f"{row['without_key']} rows have no {' or '.join(by)}", hint="drop or fill them in the step before"
        )
    if not row["groups"]:
        raise SchemaError("the table to train on is empty", hint="run the step that fills it first")
    return Size(groups=int(row["groups"]), rows=int(row["n_rows"]), cost=float(row["cost"]))


def _cut(
    frames: FrameEngine, staging: Staging, part: Part, plan: Frame, *, name: str, by: tuple[str, ...]
) -> tuple[list[int], pa.Schema]:
    """Write the part's file of every pack that has rows in it; return these packs and the files' schema."""
    query = f"select s.*, p.{PACK} from s join p using ({', '.join(map(quoted, by))})"
    stream = frames.to_arrow(frames.sql(query, {"s": part.frame, "p": plan}))
    schema = stream.schema.remove(stream.schema.get_field_index(PACK))
    first = [*by, *part.order]
    staging.pack_file(name, 0).parent.mkdir(parents=True, exist_ok=True)
    with Spill(staging.root / "spill" / name) as spill:
        spill.add(stream)
        for pack in spill.packs:
            write_rows(staging.pack_file(name, pack), in_order(spill.read(pack), first))
    return sorted(spill.packs), schema


def in_order(rows: pa.Table, first: Sequence[str]) -> pa.Table:
    """Sort rows by the columns named, then by all others that have an order.

    Which engine the rows come from, and in which order, then makes no difference.

    Examples
    --------
    >>> rows = pa.table({"t": [2, 1, 1], "y": [0, 9, 5]})
    >>> in_order(rows, ["t"])["y"].to_pylist()
    [5, 9, 0]
    """
    others = [field.name for field in rows.schema if field.name not in first and not pa.types.is_nested(field.type)]
    return rows.sort_by([(name, "ascending") for name in (*first, *others)])
