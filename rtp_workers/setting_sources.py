"""Where settings come from: the environment, then ``.env``, then the files of ``RTP_SECRETS_DIR``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from rtp_workers.errors import ConfigError

PREFIX = "RTP_"
ENV_FILE = Path(".env")
SECRETS_DIR = "secrets_dir"
ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class Given:
    """The settings that are given, by name in lower case without the prefix. An empty text counts as not set.

    Attributes:
        values: the values as text; some are secrets.
        origins: where each value comes from, for messages.
    """

    values: dict[str, str]
    origins: dict[str, str]


def read() -> Given:
    """Returns every setting that is given, each from the source that wins.

    Raises:
        ConfigError: ``.env`` or the folder of secrets cannot be read.
    """
    environment, env_file = _named(dict(os.environ)), _named(read_env_file(ENV_FILE))
    folder = environment.get(SECRETS_DIR) or env_file.get(SECRETS_DIR)
    sources = {
        f"file in {folder}": {} if folder is None else _named(read_secrets(Path(folder).expanduser())),
        str(ENV_FILE): env_file,
        ENVIRONMENT: environment,
    }
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    for origin, found in sources.items():
        values |= found
        origins |= dict.fromkeys(found, origin)
    return Given(values, origins)


def read_env_file(path: Path) -> dict[str, str]:
    """Returns the lines ``NAME=value`` of a file; none if there is no such file.

    Raises:
        ConfigError: it is not UTF-8, or a line does not have that form. The message names the line, never its content.
    """
    if not path.is_file():
        return {}
    text = _text(path)
    for binding in parse_stream(StringIO(text)):
        ours = binding.key is not None and binding.key.upper().startswith(PREFIX)
        if binding.error or (ours and binding.value is None):
            raise ConfigError(
                f"{path.absolute()}, line {_line(binding.original)}: not of the form NAME=value; "
                "correct it (no colon, quotes closed), or put # before it"
            )
    return {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value is not None}


def read_secrets(folder: Path) -> dict[str, str]:
    """Returns the content of each file whose name is that of a setting (``rtp_api_token``), without the last newline.

    Raises:
        ConfigError: there is no such folder, or a file cannot be read.
    """
    try:
        files = [path for path in folder.iterdir() if path.name.upper().startswith(PREFIX) and path.is_file()]
    except OSError as error:
        raise ConfigError(
            f"RTP_SECRETS_DIR: {folder} cannot be read ({error.strerror}); name a folder that has one file per secret"
        ) from error
    return {path.name: _text(path).rstrip("\r\n") for path in files}


def _named(found: dict[str, str]) -> dict[str, str]:
    """Returns the values whose name has our prefix, by that name in lower case without the prefix."""
    return {
        name[len(PREFIX) :].lower(): value for name, value in found.items() if name.upper().startswith(PREFIX) and value
    }


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.absolute()} is not UTF-8 text (byte {error.start + 1}); save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path.absolute()} cannot be read ({error.strerror}); check its permissions") from error


def _line(original: object) -> int:
    """Returns the number of the line itself: the parser counts from the blank lines and comments before it."""
    text, first = str(getattr(original, "string", "")), int(getattr(original, "line", 1))
    return first + (len(text) - len(text.lstrip("\n")) if text.strip() else 0)
