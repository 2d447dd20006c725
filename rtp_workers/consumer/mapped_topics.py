"""Consumes topics that are not our own. Each has its own thread, so trouble with one topic stops only that topic.

Every few seconds it asks Kafka for topics and looks into the mapping file for sections. A topic with a section gets a
thread, which joins the same group. For a topic without one, the status says so; its partitions are not consumed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from rtp_workers import logs
from rtp_workers.backoff import Backoff
from rtp_workers.consumer.mapped_assembly import TopicMapping
from rtp_workers.consumer.state import ConsumerState
from rtp_workers.errors import ConfigError, RtpError
from rtp_workers.kafka.topic_names import TopicNames
from rtp_workers.mapping.sources import Sources, read_sources
from rtp_workers.topics.plan import TopicPlan
from rtp_workers.topics.sections import plan_or_reason

LOOK_EVERY_S = 2.0
STOP_S = 12.0
log = logs.get(__name__)

# Consumes one topic until the function it is given says so.
Consume = Callable[[TopicMapping, ConsumerState, Callable[[], bool]], None]
NewMapping = Callable[[TopicPlan], TopicMapping]


class StoppableThread:
    """Works in a thread until it is asked to stop.

    Args:
        name: the thread's name.
        work: called with the event that asks it to stop.

    Attributes:
        failure: an error that `work` did not handle and that ended it, for the main thread to raise; else None.
    """

    def __init__(self, name: str, work: Callable[[threading.Event], None]) -> None:
        self._work = work
        self._stopping = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Starts the work."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Asks the work to end, without waiting."""
        self._stopping.set()

    def stop(self) -> None:
        """Asks the work to end, and waits for that up to `STOP_S` seconds."""
        self.ask_to_stop()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        try:
            self._work(self._stopping)
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread, which owns the process
            self.failure = error


class TopicThread(StoppableThread):
    """Consumes one mapped topic. After an error of the project's own tree it waits and starts again."""

    def __init__(self, mapping: TopicMapping, state: ConsumerState, consume: Consume) -> None:
        super().__init__(f"topic-{mapping.plan.topic}", self._keep_consuming)
        self.mapping = mapping
        self.state = state
        self._consume = consume
        self.start()

    def _keep_consuming(self, stopping: threading.Event) -> None:
        backoff = Backoff(first_s=1.0, longest_s=30.0)
        while not stopping.is_set():
            try:
                self._consume(self.mapping, self.state, stopping.is_set)
            except RtpError as error:
                self.state.note_problems({"consumer": str(error)})
                stopping.wait(backoff.next_s())


class MappedTopics:
    """Finds the topics and keeps their threads.

    Args:
        names: finds which topics exist.
        sources_file: the mapping file, which is read again whenever it changes.
        state: the state of the process, which receives the topics' states.
        new_mapping: combines a plan with the schema registry.
        consume: what a topic's thread does.
    """

    def __init__(
        self, names: TopicNames, sources_file: Path, state: ConsumerState, new_mapping: NewMapping, consume: Consume
    ) -> None:
        self._names, self._sources_file, self._state = names, sources_file, state
        self._new_mapping, self._consume = new_mapping, consume
        self._threads: dict[str, TopicThread] = {}
        self._stamp: object = None
        self._sources: Sources | ConfigError = Sources()
        self._looking = StoppableThread("topics", self._keep_looking)

    def start(self) -> None:
        """Starts looking."""
        self._looking.start()

    def ask_to_stop(self) -> None:
        """Asks every thread to end, without waiting: they end while our own topic's session ends."""
        for thread in (self._looking, *list(self._threads.values())):
            thread.ask_to_stop()

    def stop(self) -> None:
        """Ends every thread. Records that are not written are still in Kafka."""
        self.ask_to_stop()
        self._looking.stop()
        for thread in self._threads.values():
            thread.stop()

    def raise_failure(self) -> None:
        """Raises an unexpected error that has ended one of the threads. For the main thread."""
        for thread in (self._looking, *list(self._threads.values())):
            if thread.failure is not None:
                raise thread.failure

    def _keep_looking(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self.look()
            stopping.wait(LOOK_EVERY_S)

    def look(self) -> None:
        """Looks once, and starts, changes and ends threads. This object's own thread calls it regularly."""
        try:
            topics = self._names.look()
        except RtpError as error:
            # The control thread of our own topic reports that Kafka is away. Topics that run already continue.
            log.debug("topics_not_listed", reason=str(error))
            return
        self._read_sources()
        unmapped: dict[str, str] = {}
        for topic in topics:
            plan = self._plan(topic)
            if isinstance(plan, str):
                unmapped[topic] = plan
            else:
                self._consume_by(topic, plan)
        for topic in self._threads.keys() - (set(topics) - unmapped.keys()):
            self._end(topic)
        self._note(unmapped)

    def _read_sources(self) -> None:
        """Reads the mapping file if it has changed. If it is broken, every topic without a thread reports that."""
        stamp = _stamp_of(self._sources_file)
        if stamp == self._stamp and not isinstance(self._sources, ConfigError):
            return
        self._stamp = stamp
        try:
            self._sources = read_sources(self._sources_file)
        except ConfigError as error:
            self._sources = error

    def _plan(self, topic: str) -> TopicPlan | str:
        """Returns a topic's plan, or a sentence that says why it has none and what to do."""
        if isinstance(self._sources, ConfigError):
            running = self._threads.get(topic)
            return running.mapping.plan if running is not None else f"not consumed: {self._sources}"
        return plan_or_reason(self._sources, topic, self._sources_file)

    def _consume_by(self, topic: str, plan: TopicPlan) -> None:
        running = self._threads.get(topic)
        if running is None:
            log.info("topic_mapped", topic=topic, section=plan.mapping.section)
            self._threads[topic] = TopicThread(self._new_mapping(plan), ConsumerState(topic=topic), self._consume)
        elif running.mapping.plan != plan:
            log.info("mapping_changed", topic=topic, section=plan.mapping.section)
            running.mapping.plan = plan

    def _end(self, topic: str) -> None:
        thread = self._threads[topic]
        thread.stop()
        if thread.failure is None:
            del self._threads[topic]

    def _note(self, unmapped: dict[str, str]) -> None:
        for topic, reason in unmapped.items():
            if self._state.unmapped.get(topic) != reason:
                log.warning("topic_not_consumed", topic=topic, reason=reason)
        self._state.unmapped = unmapped
        self._state.mapped = {topic: thread.state for topic, thread in sorted(self._threads.items())}


def _stamp_of(path: Path) -> object:
    """Returns a value that changes when a file is written or replaced; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
