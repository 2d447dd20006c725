"""Settings have one door: whatever can be set can be set in the environment, in ``.env`` and as a file."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import SecretStr

from rtp_workers.errors import ConfigError
from rtp_workers.setting_sources import PREFIX
from rtp_workers.settings import SETTINGS, PlatformSettings, load

EVERY = [(settings, name) for settings in SETTINGS for name in settings.model_fields if name != "secrets_dir"]
# Values that are not the default, for the fields whose type alone does not say one.
VALUES: dict[str, str] = {
    "log_level": "DEBUG",
    "bind_host": "0.0.0.0",
    "kafka_client_config": "{}",
    "producer_start": "2026-01-31T13:45:00+00:00",
    "producer_autostart": "false",
    "alert_dead_letter_ratio": "0.5",
    "consumer_session_timeout_s": "30.0",
    "consumer_max_poll_interval_s": "90.0",
}
Place = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture
def in_env_file(tmp_path: Path) -> Place:
    def place(name: str, value: str) -> None:
        (tmp_path / ".env").write_text(f"{name}='{value}'\n")

    return place


@pytest.fixture
def as_file(tmp_path: Path) -> Place:
    def place(name: str, value: str) -> None:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / name.lower()).write_text(value + "\n")
        (tmp_path / ".env").write_text("RTP_SECRETS_DIR=secrets\n")

    return place


def another_value(settings: type[PlatformSettings], name: str) -> str:
    """Returns text for a setting that is not its default."""
    field = settings.model_fields[name]
    if name in VALUES:
        return VALUES[name]
    choices = [str(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]
    if choices:
        return next(choice for choice in choices if choice != field.default)
    if isinstance(field.default, bool):
        return str(not field.default).lower()
    if isinstance(field.default, int | float):
        return str(type(field.default)(field.default + 1))
    return "12" if "int" in str(field.annotation) else f"/some/{name}"


def plain(value: Any) -> str:
    """Returns a setting's value as the text that it was given as."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize(("settings", "name"), EVERY)
def test_a_setting_is_read_from_the_environment(
    settings: type[PlatformSettings], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = another_value(settings, name)
    monkeypatch.setenv(PREFIX + name.upper(), value)
    assert plain(getattr(load(settings), name)) == value != plain(settings.model_fields[name].default)


@pytest.mark.parametrize(("settings", "name"), EVERY)
def test_a_setting_is_read_from_the_env_file(settings: type[PlatformSettings], name: str, in_env_file: Place) -> None:
    value = another_value(settings, name)
    in_env_file(PREFIX + name.upper(), value)
    assert plain(getattr(load(settings), name)) == value


@pytest.mark.parametrize(("settings", "name"), EVERY)
def test_a_setting_is_read_from_a_file_of_its_name_where_the_env_file_names_the_folder(
    settings: type[PlatformSettings], name: str, as_file: Place
) -> None:
    value = another_value(settings, name)
    as_file(PREFIX + name.upper(), value)
    assert plain(getattr(load(settings), name)) == value


def test_the_command_line_wins_over_the_environment_that_over_the_env_file_and_that_over_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rtp_topic").write_text("from-file")
    monkeypatch.setenv("RTP_SECRETS_DIR", str(tmp_path))
    assert load(PlatformSettings).topic == "from-file"
    (tmp_path / ".env").write_text("RTP_TOPIC=from-env-file\n")
    assert load(PlatformSettings).topic == "from-env-file"
    monkeypatch.setenv("RTP_TOPIC", "from-environment")
    assert load(PlatformSettings).topic == "from-environment"
    assert load(PlatformSettings, topic="from-option").topic == "from-option"


def test_folders_that_are_not_set_are_absolute_too(tmp_path: Path) -> None:
    found = load(PlatformSettings)
    assert (found.home, found.data_dir) == (tmp_path / ".rtp", tmp_path / "data")


def test_an_empty_value_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RTP_PRODUCER_SEED", "RTP_KAFKA_BOOTSTRAP", "RTP_TOPIC", "RTP_API_TOKEN"):
        monkeypatch.setenv(name, "")
    found = load(PlatformSettings)
    assert (found.kafka_bootstrap, found.topic, found.api_token) == (None, "transactions", None)


@pytest.mark.parametrize("place", ["in_env_file", "as_file"])
def test_an_unknown_name_is_refused_and_its_place_named(place: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(place)("RTP_KAFKA_BOOTSTAP", "broker:9092")
    with pytest.raises(ConfigError, match=r"RTP_KAFKA_BOOTSTAP \((\.env|file in secrets)\)"):
        load(PlatformSettings)


def test_a_value_that_does_not_fit_is_told_without_the_value(in_env_file: Place) -> None:
    in_env_file("RTP_KAFKA_PORT", "s3cret")
    with pytest.raises(ConfigError, match=r"RTP_KAFKA_PORT \(\.env\)") as caught:
        load(PlatformSettings)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"RTP_TOPIC=a\nRTP_HOME: /srv/rtp\n", r"\.env, line 2: not of the form NAME=value"),
        (b"# mine\n\nRTP_TOPIC\n", r"\.env, line 3: "),
        (b"RTP_TOPIC='a\n", r"\.env, line 1: "),
        ("RTP_HOME=/home/jörg\n".encode("latin-1"), r"\.env is not UTF-8 text \(byte 17\)"),
        ("RTP_TOPIC=a\n".encode("utf-16"), r"\.env is not UTF-8 text"),
    ],
)
def test_an_env_file_that_cannot_be_read_is_a_clear_error_and_no_log_line(
    tmp_path: Path, content: bytes, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / ".env").write_bytes(content)
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigError, match=message):
        load(PlatformSettings)
    assert caplog.records == []


def test_an_env_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("\ufeffRTP_TOPIC=zürich\r\nOTHER: PROGRAM=1\n".encode().replace(b"OTHER: ", b""))
    assert load(PlatformSettings).topic == "zürich"


def test_a_folder_named_env_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert load(PlatformSettings).topic == "transactions"


def test_a_missing_folder_of_secrets_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTP_SECRETS_DIR", "/no/such/folder")
    with pytest.raises(ConfigError, match="RTP_SECRETS_DIR: /no/such/folder"):
        load(PlatformSettings)


def test_a_log_level_that_does_not_exist_is_refused(in_env_file: Place) -> None:
    in_env_file("RTP_LOG_LEVEL", "chatty")
    with pytest.raises(ConfigError, match=r"RTP_LOG_LEVEL.*DEBUG"):
        load(PlatformSettings)
