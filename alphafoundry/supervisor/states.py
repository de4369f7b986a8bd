"""The life of one process as a table: (state, event) to (state, actions). No clock, no process.

Every pair of the table is there; what changes nothing says so. Moments are seconds of a clock that
never goes back.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from alphafoundry.supervisor.processes import ProcessConfig

State = Literal[
    "waiting",
    "starting",
    "running",
    "stopping",
    "sleeping",
    "backing off",
    "paused",
    "finished",
    "quarantined",
    "stopped",
]
STATES: tuple[State, ...] = get_args(State)
ALIVE: frozenset[State] = frozenset({"starting", "running", "stopping"})

Severity = Literal["info", "warning", "alert"]
After = Literal["stopped", "waiting", "paused", "quarantined", "fault", ""]

LONGEST_DELAY = 900.0
JITTER = 0.1
CRASH_LOOP = 5
"""Short lives in a row after which a person is needed."""

KILL_AGAIN = 5.0


@dataclass(frozen=True)
class Standing:
    """Where a process stands.

    Attributes
    ----------
    desired : what a person wants; "stop" holds until a person starts it
    life : number of the last life
    since : moment at which the state began
    until : moment at which it ends by itself, None where it does not
    started : moment at which the last life began
    ready : whether this life is
    restarts : moments of the unasked restarts within the window
    short_lives : lives in a row that were shorter than steady_seconds
    turns, skipped : turns that ended well, and beats that came too late
    trial : whether this life is the trial of a quarantine
    after : where stopping leads
    cause : why the last life ended, or is being ended
    why : the same in a sentence
    last_code : exit status of the last life, None after a signal
    held : no turn begins after this one
    due : moment at which the turn was due, where turns keep a beat
    """

    state: State = "waiting"
    desired: Literal["run", "stop"] = "run"
    life: int = 0
    since: float = 0.0
    until: float | None = None
    started: float | None = None
    ready: bool = False
    restarts: tuple[float, ...] = ()
    short_lives: int = 0
    turns: int = 0
    skipped: int = 0
    trial: bool = False
    after: After = ""
    cause: str = ""
    why: str = ""
    last_code: int | None = None
    held: bool = False
    due: float | None = None

    @property
    def alive(self) -> bool:
        """Whether there is a process, or is about to be."""
        return self.state in ALIVE


@dataclass(frozen=True)
class Go:
    """Everything that it depends on is there."""


@dataclass(frozen=True)
class NotLaunched:
    """There is no process; `permanent` where trying again mends nothing."""

    why: str
    permanent: bool = False


@dataclass(frozen=True)
class Ready:
    """It says that it is ready, or its probe does."""


@dataclass(frozen=True)
class Exited:
    """The process has ended, and its whole tree with it."""

    code: int | None = None
    signal: int | None = None

    def told(self) -> str:
        """Return how it ended in words."""
        return f"exit {self.code}" if self.signal is None else f"signal {self.signal}"


@dataclass(frozen=True)
class Time:
    """The moment `until` has come."""


@dataclass(frozen=True)
class Unwell:
    """It must be restarted: cause is health, limit, watchdog, pattern, probe or leak."""

    cause: str
    why: str


@dataclass(frozen=True)
class Stop:
    """Stop it; a person's stop holds until a person starts it."""

    why: str
    by: Literal["person", "end", "pattern", "machine"] = "person"


@dataclass(frozen=True)
class Start:
    """A person, or a machine with room again, starts it."""

    why: str = "started by a person"


@dataclass(frozen=True)
class Restart:
    """Restart it without counting."""

    why: str


@dataclass(frozen=True)
class Pause:
    """No further turn; what lives is stopped until it is started."""

    why: str


@dataclass(frozen=True)
class Quarantine:
    """Keep it away from the rest."""

    why: str


@dataclass(frozen=True)
class End:
    """The supervision ends: nothing begins any more."""


Event = (
    Go
    | NotLaunched
    | Ready
    | Exited
    | Time
    | Unwell
    | Stop
    | Start
    | Restart
    | Pause
    | Quarantine
    | End
)
EVENTS: tuple[type, ...] = get_args(Event)


@dataclass(frozen=True)
class Launch:
    """Start the life with the number of the standing."""


@dataclass(frozen=True)
class Terminate:
    """Send the stop signal."""


@dataclass(frozen=True)
class Kill:
    """Kill the whole tree."""


@dataclass(frozen=True)
class Tell:
    """Record something that a person may want to know."""

    kind: str
    text: str
    severity: Severity = "info"


Action = Launch | Terminate | Kill | Tell
Step = tuple[Standing, tuple[Action, ...]]


@dataclass(frozen=True)
class _Moment:
    """What a step may look at besides the standing."""

    config: ProcessConfig
    now: float
    random: random.Random


_Rule = Callable[[Standing, "Event", _Moment], Step]


def step(
    standing: Standing, event: Event, config: ProcessConfig, *, now: float, draw: random.Random
) -> Step:
    """Return where a process stands after an event, and what is to be done."""
    rule = TABLE[standing.state, type(event)]
    return rule(standing, event, _Moment(config, now, draw))


def _to(standing: Standing, state: State, moment: _Moment, **changes: object) -> Standing:
    changes.setdefault("until", None)
    if state not in ALIVE:
        changes.setdefault("due", None)
    return replace(standing, state=state, since=moment.now, **changes)  # type: ignore[arg-type]


def _nothing(standing: Standing, event: Event, moment: _Moment) -> Step:
    return standing, ()


def _launch(standing: Standing, event: Event, moment: _Moment) -> Step:
    new = _to(
        standing,
        "starting",
        moment,
        life=standing.life + 1,
        started=moment.now,
        ready=False,
        after="",
        cause="",
        held=False,
        until=moment.now + moment.config.start_seconds,
    )
    return new, (Launch(),)


def _ready(standing: Standing, event: Event, moment: _Moment) -> Step:
    new = _to(standing, "running", moment, ready=True)
    new = replace(new, until=_next_look(new, moment))
    # A turn is told when it is over.
    told = () if moment.config.requires_loop else (Tell("ready", "is ready"),)
    return new, told


def _next_look(standing: Standing, moment: _Moment) -> float | None:
    """Return when a running process is looked at: its turn is too long, or its trial is over."""
    started = moment.now if standing.started is None else standing.started
    moments = []
    if moment.config.requires_loop and moment.config.max_turn_seconds is not None:
        moments.append(started + moment.config.max_turn_seconds)
    if standing.trial:
        moments.append(started + moment.config.steady_seconds)
    return min(moments, default=None)


def _running_time(standing: Standing, event: Event, moment: _Moment) -> Step:
    longest = moment.config.max_turn_seconds
    lived = moment.now - (moment.now if standing.started is None else standing.started)
    if moment.config.requires_loop and longest is not None and lived >= longest:
        return _unwell(standing, Unwell("hung", f"a turn took longer than {longest:g} s"), moment)
    if standing.trial and lived >= moment.config.steady_seconds:
        new = replace(standing, trial=False, restarts=(), short_lives=0)
        new = replace(new, until=_next_look(new, moment))
        return new, (Tell("recovered", "the trial went well; the quarantine is over"),)
    return replace(standing, until=_next_look(standing, moment)), ()


def _start_time(standing: Standing, event: Event, moment: _Moment) -> Step:
    why = f"was not ready within {moment.config.start_seconds:g} s"
    return _unwell(standing, Unwell("start", why), moment)


def _stopping(
    standing: Standing, moment: _Moment, after: After, cause: str, why: str, *told: Tell
) -> Step:
    new = _to(
        standing,
        "stopping",
        moment,
        after=after,
        cause=cause,
        why=why,
        until=moment.now + moment.config.stop_seconds,
    )
    return new, (*told, Terminate())


def _unwell(standing: Standing, event: Event, moment: _Moment) -> Step:
    assert isinstance(event, Unwell)
    told = Tell("unhealthy", f"is restarted ({event.cause}): {event.why}", "warning")
    return _stopping(standing, moment, "fault", event.cause, event.why, told)


def _desired(standing: Standing, event: Stop) -> Standing:
    return replace(standing, desired="stop") if event.by in ("person", "pattern") else standing


def _stop_alive(standing: Standing, event: Event, moment: _Moment) -> Step:
    assert isinstance(event, Stop)
    kept = _desired(standing, event)
    if standing.state == "stopping":
        return replace(kept, after="stopped", cause=event.by, why=event.why), ()
    severity: Severity = "alert" if event.by == "pattern" else "info"
    told = Tell("stopping", f"is stopped: {event.why}", severity)
    return _stopping(kept, moment, "stopped", event.by, event.why, told)


def _stop_idle(standing: Standing, event: Event, moment: _Moment) -> Step:
    assert isinstance(event, Stop)
    kept = _desired(standing, event)
    if standing.state == "stopped":
        return kept, ()
    new = _to(kept, "stopped", moment, cause=event.by, why=event.why)
    return new, (Tell("stopped", f"stays stopped: {event.why}"),)


def _start_idle(standing: Standing, event: Event, moment: _Moment) -> Step:
    assert isinstance(event, Start | Restart)
    new = _to(standing, "waiting", moment, desired="run", why=event.why, trial=False, held=False)
    if standing.state == "quarantined":
        new = replace(new, restarts=(), short_lives=0)
    return new, (Tell("asked", event.why),)


def _wanted(standing: Standing, event: Event, moment: _Moment) -> Step:
    """Start what is under way already."""
    return replace(standing, desired="run", held=False), ()


def _start_stopping(standing: Standing, event: Event, moment: _Moment) -> Step:
    assert isinstance(event, Start | Restart)
    return replace(standing, desired="run", after="waiting", why=event.why), ()


def _restart_alive(standing: Standing, event: Event, moment: _Moment) -> Step:
    assert isinstance(event, Restart)
    told = Tell("restarting", f"is restarted: {event.why}")
    return _stopping(standing, moment, "waiting", "asked", event.why, told)


def _pause_alive(standing: Standing, event: Event, moment: _Moment) -> Step:
    assert isinstance(event, Pause)
    if moment.config.requires_loop:
        held = replace(standing, held=True, why=event.why)
        return held, (Tell("pausing", f"pauses after this turn: {event.why}"),)
    told = Tell("pausing", f"is paused: {event.why}")
    return _stopping(standing, moment, "paused", "paused", event.why, told)


def _pause_stopping(standing: Standing, event: Event, moment: _Moment) -> Step:
    assert isinstance(event, Pause)
    if standing.after == "stopped":
        return standing, ()
    return replace(standing, after="paused", cause="paused", why=event.why), ()


def _pause_idle(standing: Standing, event: Event, moment: _Moment) -> Step:
    assert isinstance(event, Pause)
    new = _to(standing, "paused", moment, why=event.why)
    return new, (Tell("paused", f"is paused: {event.why}"),)


def _quarantine_alive(standing: Standing, event: Event, moment: _Moment) -> Step:
    assert isinstance(event, Quarantine)
    return _stopping(standing, moment, "quarantined", "pattern", event.why)


def _quarantine_stopping(standing: Standing, event: Event, moment: _Moment) -> Step:
    assert isinstance(event, Quarantine)
    if standing.after == "stopped":
        return standing, ()
    return replace(standing, after="quarantined", cause="pattern", why=event.why), ()


def _quarantine(standing: Standing, event: Event, moment: _Moment) -> Step:
    assert isinstance(event, Quarantine)
    retry = moment.config.quarantine_retry
    new = _to(
        standing,
        "quarantined",
        moment,
        why=event.why,
        trial=False,
        until=moment.now + retry if retry else None,
    )
    then = f"; a trial in {_span(retry)}" if retry else ""
    return new, (Tell("quarantined", f"is quarantined: {event.why}{then}", "alert"),)


def _trial(standing: Standing, event: Event, moment: _Moment) -> Step:
    new = _to(standing, "waiting", moment, trial=True)
    return new, (Tell("trial", "gets a trial after its quarantine"),)


def _wake(standing: Standing, event: Event, moment: _Moment) -> Step:
    return _to(standing, "waiting", moment, due=standing.due), ()


def _end_idle(standing: Standing, event: Event, moment: _Moment) -> Step:
    why = "the supervision has ended"
    if standing.state == "backing off":
        why = f"{standing.why}; then the supervision ended"
    return _to(standing, "stopped", moment, cause="end", why=why), ()


def _end_alive(standing: Standing, event: Event, moment: _Moment) -> Step:
    """What is under way goes on until it is stopped; nothing comes after it."""
    if standing.state == "stopping":
        after: After = (
            "stopped" if standing.after in ("waiting", "fault", "paused") else (standing.after)
        )
        return replace(standing, after=after), ()
    return replace(standing, held=True), ()


def _kill(standing: Standing, event: Event, moment: _Moment) -> Step:
    new = replace(standing, until=moment.now + KILL_AGAIN)
    seconds = moment.config.stop_seconds
    told = Tell("killed", f"did not stop within {seconds:g} s and is killed", "warning")
    return new, ((told, Kill()) if moment.now - standing.since < seconds + 1 else (Kill(),))


def _not_launched(standing: Standing, event: Event, moment: _Moment) -> Step:
    assert isinstance(event, NotLaunched)
    if event.permanent and standing.after != "stopped":
        return _quarantine(standing, Quarantine(event.why), moment)
    gone = replace(standing, last_code=None)
    if standing.state == "stopping":
        return _where_it_led(gone, moment)
    return _fault(gone, "not started", event.why, moment)


def _exited(standing: Standing, event: Event, moment: _Moment) -> Step:
    assert isinstance(event, Exited)
    ended = replace(standing, last_code=event.code, ready=False)
    if standing.state == "stopping":
        return _where_it_led(ended, moment)
    config = moment.config
    if event.code == 0 and config.requires_loop:
        return _turn_over(ended, moment)
    if event.code == 0 and config.restart != "always":
        new = _to(ended, "finished", moment, cause="finished", why="has finished", trial=False)
        return new, (Tell("finished", "has finished: exit 0"),)
    why = f"ended by {event.told()}"
    if config.restart == "never":
        new = _to(ended, "finished", moment, cause="crash", why=why, trial=False)
        return new, (Tell("finished", f"{why}; restart is never", "warning"),)
    if event.code == 0:
        why = "ended by exit 0, though it must always run"
    return _fault(ended, "crash", why, moment)


def _turn_over(standing: Standing, moment: _Moment) -> Step:
    config, now = moment.config, moment.now
    begun = now if standing.started is None else standing.started
    due, skipped = now + config.loop_interval, 0
    if config.loop_from == "start":
        # From when the turn was due, not from when it began: a late beat does not move the next.
        first = begun if standing.due is None else standing.due
        beats = max(1, math.ceil((now - first) / config.loop_interval))
        due, skipped = first + beats * config.loop_interval, beats - 1
    changes: dict[str, object] = {
        "turns": standing.turns + 1,
        "skipped": standing.skipped + skipped,
        "short_lives": 0,
        "cause": "turn",
    }
    told: tuple[Tell, ...] = ()
    if standing.trial:
        changes |= {"trial": False, "restarts": ()}
        told = (Tell("recovered", "the trial went well; the quarantine is over"),)
    if skipped:
        told = (*told, Tell("late", f"skipped {skipped} beats: the last turn ended too late"))
    if standing.held:
        return _to(standing, "paused", moment, **changes), told
    changes["why"] = "a turn ended well"
    return _to(standing, "sleeping", moment, until=due, due=due, **changes), told


def _where_it_led(standing: Standing, moment: _Moment) -> Step:
    """Return the state that stopping has led to."""
    if standing.after == "fault":
        return _fault(standing, standing.cause, standing.why, moment)
    if standing.after == "quarantined":
        return _quarantine(standing, Quarantine(standing.why), moment)
    state: State = "stopped"
    if standing.after == "waiting":
        state = "waiting"
    elif standing.after == "paused":
        state = "paused"
    new = _to(standing, state, moment, after="")
    return new, (Tell(state, f"has ended: {standing.why}"),) if state != "waiting" else ()


def _fault(standing: Standing, cause: str, why: str, moment: _Moment) -> Step:
    """An unasked restart: after a delay, or a quarantine where there were too many."""
    config, now = moment.config, moment.now
    if standing.held:
        new = _to(standing, "paused", moment, cause=cause, why=why, ready=False)
        return new, (Tell("ended", why, "warning"),)
    restarts = (*(one for one in standing.restarts if one > now - config.restart_window), now)
    lived = now - (now if standing.started is None else standing.started)
    short = standing.short_lives + 1 if lived < config.steady_seconds else 0
    ended = replace(
        standing, restarts=restarts, short_lives=short, cause=cause, why=why, ready=False, after=""
    )
    if standing.trial:
        return _quarantine(ended, Quarantine(f"the trial failed: {why}"), moment)
    if len(restarts) > config.max_restarts:
        kept = replace(
            ended, restarts=restarts[-config.max_restarts :] if config.max_restarts else ()
        )
        much = f"more than {config.max_restarts} restarts in {_span(config.restart_window)}: {why}"
        return _quarantine(kept, Quarantine(much), moment)
    delay = min(LONGEST_DELAY, config.restart_delay * 2.0 ** min(max(short, 1) - 1, 30))
    delay *= 1 + moment.random.uniform(-JITTER, JITTER)
    new = _to(ended, "backing off", moment, until=now + delay)
    nth = f", {short} short lives in a row" if short > 1 else ""
    told = Tell("restarting", f"{why}; starts again in {_span(delay)}{nth}", "warning")
    if short == CRASH_LOOP:
        loop = Tell("crash_loop", f"{short} short lives in a row, the last: {why}", "alert")
        return new, (told, loop)
    return new, (told,)


def _span(seconds: float) -> str:
    """Return a length of time in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"


def _idle_rules(**own: _Rule) -> dict[str, _Rule]:
    """Return the rules of a state without a process."""
    rules: dict[str, _Rule] = {
        "Go": _nothing,
        "NotLaunched": _nothing,
        "Ready": _nothing,
        "Exited": _nothing,
        "Time": _nothing,
        "Unwell": _nothing,
        "Stop": _stop_idle,
        "Start": _start_idle,
        "Restart": _start_idle,
        "Pause": _pause_idle,
        "Quarantine": _quarantine,
        "End": _nothing,
    }
    return rules | own


def _alive_rules(**own: _Rule) -> dict[str, _Rule]:
    rules: dict[str, _Rule] = {
        "Go": _nothing,
        "NotLaunched": _not_launched,
        "Ready": _nothing,
        "Exited": _exited,
        "Time": _nothing,
        "Unwell": _unwell,
        "Stop": _stop_alive,
        "Start": _wanted,
        "Restart": _restart_alive,
        "Pause": _pause_alive,
        "Quarantine": _quarantine_alive,
        "End": _end_alive,
    }
    return rules | own


_RULES: Mapping[State, dict[str, _Rule]] = {
    "waiting": _idle_rules(Go=_launch, Start=_wanted, Restart=_nothing, End=_end_idle),
    "starting": _alive_rules(Ready=_ready, Time=_start_time),
    "running": _alive_rules(Time=_running_time),
    "stopping": _alive_rules(
        Time=_kill,
        Unwell=_nothing,
        Start=_start_stopping,
        Restart=_start_stopping,
        Pause=_pause_stopping,
        Quarantine=_quarantine_stopping,
    ),
    "sleeping": _idle_rules(Time=_wake, End=_end_idle),
    "backing off": _idle_rules(Time=_wake, End=_end_idle),
    "paused": _idle_rules(Pause=_nothing, End=_end_idle),
    "finished": _idle_rules(Pause=_nothing, Quarantine=_nothing),
    "quarantined": _idle_rules(Time=_trial, Pause=_nothing, Quarantine=_nothing),
    "stopped": _idle_rules(Pause=_nothing, Quarantine=_nothing),
}

TABLE: Mapping[tuple[State, type], _Rule] = {
    (state, event): _RULES[state][event.__name__] for state in STATES for event in EVENTS
}
"""What happens in each state at each event."""
