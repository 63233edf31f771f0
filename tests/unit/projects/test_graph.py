from __future__ import annotations

import threading
import time

import pytest

from lakemill.projects.graph import Ending, run_status, verdict, walk
from lakemill.projects.project import Dependency, Task

STATUS = {"S": "success", "F": "failed", "T": "timed_out", "U": "upstream_failed", "X": "excluded"}
RULES = ["ALL_SUCCESS", "AT_LEAST_ONE_SUCCESS", "NONE_FAILED", "ALL_DONE", "AT_LEAST_ONE_FAILED", "ALL_FAILED"]

# Written by hand after the vendor's description: how the dependencies ended, and what each rule makes of it:
# R run, U upstream failed, X excluded.
TRUTH = """
        ALL_SUCCESS  ONE_SUCCESS  NONE_FAILED  ALL_DONE  ONE_FAILED  ALL_FAILED
    -        R            R            R          R          R           R
    S        R            R            R          R          X           X
    F        U            U            U          R          R           R
    T        U            U            U          R          R           R
    U        U            U            U          R          R           R
    X        X            X            X          X          X           X
    SS       R            R            R          R          X           X
    SF       U            R            U          R          R           X
    FS       U            R            U          R          R           X
    ST       U            R            U          R          R           X
    SU       U            R            U          R          R           X
    FF       U            U            U          R          R           R
    FT       U            U            U          R          R           R
    FU       U            U            U          R          R           R
    SX       R            R            R          R          X           X
    XS       R            R            R          R          X           X
    FX       U            R            U          R          R           X
    XX       X            X            X          X          X           X
    SSS      R            R            R          R          X           X
    SFX      U            R            U          R          R           X
    FFX      U            R            U          R          R           X
    FFF      U            U            U          R          R           R
    SXX      R            R            R          R          X           X
"""
ROWS = [line.split() for line in TRUTH.strip().splitlines()[1:]]
CASES = [(row[0].strip("-"), rule, mark) for row in ROWS for rule, mark in zip(RULES, row[1:], strict=True)]


def task(key: str, *before: str, **options) -> Task:
    return Task(task_key=key, python="m:f", depends_on=tuple(Dependency(task_key=name) for name in before), **options)


@pytest.mark.parametrize(("before", "rule", "mark"), CASES)
def test_run_if(before, rule, mark):
    names = [f"t{index}" for index in range(len(before))]
    ended = {name: Ending(status=STATUS[letter]) for name, letter in zip(names, before, strict=True)}
    assert (
        verdict(task("me", *names, run_if=rule), ended) == {"R": "run", "U": "upstream_failed", "X": "excluded"}[mark]
    )


def test_a_task_waits_for_all_of_its_dependencies():
    assert verdict(task("me", "a", "b", run_if="AT_LEAST_ONE_SUCCESS"), {"a": Ending(status="success")}) == "wait"


@pytest.mark.parametrize(
    ("message", "status", "expected"),
    [
        ("yes", "success", "run"),
        ("no", "success", "excluded"),
        ("", "success", "excluded"),
        ("yes", "failed", "upstream_failed"),
    ],
)
def test_an_outcome_must_be_the_text_that_was_returned(message, status, expected):
    me = Task(task_key="me", python="m:f", depends_on=(Dependency(task_key="a", outcome="yes"),))
    assert verdict(me, {"a": Ending(status=status, message=message)}) == expected


def test_branches_join_after_an_outcome():
    join = Task(
        task_key="join",
        python="m:f",
        depends_on=(Dependency(task_key="a", outcome="yes"), Dependency(task_key="a", outcome="no")),
    )
    assert verdict(join, {"a": Ending(status="success", message="no")}) == "run"
    assert verdict(join, {"a": Ending(status="success", message="perhaps")}) == "excluded"


@pytest.mark.parametrize(
    ("endings", "expected"),
    [
        ({"a": "S", "b": "S", "c": "S"}, "success"),
        ({"a": "S", "b": "X", "c": "S"}, "success"),
        ({"a": "F", "b": "S", "c": "S"}, "success_with_failures"),
        ({"a": "S", "b": "F", "c": "S"}, "failed"),
        ({"a": "F", "b": "U", "c": "S"}, "failed"),
        ({"a": "S", "b": "S", "c": "T"}, "failed"),
    ],
)
def test_the_last_tasks_decide_how_a_run_ended(endings, expected):
    tasks = [task("a"), task("b", "a"), task("c", "a")]
    assert run_status(tasks, {key: Ending(status=STATUS[letter]) for key, letter in endings.items()}) == expected


def walked(tasks, run=lambda _task: Ending(status="success"), parallelism=4):
    return walk(tasks, run, skip=lambda _task, why: Ending(status=why), parallelism=parallelism)


def test_tasks_run_after_those_they_depend_on():
    order, lock = [], threading.Lock()

    def run(one):
        with lock:
            order.append(one.task_key)
        return Ending(status="success")

    tasks = [task("e", "d"), task("d", "b", "c"), task("c", "a"), task("b", "a"), task("a")]
    ended = walked(tasks, run)
    assert sorted(order) == list("abcde")
    assert order[0] == "a"
    assert order[-2:] == ["d", "e"]
    assert {ending.status for ending in ended.values()} == {"success"}


def test_a_skipped_task_lets_those_after_it_be_decided():
    tasks = [
        task("a"),
        task("b", "a"),
        task("c", "b"),
        task("d", "c", run_if="ALL_DONE"),
        task("e", "a", run_if="AT_LEAST_ONE_FAILED"),
    ]
    ended = walked(tasks, lambda one: Ending(status="failed" if one.task_key == "a" else "success"))
    assert {key: ending.status for key, ending in ended.items()} == {
        "a": "failed",
        "b": "upstream_failed",
        "c": "upstream_failed",
        "d": "success",
        "e": "success",
    }


@pytest.mark.parametrize("parallelism", [1, 3])
def test_independent_tasks_run_side_by_side_within_bounds(parallelism):
    at_work, most, lock = set(), [0], threading.Lock()

    def run(one):
        with lock:
            at_work.add(one.task_key)
            most[0] = max(most[0], len(at_work))
        time.sleep(0.05)
        with lock:
            at_work.discard(one.task_key)
        return Ending(status="success")

    walked([task(f"t{index}") for index in range(6)], run, parallelism)
    assert most == [parallelism]


def test_an_error_ends_the_walk():
    def run(one):
        raise OSError(one.task_key)

    with pytest.raises(OSError, match="a"):
        walked([task("a"), task("b", "a")], run)


def test_a_thousand_tasks_in_a_row_take_little():
    tasks = [task("t0"), *(task(f"t{index}", f"t{index - 1}") for index in range(1, 1000))]
    start = time.process_time()
    assert len(walked(tasks)) == 1000
    assert time.process_time() - start < 5
