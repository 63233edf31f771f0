"""Training some groups again: which ones, and the rows of all others carried over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Literal

import pyarrow as pa

from lakemill.catalog import CommitKey
from lakemill.catalog.schemas import quoted
from lakemill.core.errors import ConfigError, NotFoundError, SchemaError
from lakemill.engines.frames import Frame
from lakemill.registry import TRAINING, ModelVersion
from lakemill.training.many.artifact import key_text
from lakemill.training.many.definition import ManyTraining
from lakemill.training.many.identity import identity
from lakemill.training.many.outputs import FAILURES, Key
from lakemill.training.many.packs import Part
from lakemill.workspace import Workspace

BASE: Final = "lakemill.base"
NAMED: Final = 5

Only = Literal["failed"] | Sequence[Any]


class Subset:
    """Groups that are trained again, on top of a version whose other groups stay as they are.

    Parameters
    ----------
    workspace
        Where the tables are.
    definition
        What is trained.
    base
        The version.
    keys
        Keys of the groups; empty: all that failed in `base`.
    """

    def __init__(
        self, workspace: Workspace, definition: ManyTraining, *, base: ModelVersion, keys: tuple[Key, ...]
    ) -> None:
        self.base = base
        self.training = identity(workspace, definition, groups=[base.version, sorted(map(key_text, keys))])
        self._workspace = workspace
        self._definition = definition
        self._keys = keys
        self._by = _list(definition.keys)

    @cached_property
    def groups(self) -> Frame:
        """Keys of the groups."""
        if self._keys:
            return self._given()
        return failed_groups(self._workspace, self._definition, self.base.tags[TRAINING])

    def kept(self, parts: Mapping[str, Part]) -> dict[str, Part]:
        """Return the parts of an input, the first of which, naming the groups, is held to these.

        Raises
        ------
        NotFoundError
            If it has no rows of a group that was asked for by key.
        """
        (name, part), *others = parts.items()
        if self._keys:
            self._check_there(part.frame)
        rows = self._workspace.sql(f"select s.* from s semi join g using ({self._by})", s=part.frame, g=self.groups)
        return {name: Part(frame=rows, order=part.order), **dict(others)}

    def others(self, table: str) -> Frame:
        """Return the base's rows of all other groups."""
        base = self.base.tags[TRAINING]
        query = f"select b.* from (select * from t where training = '{base}') b anti join g using ({self._by})"
        return self._workspace.sql(query, t=table, g=self.groups)

    def carry_over(self, tables: Iterable[str]) -> None:
        """Append the base's rows of all other groups to the tables, under this training's name, once."""
        key = CommitKey(writer=f"{self.training}/carried", sequence=0)
        for table in tables:
            columns = [name for name in self._workspace.catalog.ref(table).column_names if name != "training"]
            query = f"select '{self.training}' as training, {_list(columns)} from o"
            rows = self._workspace.sql(query, o=self.others(table))
            self._workspace.catalog.write(table, self._workspace.frames.to_arrow(rows), mode="append", commit=key)

    def _given(self) -> Frame:
        frames, table = self._workspace.frames, f"{self._definition.registered_model}_{FAILURES}"
        schema = frames.schema(frames.scan(self._workspace.catalog.ref(table)))
        rows = [dict(zip(self._definition.keys, key, strict=True)) for key in self._keys]
        try:
            keys = pa.Table.from_pylist(rows, pa.schema([schema.field(name) for name in self._definition.keys]))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SchemaError(f"only= holds values that {self._by} cannot have: {error}") from error
        return self._workspace.sql("select distinct * from k", k=keys)

    def _check_there(self, rows: Frame) -> None:
        query = f"select g.* from g anti join s using ({self._by}) limit {NAMED}"
        absent = self._workspace.sql(query, g=self.groups, s=rows)
        found = self._workspace.frames.to_arrow(absent).read_all().to_pylist()
        if found:
            names = ", ".join(" | ".join(map(str, row.values())) for row in found)
            raise NotFoundError(f"the training set has no rows of {names}", hint=f"only= takes values of {self._by}")


def choose(workspace: Workspace, definition: ManyTraining, *, only: Only, version: int | None) -> Subset:
    """Return which groups are trained again, on top of a version (default: the newest).

    Raises
    ------
    NotFoundError
        If there is no such version, or it came of no training.
    ConfigError
        If `only` names no groups.
    """
    name, models = definition.registered_model, workspace.models
    base = models.versions(name)[0] if version is None else models.get(f"{name}/{version}")
    if TRAINING not in base.tags:
        raise NotFoundError(f"{base.uri} came of no training of many models", hint="name another version by base=")
    keys = _keys(only, definition.keys)
    if version is None and BASE in base.tags:
        before = models.get(f"{name}/{base.tags[BASE]}")
        subset = Subset(workspace, definition, base=before, keys=keys)
        if subset.training == base.tags[TRAINING]:  # this very training was killed after it had registered
            return subset
    return Subset(workspace, definition, base=base, keys=keys)


def _keys(only: Only, by: tuple[str, ...]) -> tuple[Key, ...]:
    if only == "failed":
        return ()
    keys = () if isinstance(only, str) else tuple(key if isinstance(key, tuple) else (key,) for key in only)
    if not keys or any(len(key) != len(by) for key in keys):
        raise ConfigError(
            f"only={only!r} names no groups", hint=f'give "failed", or a list of values of {", ".join(by)} (as tuples)'
        )
    return keys


def failed_groups(workspace: Workspace, definition: ManyTraining, training: str) -> Frame:
    """Return the keys of the groups that have no model from a training."""
    keys, table = _list(definition.keys), definition.registered_model
    return workspace.sql(
        f"select distinct {keys} from (select {keys} from f where training = '{training}') s "
        f"anti join (select {keys} from m where training = '{training}') d using ({keys})",
        f=f"{table}_{FAILURES}",
        m=f"{table}_models",
    )


def count(workspace: Workspace, frame: Frame) -> int:
    """Return the number of rows of a frame."""
    total = workspace.frames.to_arrow(workspace.sql("select count(*) as n from f", f=frame)).read_all()
    return int(total["n"][0].as_py())


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(quoted, names))
