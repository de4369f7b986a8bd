"""Where each promise of a schedule is held to: a key without a test, or a test that is gone, fails.

Names are `file: test`, of files in this folder without `test_` and `.py`.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from alphafoundry.agents.schedule_file import TaskSettings

HERE = Path(__file__).parent

KEYS = {
    "enabled": ["promises: the_switch_of_a_task_takes_its_ticks_away"],
    "interval_minutes": [
        "due_times: an_interval_has_constant_gaps_over_a_change_of_clocks",
        "due_times: agents_of_the_session_are_due_in_it_and_half_an_hour_after",
        "promises: an_interval_of_any_length_has_its_ticks",
    ],
    "at": [
        "due_times: a_time_of_day_stays_when_the_clocks_change",
        "due_times: a_time_of_day_that_does_not_exist_is_an_hour_later_and_one_that_comes_twice"
        "_is_once",
    ],
    "before_close": ["due_times: before_the_close_follows_half_days"],
    "after_open": ["due_times: before_the_close_follows_half_days"],
    "priority": [
        "due_times: equal_due_times_go_by_dependency_then_priority_then_name",
        "desk: one_place_is_kept_for_what_is_critical",
    ],
    "max_duration_minutes": [
        "promises: what_takes_longer_than_its_duration_is_told_and_costs_score"
    ],
    "timeout_minutes": [
        "worker: what_hangs_is_killed_with_its_children_and_the_next_run_goes_on",
        "desk: what_hangs_is_killed_and_counts_as_failed",
    ],
    "retry_count": [
        "desk: retries_double_and_end_before_the_next_tick",
        "desk: retries_repeat_a_tick_that_succeeds_in_the_end",
    ],
    "retry_delay_minutes": ["schedule: both_names_of_the_delay_and_lengths_of_time_are_read"],
    "dependencies": [
        "gate: a_dependency_that_never_ran_blocks_but_not_before_its_first_tick",
        "gate: a_dependency_may_miss_fewer_than_two_eligible_ticks",
        "gate: what_runs_at_night_accepts_a_success_of_the_session_even_on_sunday",
        "gate: a_limit_of_age_counts_by_the_clock",
    ],
    "conditions": [
        "conditions: a_condition_means_what_it_says",
        "conditions: what_is_not_known_blocks_unless_it_is_allowed",
        "conditions: what_is_not_understood_is_refused",
        "conditions: a_condition_of_ones_own",
        "promises: a_condition_is_asked_at_every_tick",
        "gate: health_is_that_of_the_agents_depended_on_and_of_the_host",
    ],
    "parameters": ["schedule: a_parameter_that_an_agent_does_not_know_is_refused"],
    "concurrent_execution": ["desk: an_agent_without_concurrency_waits_for_its_own_tick"],
    "max_instances": ["desk: concurrency_has_as_many_instances_as_allowed"],
    "error_threshold": [
        "desk: failures_in_a_row_trip_an_agent_and_a_probe_lets_it_go_on",
        "desk: whatever_fails_for_hours_everything_runs_again_within_two_days",
    ],
    "performance_threshold": ["desk: the_success_rate_is_held_against_its_threshold"],
    "on_low": ["desk: the_success_rate_is_held_against_its_threshold"],
    "catch_up": ["desk: three_hours_away_are_one_catch_up_and_the_rest_is_missed"],
    "catch_up_window": ["gate: late_by_an_interval_is_missed_unless_it_is_caught_up"],
}

EVENTS = {
    "the clocks go forward, the clocks go back": KEYS["interval_minutes"][:1] + KEYS["at"],
    "a half day": KEYS["before_close"],
    "a holiday": ["due_times: nothing_of_the_session_is_due_on_a_closed_day"],
    "a clock set back or forward": [
        "promises: a_clock_that_jumps_by_an_hour_runs_nothing_twice_and_catches_up_once",
        "desk: a_restart_and_a_clock_set_back_do_nothing_twice",
    ],
    "an outage": KEYS["catch_up"],
    "two workers": [
        "desk: two_workers_never_run_one_tick_twice",
        "shared_desk: of_two_processes_that_are_woken_together_one_does_the_tick",
    ],
    "a restart of the server": [
        "desk: a_server_that_wakes_the_same_ticks_again_after_its_restart_runs_nothing_twice"
    ],
    "a full disk": ["desk: a_full_disk_is_told_in_one_line_and_the_next_tick_goes_on"],
    "an agent that hangs and forks": KEYS["timeout_minutes"],
    "a worker that dies": ["desk: a_tick_whose_process_died_ends_with_its_lease"],
    "a kill": [
        "run: a_run_whose_process_is_killed_goes_on_and_its_books_hold",
        "continuing: a_simulation_that_was_cut_ends_like_one_that_was_not",
    ],
}


@cache
def names_in(name: str) -> frozenset[str]:
    tree = ast.parse((HERE / f"test_{name}.py").read_text(encoding="utf-8"))
    found = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(one.name for one in tree.body if isinstance(one, found))


def test_every_key_of_a_task_is_in_the_table():
    assert set(KEYS) == set(TaskSettings.model_fields)


@pytest.mark.parametrize("promise", [*KEYS, *EVENTS])
def test_what_holds_a_promise_is_there(promise):
    named = (KEYS | EVENTS)[promise]
    assert named
    for one in named:
        name, test = one.split(": ")
        assert f"test_{test}" in names_in(name), one
