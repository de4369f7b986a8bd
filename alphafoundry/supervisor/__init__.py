"""Keeps long-running processes alive: starts, watches, restarts and stops them.

`guardian` is the main process and the parent of all others; `core` decides, as its child. The
rules are in `states` and `supervision`, which know neither clocks nor processes.
"""
