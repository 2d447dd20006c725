"""Dagster's GraphQL API: what its UI shows, and what its buttons do."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.waiting import wait_until

REPOSITORY = {"repositoryLocationName": "rtp_dagster", "repositoryName": "__repository__"}
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}

_SENSORS = """
query ($repository: RepositorySelector!) {
  sensorsOrError(repositorySelector: $repository) { ... on Sensors { results {
    name id sensorState { status selectorId ticks(limit: 20) { status timestamp skipReason error { message } } } } } }
}
"""
_RUNS = """
{ runsOrError(limit: 50) { ... on Runs { results { runId jobName status creationTime tags { key value } } } } }
"""
_RUN = """
query ($id: ID!) { runOrError(runId: $id) { ... on Run { status stepStats { stepKey status } } } }
"""
_CHECKS = """
query ($name: String!) { assetCheckExecutions(assetKey: {path: ["transactions"]}, checkName: $name, limit: 1) {
    status evaluation { severity description } } }
"""
_MATERIALIZATIONS = """
query ($path: [String!]!, $limit: Int!) { assetOrError(assetKey: {path: $path}) { ... on Asset {
    assetMaterializations(limit: $limit) { timestamp metadataEntries {
        label ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue } } } } } }
"""
_LAUNCH = """
mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
_TERMINATE = "mutation ($id: String!) { terminateRun(runId: $id) { __typename ... on PythonError { message } } }"
_FAILURES = """
query ($id: ID!) { logsForRun(runId: $id, limit: 1000) { ... on EventConnection { events {
    ... on ExecutionStepFailureEvent { stepKey error { message } failureMetadata { description } }
    ... on RunFailureEvent { message } } } } }
"""
_START_SENSOR = """
mutation ($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor) { __typename
    ... on PythonError { message } } }
"""
_STOP_SENSOR = "mutation ($id: String!) { stopSensor(id: $id) { __typename ... on PythonError { message } } }"
_GRAPH = "{ assetNodes { assetKey { path } dependencyKeys { path } isMaterializable kinds } }"


class DagsterUi:
    """The webserver at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str, **variables: Any) -> Any:
        """Returns the answer's data; fails on GraphQL errors."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found["errors"]
        return found["data"]

    def sensors(self) -> dict[str, Any]:
        """Returns each sensor's state with its latest ticks, newest first, by name."""
        found = self.ask(_SENSORS, repository=REPOSITORY)["sensorsOrError"]["results"]
        return {sensor["name"]: {"id": sensor["id"], **sensor["sensorState"]} for sensor in found}

    def stop_sensor(self, name: str) -> None:
        """Turns a sensor off."""
        found = self.ask(_STOP_SENSOR, id=self.sensors()[name]["id"])["stopSensor"]
        assert found["__typename"] == "StopSensorMutationResult", found

    def start_sensor(self, name: str) -> None:
        """Turns a sensor on."""
        found = self.ask(_START_SENSOR, sensor={**REPOSITORY, "sensorName": name})["startSensor"]
        assert found["__typename"] == "Sensor", found

    def graph(self) -> dict[str, Any]:
        """Returns the asset graph's nodes by name."""
        return {node["assetKey"]["path"][0]: node for node in self.ask(_GRAPH)["assetNodes"]}

    def runs(self, job: str) -> list[dict[str, Any]]:
        """Returns the latest runs of a job, newest first."""
        return [run for run in self.ask(_RUNS)["runsOrError"]["results"] if run["jobName"] == job]

    def run(self, run_id: str) -> dict[str, Any]:
        """Returns one run with its steps."""
        found: dict[str, Any] = self.ask(_RUN, id=run_id)["runOrError"]
        return found

    def wait_for(self, run_id: str, timeout_s: float = 240.0) -> str:
        """Waits until the run has ended, and returns its status."""

        def ended() -> str | None:
            status: str = self.run(run_id)["status"]
            return status if status in ENDED else None

        return str(wait_until(ended, timeout_s, f"the end of run {run_id}"))

    def must_succeed(self, run_id: str, timeout_s: float = 240.0) -> None:
        """Waits until the run has ended; fails with what its steps said where it did not succeed."""
        status = self.wait_for(run_id, timeout_s)
        if status != "SUCCESS":
            events = self.ask(_FAILURES, id=run_id)["logsForRun"]["events"]
            raise AssertionError(f"run {run_id} ended as {status}: {[event for event in events if event]}")

    def launch(self, job: str, run_config: dict[str, Any] | None = None) -> str:
        """Launches a run as the launchpad does, and returns its id."""
        selector = {**REPOSITORY, "pipelineName": job}
        params = {"selector": selector, "mode": "default", "runConfigData": run_config or {}}
        launched = self.ask(_LAUNCH, params=params)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def terminate(self, run_id: str) -> None:
        """Cancels a run as the button does."""
        assert self.ask(_TERMINATE, id=run_id)["terminateRun"]["__typename"] == "TerminateRunSuccess"

    def check(self, name: str) -> str | None:
        """Returns the status of the latest evaluation of a check on transactions, None where there is none."""
        found = self.ask(_CHECKS, name=name)["assetCheckExecutions"]
        return str(found[0]["status"]) if found else None

    def plotted(self, asset: str, label: str, limit: int = 50) -> list[float]:
        """Returns the values of a metadata entry that the UI plots, newest first."""
        found = self.ask(_MATERIALIZATIONS, path=[asset], limit=limit)["assetOrError"]["assetMaterializations"]
        entries = [entry for event in found for entry in event["metadataEntries"] if entry["label"] == label]
        return [entry.get("intValue", entry.get("floatValue")) for entry in entries]
