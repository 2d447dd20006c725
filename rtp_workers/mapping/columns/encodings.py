"""Finds a file's encoding from its beginning: by marks and zero bytes, then by validity, then by its letters."""

from __future__ import annotations

import codecs
import re
from collections import Counter

from rtp_workers.errors import ConfigError
from rtp_workers.mapping.cells.names import is_cjk
from rtp_workers.mapping.columns.sample_rows import physical_lines, rows_of
from rtp_workers.mapping.columns.vocabulary import best_role, is_known

MARKS = (",", ";", "\t", "|")
HEADER_LINES = 60
CENTRAL_EUROPEAN = frozenset({"hu", "pl", "cs", "ro"})
MIXED = 0.95  # weight of a mixture of Western languages, compared with one language
LEAST_ASCII = 0.3
FITS, CLOSE = 0.9, 0.02  # share of letters that belong to one language; a smaller difference does not count
MAX_WORDS = 5_000
FEWEST_LINES = 2  # one line may be UTF-8 by chance

# The non-ASCII letters of a language, and those of its most common loan words and names (café, Müller). A pattern in
# place of a letter says where in a word it can occur: Icelandic begins words with thorn, and in Portuguese an o with
# tilde comes before an e.
LATIN = {
    "de": "äöüß",
    "fr": "àâæçéèêëîïôœùûüÿ",
    "es": "áéíñóúü",
    "pt": "ãáâàçéêíóôúü|õ(?=e)",
    "it": "àèéìòóùîú",
    "nl": "ëïéèóöüáê",
    "sv": "åäöéæøüô",
    "is": "áéíóúýæö|\\bþ|\\Bð",
    "ca": "àçèéíïòóúü·",
    "pl": "ąćęłńóśźżéöü",
    "cs": "áčďéěíňóřšťúůýžľĺŕôäöü",
    "hu": "áéíóöőúüű",
    "hr": "čćđšžéöü",
    "ro": "ăâîșțşţéöü",
    "tr": "çğıöşüâîû",
    "lt": "ąčęėįšųūž",
    "lv": "āčēģīķļņšūž",
    "western": "äöüßàâæçéèêëîïôœùûñáíóúåøã",
    "et": "äõöüšž",
}
OTHERS = {"cyrillic": "\u0400-\u04ff", "greek": "\u0370-\u03ff", "hebrew": "\u05d0-\u05ea", "arabic": "\u0600-\u06ff"}
OTHERS |= {"thai": "\u0e00-\u0e7f"}
# The encodings and the languages written in each. If the letters fit several, the first one is preferred.
LATIN_ENCODINGS: dict[str, tuple[str, ...]] = {
    "cp1252": ("de", "fr", "es", "pt", "it", "nl", "sv", "is", "ca"),
    "cp1250": ("pl", "cs", "hu", "hr", "ro"),
    "cp1254": ("tr",),
    "cp1257": ("lt", "lv", "et"),
    "iso8859_2": ("pl", "cs", "hu", "hr", "ro"),
    "iso8859_16": ("ro",),
    "iso8859_13": ("lt", "lv", "et"),
    "cp850": ("de", "fr", "es", "pt", "it", "nl", "sv"),
    "cp852": ("pl", "cs", "hu", "hr"),
    "cp857": ("tr",),
    "mac_roman": ("de", "fr", "es", "pt", "it", "nl", "sv"),
}
OTHER_ENCODINGS: dict[str, tuple[str, ...]] = {
    "cp1255": ("hebrew",),  # first, because without capitals its letters are also Cyrillic ones
    "cp1251": ("cyrillic",),
    "koi8_r": ("cyrillic",),
    "cp866": ("cyrillic",),
    "iso8859_5": ("cyrillic",),
    "cp1253": ("greek",),
    "iso8859_7": ("greek",),
    "cp1256": ("arabic",),
    "cp874": ("thai",),
}
# In which a person or an earlier release may have read a text, the likeliest first.
LIKELIEST = ("cp1252", "utf-8", "cp1250", "latin-1", "cp1254", "gb18030", "big5", "shift_jis", "euc_kr", "euc_jp")
EVERY_ENCODING = tuple(dict.fromkeys((*LIKELIEST, *LATIN_ENCODINGS, *OTHER_ENCODINGS)))
_WORD = re.compile(rb"[A-Za-z\x80-\xff]{2,}")
_NEUTRAL = "‘’‚“”„–—…\u00a0«»·•°€£§®©™ºª"  # punctuation next to words; it does not show the language
_GLUED = re.compile("(?<=[^\\W\\d_])[‚“„…«»·•°€£§®©™ºª]+(?=[^\\W\\d_])")  # no language has it inside a word
_SHOUTED = re.compile("(?<=[a-zß-öø-ÿа-яα-ω])[A-ZÀ-ÖØ-ÞА-ЯΑ-Ω]")  # a capital after a small letter

# East Asian encodings: how a character is found, the first bytes of common characters, and those of punctuation.
COMMON_SHARE = 0.85
_PAIR = re.compile(rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]")
COMMON: dict[str, tuple[re.Pattern[bytes], range | frozenset[int], frozenset[int]]] = {
    "euc_kr": (_PAIR, range(0xB0, 0xC9), frozenset({0xA1, 0xA3})),
    "gb18030": (_PAIR, range(0xB0, 0xD8), frozenset({0xA1, 0xA3})),
    "euc_jp": (_PAIR, frozenset({0xA4, 0xA5, *range(0xB0, 0xD0)}), frozenset({0xA1, 0xA3})),
    "big5": (_PAIR, range(0xA4, 0xC7), frozenset({0xA1, 0xA2, 0xA3})),
    "shift_jis": (
        re.compile(rb"[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc]|[\xa1-\xdf]"),
        frozenset({0x82, 0x83, *range(0x88, 0x98), *range(0xB1, 0xDE)}),
        frozenset({0x81}),
    ),
}


def find_encoding(data: bytes) -> str:
    """Returns the Python codec name for a file's beginning, which may end inside a character."""
    if data.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = data[0:2000:2].count(0), data[1:2000:2].count(0)
    if even + odd > len(data[:2000]) // 4:
        return "utf-16-le" if odd > even else "utf-16-be"
    if decodes(data, "utf-8"):
        return "utf-8"
    return _legacy(data)


def lines_in_utf8(data: bytes, encoding: str) -> list[int]:
    """Returns the lines that are UTF-8 in a file that as a whole is not: programs have written it in two encodings.

    Args:
        data: the file's beginning.
        encoding: in which it is read. With other letters than Latin ones, some lines are valid UTF-8 by chance.
    """
    if encoding.startswith("utf-"):
        return []
    beyond = [(number, line) for number, line in enumerate(data.splitlines(), start=1) if not line.isascii()]
    valid = [number for number, line in beyond if decodes(line + b"\n", "utf-8") and not _is_by_chance(line, encoding)]
    fewest = FEWEST_LINES if encoding in LATIN_ENCODINGS else max(FEWEST_LINES, len(beyond) // 2)
    return valid if fewest <= len(valid) < len(beyond) else []


def _is_by_chance(line: bytes, encoding: str) -> bool:
    """True if the line's only letters beyond ASCII would be East Asian ones, in a file of Latin letters."""
    return encoding in LATIN_ENCODINGS and any(is_cjk(char) for char in line.decode("utf-8"))


def decodes(data: bytes, encoding: str) -> bool:
    """True if every complete character of the data is valid in this encoding."""
    try:
        codecs.getincrementaldecoder(encoding)("strict").decode(data, final=False)
    except UnicodeDecodeError:
        return False
    return True


def decode(data: bytes, encoding: str) -> str:
    """Decodes the data. Invalid bytes become replacement characters (the loader refuses such rows).

    Raises:
        ConfigError: there is no such encoding.
    """
    try:
        decoder = codecs.getincrementaldecoder(encoding)("replace")
    except LookupError as error:
        raise ConfigError(f"unknown encoding {encoding!r}; give a name such as utf-8, cp1252 or gb18030") from error
    return decoder.decode(data, final=False)


def _legacy(data: bytes) -> str:
    """Chooses between encodings that cannot be told apart by validity alone.

    Multi-byte text has its high bytes in runs. Of the encodings that decode it, the one that gives known words wins.
    Single-byte text is judged by its letters: they must belong to one language, with capitals at the start of words.
    """
    words = _words_beyond_ascii(data)
    is_latin = _has_ascii_letters(words)
    latin = _scores(words, LATIN_ENCODINGS) if is_latin else {}
    latin["cp1252"] = max(latin.get("cp1252", 0.0), MIXED * _scores(words, {"cp1252": ("western",)}).get("cp1252", 0.0))
    best = max(latin.values(), default=0.0)
    if best < FITS:
        found = _multibyte(data) or (None if is_latin else _best(_scores(words, OTHER_ENCODINGS)))
        if found is not None:
            return found
    if is_latin and latin["cp1252"] < FITS and b"\r" in data and b"\n" not in data:
        return "mac_roman"  # the line ends of old Macs, as Excel still writes them
    close = [name for name, score in latin.items() if score >= best - CLOSE]
    if "cp1250" in close and has_central_european_header(data):
        return "cp1250"
    if close and best >= FITS:
        return close[0]
    return "cp1252" if decodes(data, "cp1252") else "latin-1"


def _has_ascii_letters(words: bytes) -> bool:
    """True if most words mix ASCII letters with others, as in every language with Latin letters."""
    return sum(byte < 128 for byte in words) >= len(words) * LEAST_ASCII


def _best(scores: dict[str, float]) -> str | None:
    """Returns the encoding with the highest score, if that is high enough."""
    best = max(scores, key=lambda name: scores[name], default=None)
    return best if best is not None and scores[best] >= FITS else None


def _words_beyond_ascii(data: bytes) -> bytes:
    """Returns the distinct words with non-ASCII letters, one per line."""
    found: dict[bytes, None] = {}
    for word in _WORD.finditer(data):
        if not word[0].isascii():
            found[word[0]] = None
            if len(found) >= MAX_WORDS:
                break
    return b"\n".join(found)


def _scores(words: bytes, encodings: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """Maps each encoding that decodes to the share of non-ASCII letters that belong to its best language."""
    found: dict[str, float] = {}
    for encoding, languages in encodings.items():
        try:
            text = words.decode(encoding)
        except UnicodeDecodeError:
            continue
        strange = sum(not char.isascii() and char not in _NEUTRAL for char in text) + len(_GLUED.findall(text))
        shouted = len(_SHOUTED.findall(text))
        fitting = max(_count_letters(text, language) for language in languages)
        nothing = 1.0 if encoding == "cp1252" else 0.0  # only punctuation beyond ASCII: the most usual encoding has it
        found[encoding] = max(0, fitting - shouted) / strange if strange else nothing
    return found


def _count_letters(text: str, language: str) -> int:
    # If case is ignored, a dotless i also matches the ASCII i.
    return sum(not letter.isascii() for letter in re.findall(_letters_of(language), text, re.IGNORECASE))


def _letters_of(language: str) -> str:
    if language in OTHERS:
        return f"[{OTHERS[language]}]"
    letters, *placed = LATIN[language].split("|")
    return "|".join([f"[{letters}{letters.upper().replace('SS', '')}{'İ' if language == 'tr' else ''}]", *placed])


def _multibyte(data: bytes) -> str | None:
    """Returns the East Asian encoding that decodes the data to mostly common characters, or None."""
    shares = {name: _common_share(data, name) for name in COMMON if decodes(data, name)}
    likely = [name for name, share in shares.items() if share >= COMMON_SHARE]
    if not likely:
        return None
    return max(likely, key=lambda name: (_known_words(decode(data[:20_000], name)), shares[name]))


def _common_share(data: bytes, encoding: str) -> float:
    unit, common, neutral = COMMON[encoding]
    leads = [found[0][0] for found in unit.finditer(data) if found[0][0] not in neutral]
    return sum(lead in common for lead in leads) / len(leads) if leads else 0.0


def has_central_european_header(data: bytes) -> bool:
    """True if the column names, read as cp1250, are words of one of its languages."""
    languages = _languages(decode(data[:20_000], "cp1250"))
    return bool(languages & CENTRAL_EUROPEAN) and len(languages) <= 2


def _known_words(text: str) -> int:
    return sum(is_known(cell) for cell in _header_like_cells(text) if not cell.isascii())


def _languages(text: str) -> set[str]:
    found: Counter[str] = Counter()
    for cell in _header_like_cells(text):
        role, score = best_role(cell)
        if role and score.exact and len(score.languages) == 1:
            found.update(score.languages)
    return {language for language, count in found.items() if count == max(found.values())} if found else set()


def _header_like_cells(text: str) -> list[str]:
    lines = physical_lines(text)[:HEADER_LINES]
    return [cell for mark in MARKS for row in rows_of(lines, mark) for cell in row.cells if 0 < len(cell) < 60]
