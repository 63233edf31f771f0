from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta

import pytest

from lakemill.core.errors import ConfigError, ConflictError, NotFoundError
from lakemill.core.records import Context
from lakemill.registry import AliasMove, Decision
from lakemill.registry.aliases import before, settled
from tests.unit.registry.conftest import opened

HELD = "select version from registered_model_aliases where alias = 'champion'"
BETTER = Decision(passed=True, reason="wrmsse 0.9 is 10.0 % better")
WORSE = Decision(passed=False, reason="wrmsse 1.1 is 10.0 % worse")


def test_a_move_is_kept_with_who_when_whence_and_why(folder, three, sql):
    registry = opened(folder, context=Context(user="bo", run_id="job-3"))
    registry.set_alias(three, "champion", 1, reason="the first")
    registry.set_alias(three, "champion", 3, reason="it is better")
    registry.set_alias(three, "challenger", 2, reason="another alias")
    newest, oldest = registry.history(three, "champion")
    assert sql(HELD) == [(3,)]
    assert (newest.before, newest.after, newest.by, newest.reason) == (1, 3, "bo", "it is better")
    assert (oldest.before, oldest.after, oldest.run_id, oldest.back) == (None, 1, "job-3", False)
    assert timedelta() <= datetime.now(UTC) - newest.at < timedelta(minutes=5)
    assert oldest.at < newest.at


def test_a_rollback_goes_back_step_by_step(registry, three, sql):
    for version in (1, 2, 3):
        registry.set_alias(three, "champion", version, reason="")
    assert registry.rollback(three, "champion").version == 2
    assert sql(HELD) == [(2,)]
    assert registry.rollback(three, "champion").version == 1
    with pytest.raises(NotFoundError, match=r"no version had @champion of .* before version 1"):
        registry.rollback(three, "champion")
    assert sql(HELD) == [(1,)]
    assert [move.back for move in registry.history(three, "champion")] == [True, True, False, False, False]


def test_after_a_rollback_a_new_version_goes_back_to_where_it_came_from(registry, three):
    for version in (1, 2):
        registry.set_alias(three, "champion", version, reason="")
    registry.rollback(three, "champion")
    registry.set_alias(three, "champion", 3, reason="")
    assert registry.rollback(three, "champion").version == 1


def test_a_rollback_to_a_version_that_is_gone_moves_nothing(registry, three, sql):
    for version in (1, 2):
        registry.set_alias(three, "champion", version, reason="")
    registry.client.delete_model_version(three, "1")
    with pytest.raises(NotFoundError, match="no version '1'"):
        registry.rollback(three, "champion")
    assert sql(HELD) == [(2,)]


def test_deleting_an_alias_is_kept_too(registry, three, sql):
    registry.set_alias(three, "champion", 2, reason="")
    registry.delete_alias(three, "champion", reason="season is over")
    assert sql(HELD) == []
    newest = registry.history(three, "champion")[0]
    assert (newest.before, newest.after, newest.reason) == (2, None, "season is over")
    with pytest.raises(NotFoundError, match="no alias 'champion'"):
        registry.delete_alias(three, "champion", reason="")


def test_an_alias_to_nowhere_is_refused_and_not_kept(registry, three, sql):
    with pytest.raises(NotFoundError, match="no version '9'"):
        registry.set_alias(three, "champion", 9, reason="")
    with pytest.raises(ConfigError, match="reserved"):
        registry.set_alias(three, "latest", 1, reason="")
    assert sql(HELD) == []
    assert registry.history(three, "champion") == ()


def test_of_many_who_move_it_at_once_one_wins_and_each_is_kept(folder, three, sql):
    def move(number: int) -> None:
        registry = opened(folder, context=Context(user=f"user-{number}"))
        for turn in range(5):
            registry.set_alias(three, "champion", 1 + (number + turn) % 3, reason=f"{number}.{turn}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(move, range(4)))
    ((held,),) = sql(HELD)
    moves = opened(folder).history(three, "champion")
    assert held in {1, 2, 3}
    assert {move.reason for move in moves} == {f"{number}.{turn}" for number in range(4) for turn in range(5)}


def _in_the_way(registry, calls: list, *, times: int) -> None:
    """Let another process insert the alias between MLflow's look and its insert."""
    method = registry.client.set_registered_model_alias

    def insert(*arguments):
        calls.append(arguments)
        if len(calls) <= times:
            raise ConflictError("UNIQUE constraint failed")
        method(*arguments)

    registry.client.set_registered_model_alias = insert


@pytest.mark.parametrize(("times", "moved"), [(0, True), (4, True), (5, False)])
def test_a_move_that_another_got_in_the_way_of_is_made_again(registry, three, sql, times, moved):
    calls: list = []
    _in_the_way(registry, calls, times=times)
    with nullcontext() if moved else pytest.raises(ConflictError):
        registry.set_alias(three, "champion", 2, reason="")
    assert sql(HELD) == ([(2,)] if moved else [])
    assert len(calls) == min(times + 1, 5)


def test_two_inserts_of_one_alias_are_a_conflict(registry, three, folder):
    """MLflow's look before its insert is made to find nothing, as it does while another inserts."""
    from sqlalchemy.orm import Session

    registry.set_alias(three, "champion", 1, reason="")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Session, "merge", Session.add)
        with pytest.raises(ConflictError, match="UNIQUE constraint failed"):
            registry.set_alias(three, "champion", 2, reason="")


def test_a_gate_that_passed_moves_the_champion(registry, three):
    registry.promote(registry.get(f"{three}/2"), BETTER)
    version = registry.get(f"{three}@champion")
    assert (version.version, version.aliases) == (2, ("challenger", "champion"))
    assert registry.decision(version) == BETTER
    assert registry.history(three, "champion")[0].reason == BETTER.reason


def test_a_gate_that_did_not_leaves_the_champion_and_says_why(registry, three):
    registry.promote(registry.get(f"{three}/1"), BETTER)
    registry.promote(registry.get(f"{three}/2"), WORSE)
    assert registry.get(f"{three}@champion").version == 1
    assert registry.get(f"{three}@challenger").version == 2
    assert registry.decision(registry.get(f"{three}/2")) == WORSE


def test_a_gate_that_is_not_asked_is_noticed(registry, three, monkeypatch):
    """Mutation: the champion moves whatever the decision."""
    monkeypatch.setattr(Decision, "passed", True)
    with pytest.raises(AssertionError):
        test_a_gate_that_did_not_leaves_the_champion_and_says_why(registry, three)


@pytest.mark.parametrize("cut", ["set_model_version_tag", "set_registered_model_tag", "set_registered_model_alias"])
@pytest.mark.parametrize("call", [0, 1])
def test_a_promotion_that_was_killed_is_ended_by_the_next(folder, three, cut, call, monkeypatch):
    """The process dies just before one of the writes that make a promotion."""
    registry = opened(folder)
    registry.promote(registry.get(f"{three}/1"), BETTER)
    _die_at(registry, cut, call)
    version = registry.get(f"{three}/2")
    with suppress(InterruptedError):
        registry.promote(version, BETTER)
    again = opened(folder)
    again.promote(again.get(f"{three}/2"), BETTER)
    assert again.get(f"{three}/2").aliases == ("challenger", "champion")
    assert again.rollback(three, "champion").version == 1


def _die_at(registry, name: str, call: int) -> None:
    method, calls = getattr(registry.client, name), iter(range(9))

    def die(*arguments, **options):
        if next(calls) == call:
            raise InterruptedError
        return method(*arguments, **options)

    setattr(registry.client, name, die)


def test_promoting_again_leaves_a_later_move_alone(registry, three):
    registry.promote(registry.get(f"{three}/1"), BETTER)
    registry.promote(registry.get(f"{three}/2"), BETTER)
    registry.rollback(three, "champion")
    registry.promote(registry.get(f"{three}/2"), BETTER)
    assert registry.get(f"{three}@champion").version == 1


def _move(source: int | None, target: int | None, *, back: bool = False) -> AliasMove:
    return AliasMove(alias="a", before=source, after=target, by="ann", at=datetime.now(UTC), reason="", back=back)


@pytest.mark.parametrize(
    ("moves", "version", "expected"),
    [
        ([], 1, None),
        ([_move(None, 1)], 1, None),
        ([_move(2, 1), _move(1, 2), _move(None, 1)], 1, 2),
        ([_move(1, 2), _move(1, 2), _move(None, 1)], 2, 1),
        ([_move(3, 2, back=True), _move(2, 3), _move(1, 2)], 2, 1),
    ],
)
def test_before_is_where_a_version_took_the_alias_from(moves, version, expected):
    assert before(moves, version) == expected


@pytest.mark.parametrize(
    ("moves", "current", "expected"),
    [
        ([], 1, False),
        ([_move(1, 2)], 1, False),
        ([_move(1, 2)], 2, True),
        ([_move(2, 3), _move(1, 2)], 3, True),
        ([_move(2, 3), _move(1, 2)], 1, True),
        ([_move(1, 3)], 3, False),
    ],
)
def test_a_move_is_settled_once_it_was_made(moves, current, expected):
    assert settled(moves, 2, current=current) is expected
