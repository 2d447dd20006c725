"""What runs that nobody has started by hand may leave out: what others have compared lately, if all was well."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.tags import AUTOMATION_CONDITION_TAG, SCHEDULE_NAME_TAG, SENSOR_NAME_TAG

EVALUATIONS = 10
EVALUATED = (AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED)
TAGS = {SENSOR_NAME_TAG, SCHEDULE_NAME_TAG, AUTOMATION_CONDITION_TAG}


def starts_by_itself(tags: Mapping[str, str]) -> bool:
    """Tells whether a schedule, a sensor or an automation has started the run with these tags."""
    return bool(TAGS & tags.keys())


def last_evaluation(instance: dg.DagsterInstance, check: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    """Returns how a check was evaluated last, in a run or at a sensor's tick; None if it never was."""
    history = instance.event_log_storage.get_asset_check_execution_history(check, limit=EVALUATIONS)
    known = (record.evaluation for record in history if record.status in EVALUATED)
    return next((evaluation for evaluation in known if evaluation is not None), None)
