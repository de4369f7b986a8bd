"""The desk's agents: what runs, when, and why not.

schedule.py     config/task_schedule.yaml, typed, with environments
due_times.py    which ticks there are
gate.py         whether a tick runs: a pure function of the tick and a snapshot
desk.py         `Desk.step`: claim, gate, run, record
simulator.py    the same steps on a simulated clock
"""
