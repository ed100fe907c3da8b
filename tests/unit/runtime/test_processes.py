"""deepibl.runtime.processes: what one process decides reaches all, and so does an error; lost processes."""

import os
import signal
import time

import pytest

from deepibl.runtime import processes
from deepibl.runtime.processes import PATIENCE, join
from matlab_compat.errors import ArgumentError, ImageReadError
from tests.teams import die, meeting_place, needs_fork, run_team, values

pytestmark = needs_fork


def test_without_torchrun_there_is_a_team_of_one(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    team = processes.team()
    assert (team.rank, team.size, team.leads) == (0, 1, True)
    assert team.lead(lambda: 5) == 5 and team.gather(lambda: [1]) == [[1]]
    team.same("anything", 1)


def test_half_an_environment_is_an_error_that_names_what_is_missing(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ArgumentError, match=r"RANK, MASTER_ADDR, MASTER_PORT is not set.*torchrun"):
        processes.team()
    with processes.alone():
        assert processes.team().size == 1


def signal_handlers() -> list:
    watched = [signal.SIGTERM, signal.SIGINT]
    before = [signal.getsignal(number) for number in watched]
    processes.team().gather(lambda: None)
    return [signal.getsignal(number) == handler for number, handler in zip(watched, before, strict=True)]


def test_joining_leaves_signal_handlers_alone():
    assert values(run_team(2, signal_handlers)) == [[True, True]] * 2


@pytest.mark.parametrize("patience", ["soon", "0", "nan"])
def test_a_patience_that_is_no_time_is_an_error(monkeypatch, patience):
    settings = {"WORLD_SIZE": 2, "RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1, PATIENCE: patience}
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(ArgumentError, match=f"{PATIENCE} is '{patience}', not a number of seconds above 0"):
        join()


def talk() -> list:
    team = processes.team()
    said = team.lead(lambda: {"by": team.rank})
    squares = team.gather(lambda: team.rank**2)
    for _ in range(20):
        team.lead(lambda: None)
        team.gather(lambda: "x" * team.rank)
    return [team.rank, team.leads, said, squares]


def test_what_process_0_makes_and_what_each_has_done_reaches_all():
    found = values(run_team(3, talk))
    assert found == [[rank, rank == 0, {"by": 0}, [0, 1, 4]] for rank in range(3)]


def say(word) -> list:
    team = processes.team()
    return [team.lead(lambda: word), team.gather(lambda: word)]


def test_processes_that_torchrun_starts_again_do_not_meet_those_before():
    store = meeting_place()
    for attempt, word in enumerate(["first", "second"]):
        environment = {"TORCHELASTIC_RESTART_COUNT": str(attempt)}
        found = values(run_team(2, say, word, store=store, environment=environment))
        assert found == [[word, [word, word]]] * 2


def talk_long(count) -> list:
    text = processes.team().lead(lambda: "é" * count)
    return [len(text), set(text) == {"é"}, [len(each) for each in processes.team().gather(lambda: text)]]


def test_values_may_be_long():
    assert values(run_team(2, talk_long, 3_000_000)) == [[3_000_000, True, [3_000_000] * 2]] * 2


def fail_in_turn() -> list:
    """Fails in one process after the other; what each process sees of it."""
    team, seen = processes.team(), []

    def work(failing, error):
        if team.rank == failing:
            raise error
        return team.rank

    for failing in range(team.size):
        for error in (ImageReadError("x.jpg: broken"), OSError(28, "disk full")):
            try:
                team.gather(lambda failing=failing, error=error: work(failing, error))
            except Exception as found:
                seen.append([type(found).__name__, str(found).split(". ")[0]])
    try:
        team.lead(lambda: work(0, ImageReadError("y.jpg: broken")))
    except ImageReadError as found:
        seen.append(str(found))
    try:
        team.same("numbers", team.rank // 2)
    except ArgumentError as found:
        seen.append(str(found)[:60])
    return [*seen, team.gather(lambda: team.rank)]


def test_an_error_of_one_is_raised_by_all_and_the_team_goes_on():
    for rank, seen in enumerate(values(run_team(3, fail_in_turn))):
        for failing in range(3):
            assert seen[2 * failing] == ["ImageReadError", "x.jpg: broken"]
            mine = ["OSError", "[Errno 28] disk full"]
            others = ["ProcessError", f"process {failing} of 3 failed: [Errno 28] disk full"]
            assert seen[2 * failing + 1] == (mine if rank == failing else others)
        assert seen[6:] == [
            "y.jpg: broken",
            "numbers: processes 0 and 2 of 3 have different arguments. Pr",
            [0, 1, 2],
        ]


def break_in_one() -> None:
    team = processes.team()

    def work():
        if team.rank == 1:
            raise ZeroDivisionError("a bug")
        started = time.monotonic()
        while time.monotonic() - started < 60:
            team.check()
            time.sleep(0.02)

    team.gather(work)


def test_a_bug_in_one_ends_the_work_of_all_and_is_named():
    started = time.monotonic()
    ended = run_team(3, break_in_one)
    assert ended[1].error == "ZeroDivisionError: a bug"
    for rank in (0, 2):
        assert ended[rank].error.startswith("ProcessError: process 1 of 3 failed: ZeroDivisionError: a bug")
        assert "Start the same command again" in ended[rank].error
    assert time.monotonic() - started < 20


def wait_long() -> list:
    team = processes.team()
    said = team.lead(lambda: time.sleep(5) or "late")
    return [said, team.gather(lambda: time.sleep(5 * team.rank) or team.rank)]


def test_processes_wait_longer_for_one_that_computes_than_for_a_sign_of_life():
    found = values(run_team(2, wait_long, environment={"DEEPIBL_LOST_AFTER": "2"}))
    assert found == [["late", [0, 1]]] * 2


def lose_one(how: str) -> None:
    team = processes.team()
    team.gather(lambda: None)
    if team.rank == 1:
        if how == "kill":
            die()
        if how == "freeze":  # as when its machine is gone: its connections stay open
            os.kill(os.getpid(), signal.SIGSTOP)
        if how == "finish":
            team.finish("no such file")
        team.leave()
        return
    team.gather(lambda: None)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("kill", "is lost: it gave no sign of life for 3 seconds"),
        ("freeze", "is lost: it gave no sign of life for 3 seconds"),
        ("end", "has ended before its work was done."),
        ("finish", "has ended before its work was done: no such file."),
    ],
)
def test_a_lost_process_ends_the_others_in_bounded_time(how, words):
    started = time.monotonic()
    ended = run_team(3, lose_one, how, environment={"DEEPIBL_LOST_AFTER": "3"}, wait_for=(0, 2))
    for rank in (0, 2):
        assert ended[rank].error.startswith("ProcessError: process 1 of 3 (pid ")
        assert words in ended[rank].error and "the same command again" in ended[rank].error
    assert time.monotonic() - started < 20
