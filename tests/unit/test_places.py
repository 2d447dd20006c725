"""Folders with odd names: refused with a sentence before anything starts, where a server could not work with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtp_workers.errors import ConfigError
from rtp_workers.local import doctor
from rtp_workers.local.bring_up import servers_for
from rtp_workers.local.kafka_server import KafkaServer
from rtp_workers.local.parts import PLAIN_PATH, socket_path
from rtp_workers.settings import PlatformSettings

ODD = ["Téléchargements", "a,b", "a b", "a:b", "50%41", "it's", 'say "x"', "$HOME `x`", "東京", "🦊", "a#b?c", "a\\b"]


def settings_for(home: Path, **given: str) -> PlatformSettings:
    return PlatformSettings.model_validate({"home": str(home), **given})


@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_is_usable_and_stands_in_no_file_of_another_grammar(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    servers_for(settings_for(home, data_dir=str(home / "data")), ("kafka", "postgres"))
    kafka = KafkaServer(home, 1)
    assert name not in kafka._properties(kafka.data)
    assert PLAIN_PATH.fullmatch(str(socket_path(home)))


@pytest.mark.parametrize(
    ("setting", "path", "message"),
    [
        ("home", "/srv/a\nb", r"RTP_HOME is /srv/a\\nb: it has a control character"),
        ("data_dir", "/srv/a\x1bb", r"RTP_DATA_DIR is /srv/a\\x1bb"),
        ("home", "/srv/" + "x" * 256, r"RTP_HOME has a name of 256 bytes"),
        ("home", "/srv" + "/folder" * 120, r"RTP_HOME is 8\d\d bytes long"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts_and_the_doctor_knows(
    tmp_path: Path, setting: str, path: str, message: str
) -> None:
    settings = PlatformSettings.model_validate({"home": str(tmp_path), setting: path})
    with pytest.raises(ConfigError, match=message):
        servers_for(settings, ("kafka", "postgres"))
    assert doctor.places_usable(settings).state == "problem"


def test_a_colon_where_java_looks_for_jars_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a:b"))
    with pytest.raises(ConfigError, match="XDG_CACHE_HOME"):
        servers_for(settings_for(tmp_path), ("kafka",))
    servers_for(settings_for(tmp_path, kafka_bootstrap="broker:9092"), ("postgres",))
