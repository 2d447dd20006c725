"""The order in which batches become part of the ledger, for two threads that write at the same time."""

from __future__ import annotations

import threading

from rtp_workers.errors import TransientError


class TurnLostError(TransientError):
    """A batch that was ahead of its turn has to be rolled back. It is written again when its turn comes."""


class Turns:
    """Numbers the batches and says whose turn it is. Thread-safe.

    A batch may be on its way to PostgreSQL before its turn. It moves the ledger only in its turn: after every batch
    before it has ended, written or not.

    Attributes:
        changed: notified at every change; also guards what its users share.
        over: nobody's turn comes any more, since the writing ends.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.over = False
        self._given = 0
        self._ended = 0
        self._one_by_one_until = 0
        self._failing = False

    def give(self) -> int:
        """Returns the number of the next batch."""
        with self.changed:
            self._given += 1
            return self._given - 1

    def is_mine(self, number: int) -> bool:
        """Tells whether every batch before this one has ended."""
        return self._ended == number

    def may_go_ahead(self, number: int) -> bool:
        """Tells whether this batch may begin before its turn."""
        return not self._failing and not self.over and number >= self._one_by_one_until

    def end(self, number: int) -> None:
        """Ends the turn of this batch: it was written, or it never will be."""
        with self.changed:
            self._ended, self._failing = number + 1, False
            self.changed.notify_all()

    def fail(self) -> None:
        """Says that the batch whose turn it is could not be written and is tried again: the next one gives way."""
        with self.changed:
            self._failing = True
            self.changed.notify_all()

    def one_by_one(self, until: int) -> None:
        """Lets no batch with a number below `until` begin before its turn."""
        self._one_by_one_until = until

    def close(self) -> None:
        """Says that nobody's turn comes any more."""
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def wait(self, number: int) -> bool:
        """Waits for the turn of this batch, outside a transaction. Returns False if it does not come any more."""
        with self.changed:
            self.changed.wait_for(lambda: self.is_mine(number) or self.over)
            return not self.over

    def wait_ahead(self, number: int, timeout_s: float) -> bool:
        """Waits for the turn of this batch, inside its transaction. Returns False after `timeout_s`.

        Raises:
            TurnLostError: the batch before has failed, or the writing ends.
        """
        with self.changed:
            self.changed.wait_for(lambda: self.is_mine(number) or self._failing or self.over, timeout_s)
            if self.is_mine(number) and not self.over:
                return True
            if self._failing or self.over:
                raise TurnLostError("the batch before this one has not been written")
            return False
