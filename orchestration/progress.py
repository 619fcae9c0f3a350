"""A run as a person at a terminal wants to see it: one line per finished step, the first failure in plain words, a table at the end."""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import dagster as dg
from dagster import DagsterEventType, EventLogEntry

Say = Callable[[str], None]


def _nothing(_text: str) -> None:
    """Of a terminal that keeps every line: what passes is not said."""


@dataclass
class Progress:
    """Listens to the events of one run."""

    say: Say
    group_of: Mapping[dg.AssetKey, str]
    """Station of each asset."""
    num_steps: int
    hint: Say = _nothing
    """What is going on right now; replaced by the next word."""
    seconds_of: dict[str, float] = field(default_factory=dict)
    """By step."""
    failures: list[str] = field(default_factory=list)
    """Sentences, in the order they happened."""
    _made_by: defaultdict[str, set[dg.AssetKey]] = field(default_factory=lambda: defaultdict(set))
    _checked_by: defaultdict[str, list[dg.AssetCheckKey]] = field(default_factory=lambda: defaultdict(list))

    def hear(self, entry: EventLogEntry) -> None:
        """One entry of the run's log."""
        event = entry.dagster_event
        if event is None:
            self._remarked(entry)
            return
        match event.event_type:
            case DagsterEventType.ASSET_MATERIALIZATION | DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
                if event.asset_key is not None:
                    self._made_by[str(event.step_key)].add(event.asset_key)
            case DagsterEventType.ASSET_CHECK_EVALUATION:
                self._checked(event)
            case DagsterEventType.STEP_START:
                self.hint(self._named(str(event.step_key)))
            case DagsterEventType.STEP_SUCCESS:
                self._finished(str(event.step_key), event.step_success_data.duration_ms / 1000)
            case DagsterEventType.STEP_FAILURE:
                self.failures.append(f"{self._named(str(event.step_key))} failed. {_root_cause(event)}")
                self.say(f"  FAILED   {self._named(str(event.step_key))}")

    def table(self) -> str:
        """Seconds by station, in the order they were first reached."""
        seconds: defaultdict[str, float] = defaultdict(float)
        for step, spent in self.seconds_of.items():
            seconds[self._station(step)] += spent
        lines = [f"  {station:<12}{spent:8.1f} s" for station, spent in seconds.items()]
        return "\n".join(["  station      seconds", *lines, f"  {'all':<12}{sum(seconds.values()):8.1f} s"])

    def _remarked(self, entry: EventLogEntry) -> None:
        level = logging.getLevelName(entry.level) if isinstance(entry.level, str) else entry.level
        if entry.user_message.startswith("Dependencies for step "):
            return  # a line for each step after a failed one: the failure itself is said
        if level >= logging.WARNING:
            self.say(f"         ! {entry.user_message}")
        elif level >= logging.INFO and entry.step_key:
            self.hint(f"{self._named(entry.step_key)}: {entry.user_message}")

    def _station(self, step: str) -> str:
        keys = [*self._made_by[step], *(check.asset_key for check in self._checked_by[step])]
        return next((self.group_of[key] for key in keys if key in self.group_of), "other")

    def _named(self, step: str) -> str:
        """A step by what it makes or, of a check, by the sentence it proves."""
        keys, checks = self._made_by[step], self._checked_by[step]
        if len(keys) == 1:
            return next(iter(keys)).to_user_string()
        if keys:
            return f"{step}: {len(keys)} tables" + (f", {len(checks)} checks" if checks else "")
        return f"check {checks[0].name}" if len(checks) == 1 else step

    def _checked(self, event: dg.DagsterEvent) -> None:
        check = event.asset_check_evaluation_data
        self._checked_by[str(event.step_key)].append(check.asset_check_key)
        if check.passed:
            return
        sentence = f"{check.check_name} of {check.asset_key.to_user_string()} does not hold{_told(check.metadata)}"
        if check.severity is dg.AssetCheckSeverity.ERROR:
            self.failures.append(f"{sentence}.")
        self.say(f"         ! {check.severity.value}: {sentence}")

    def _finished(self, step: str, seconds: float) -> None:
        self.seconds_of[step] = seconds
        width = len(str(self.num_steps))
        self.say(f"{seconds:7.1f} s  [{len(self.seconds_of):>{width}}/{self.num_steps}] {self._named(step)}")


def _told(metadata: Mapping[str, dg.MetadataValue]) -> str:
    """The numbers and words of a check, not its tables."""
    told = [f"{name} {_short(value.value)}" for name, value in metadata.items() if _is_short(value)]
    return f" ({', '.join(told[:6])})" if told else ""


def _is_short(value: dg.MetadataValue) -> bool:
    return isinstance(value, (dg.FloatMetadataValue, dg.IntMetadataValue)) or (
        isinstance(value, dg.TextMetadataValue) and len(value.text or "") <= 200
    )


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _root_cause(event: dg.DagsterEvent) -> str:
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "No reason was given."
