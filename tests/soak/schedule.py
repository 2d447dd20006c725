"""When each fault of a soak begins and ends: a pure function of the seed, known before anything starts.

Each lane breaks one thing and has at most one fault at a time; lanes overlap, so that everything may be broken at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

Value = str | int | float
Parameters = Mapping[str, Value]
Draw = Callable[[Random], Value]
Range = tuple[float, float]

CONSUMER_FAILPOINTS = ("before_copy", "in_copy", "after_copy", "before_commit", "after_commit")
LOAD_FAILPOINTS = ("load_saved", "load_chunk_sent", "load_acknowledged")
MOST_BATCHES = 5
MOST_CHUNKS = 30


@dataclass(frozen=True)
class Event:
    """One thing to do, `second` seconds after the start."""

    second: float
    action: str
    parameters: Parameters

    def __str__(self) -> str:
        """``  12.3 s  kafka slow (delay_s=0.1)``."""
        given = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.second:6.1f} s  {self.action}" + (f" ({given})" if given else "")


@dataclass(frozen=True)
class Fault:
    """One way of breaking something.

    Attributes:
        action: begins it.
        end: the action that ends it; None where it ends by itself.
        lasts_s: shortest and longest time between the two.
        draws: its parameters, given to both actions.
    """

    action: str
    end: str | None = None
    lasts_s: Range = (0.0, 0.0)
    draws: Mapping[str, Draw] = field(default_factory=dict)


@dataclass(frozen=True)
class Lane:
    """Faults of one thing, one after the other, with a rest before each."""

    rest_s: Range
    faults: tuple[Fault, ...]


def between(least: float, most: float) -> Draw:
    """Returns a draw of a number with two digits after the point."""
    return lambda random: round(random.uniform(least, most), 2)


def just(value: Value) -> Draw:
    """Returns the draw that is always `value`."""
    return lambda random: value


def _failpoint(random: Random) -> Value:
    """Where the consumer that comes next dies or stops by itself; most do neither."""
    if random.random() < 0.3:
        return ""
    effect = random.choice(("kill", "stop"))
    place = random.choice(CONSUMER_FAILPOINTS) + random.choice(("", "@2"))
    return f"{place}:{random.randint(1, MOST_BATCHES)}={effect}"


def _load_failpoint(random: Random) -> Value:
    name = random.choice(("", *LOAD_FAILPOINTS))
    return f"{name}:{random.randint(1, MOST_CHUNKS)}" if name == "load_chunk_sent" else name


SLOW: Mapping[str, Draw] = {"delay_s": between(0.02, 0.3), "bytes_per_s": between(60_000, 200_000)}
# A stopped consumer sleeps for longer than its session timeout of 6 s.
ASLEEP: Mapping[str, Draw] = {"asleep_s": between(7, 15)}
FIRST: Mapping[str, Draw] = {"consumer": just(1)}

KAFKA = Lane(
    (5, 14),
    (
        Fault("kafka killed", "kafka started again", (0.5, 12)),
        Fault("kafka frozen", "kafka thawed", (2, 25)),
        Fault("kafka slow", "kafka healed", (4, 12), SLOW),
        Fault("kafka half-open", "kafka healed", (3, 20)),
        Fault("kafka connections cut"),
    ),
)
POSTGRES = Lane(
    (4, 12),
    (
        Fault("postgres killed", "postgres started again", (0.5, 8)),
        Fault("postgres stopped at once", "postgres started again", (0.5, 8)),
        Fault("sessions ended"),
        Fault("sessions ended"),
        Fault("postgres slow", "postgres healed", (4, 14), SLOW),
        Fault("postgres cut off", "postgres healed", (1, 10)),
        Fault("postgres replies dropped", "postgres healed", (0.5, 6)),
        Fault("paused", "resumed", (2, 8)),
    ),
)
CONSUMER = Lane(
    (8, 20),
    (
        Fault("consumer killed", draws={**FIRST, **ASLEEP, "next_failpoint": _failpoint}),
        Fault("consumer killed", draws={**FIRST, **ASLEEP, "next_failpoint": _failpoint}),
        Fault("consumer stopped", draws=FIRST),
        Fault("consumer frozen", draws={**FIRST, **ASLEEP}),
    ),
)
LOAD = Lane(
    (6, 14),
    (
        Fault(
            "file loaded",
            "loads killed",
            (0.5, 3),
            {"rows": lambda random: random.randint(2_000, 20_000), "failpoint": _load_failpoint},
        ),
    ),
)
UPSTREAM = Lane(
    (4, 12),
    tuple(
        Fault("transaction sent", draws={"records": lambda random: random.randint(1, 50), "then": just(then)})
        for then in ("commit", "abort")
    ),
)


def guest(number: int) -> Lane:
    """Returns the lane of a consumer that comes and goes."""
    draws: Mapping[str, Draw] = {
        "consumer": just(number),
        "by": lambda random: random.choice(("SIGTERM", "SIGKILL")),
        "failpoint": _failpoint,
        **ASLEEP,
    }
    return Lane((5, 25), (Fault("consumer comes", "consumer goes", (5, 30), draws),))


LANES = (KAFKA, POSTGRES, CONSUMER, guest(2), guest(3), LOAD, UPSTREAM)


def schedule(seed: int, seconds: float) -> list[Event]:
    """Returns everything that happens within `seconds`, in order; every fault is ended by then."""
    random = Random(seed)
    events = [event for lane in LANES for event in _events(lane, random, seconds)]
    return sorted(events, key=lambda event: event.second)


def _events(lane: Lane, random: Random, seconds: float) -> Iterator[Event]:
    """Deals the lane's faults like cards: each comes once before any comes again."""
    at_s = 0.0
    while True:
        for fault in random.sample(lane.faults, len(lane.faults)):
            at_s = round(at_s + random.uniform(*lane.rest_s), 1)
            ends_s = round(at_s + random.uniform(*fault.lasts_s), 1)
            if ends_s > seconds:
                return
            parameters = {name: draw(random) for name, draw in fault.draws.items()}
            yield Event(at_s, fault.action, parameters)
            if fault.end is not None:
                yield Event(ends_s, fault.end, parameters)
            at_s = ends_s
