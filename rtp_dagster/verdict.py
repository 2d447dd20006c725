"""The outcome of a check: one value, used in a run, at a sensor's tick and in an alert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg

Metadata = Mapping[str, int | float | str | bool | dg.MetadataValue]
REPEAT_S = 3600.0  # a check that still passes is reported again after this time


@dataclass(frozen=True, slots=True)
class Verdict:
    """A check's outcome: one sentence that says what to do next, and the figures behind it."""

    passed: bool
    sentence: str
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    metadata: Metadata = field(default_factory=dict)

    def result(
        self, more: Metadata | None = None, asset: dg.AssetKey | None = None, check_name: str | None = None
    ) -> dg.AssetCheckResult:
        """Returns the verdict as a check's result in a run. A function with several checks gives the check's name."""
        return dg.AssetCheckResult(
            asset_key=asset,
            check_name=check_name,
            passed=self.passed,
            severity=self.severity,
            description=self.sentence,
            metadata={**self.metadata, **(more or {})},
        )

    def evaluation(self, asset: dg.AssetKey, check_name: str) -> dg.AssetCheckEvaluation:
        """Returns the verdict as the evaluation that a sensor reports."""
        return dg.AssetCheckEvaluation(
            asset_key=asset,
            check_name=check_name,
            passed=self.passed,
            severity=self.severity,
            description=self.sentence,
            metadata=dict(self.metadata),
        )


def is_news(verdict: Verdict, passed_before: bool | None, told_ago_s: float) -> bool:
    """Tells whether a verdict deserves an event: the check fails, its result has changed, or the last report is old."""
    return not verdict.passed or passed_before is not True or told_ago_s > REPEAT_S
