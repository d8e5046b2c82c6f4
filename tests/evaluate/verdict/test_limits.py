from __future__ import annotations

import random
import secrets
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from evaluate.verdict.limit_range import RANGES
from evaluate.verdict.limits import DEFAULT_LIMITS, Limits, LimitsFile, limits_from_file, with_limit
from export.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

FRESH = pytest.param(secrets.randbelow(1 << 32), id="fresh")
WHOLE = """\
candidates = ["q16", "q8"]
confidence = 0.9

[limits]
max_auc_drop = 0.005
max_size_mib = 60

[variant.q8]
max_size_mib = 30
max_flips = 0.03
"""


def limits_of_text(tmp_path: Path, text: str) -> LimitsFile:
    path = tmp_path / "limits.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return limits_from_file(path)


def test_a_file_says_what_holds_for_all_and_what_for_one(tmp_path: Path) -> None:
    limits = limits_of_text(tmp_path, WHOLE)
    assert limits.limits_of("q16") == Limits(max_auc_drop=0.005, max_size_mib=60.0)
    assert limits.limits_of("q8") == Limits(max_auc_drop=0.005, max_size_mib=30.0, max_flips=0.03)
    assert (limits.candidates, limits.confidence) == (("q16", "q8"), 0.9)
    assert limits.source == str(tmp_path / "limits.toml")


def test_what_a_file_does_not_state_is_not_limited(tmp_path: Path) -> None:
    assert limits_of_text(tmp_path, "[variant.q8]\nmax_flips = 0.1").limits_of("q16") == Limits()
    assert LimitsFile().limits_of("q16") == DEFAULT_LIMITS


def test_every_limit_has_a_range_and_the_other_way_round() -> None:
    assert [field.name for field in fields(Limits)] == list(RANGES)
    for name, value in DEFAULT_LIMITS.stated.items():
        assert value in RANGES[name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[limits]\nmax_auc_dorp = 0.01", r"unknown limit in \[limits\]: 'max_auc_dorp'; did you mean max_auc_drop\?"),
        ("[variant.q8]\nmaxflips = 0.01", r"unknown limit in \[variant\.q8\]: 'maxflips'; did you mean max_flips\?"),
        ("[limit]\nmax_flips = 0.01", r"unknown key 'limit'; did you mean limits\?"),
        ("[zzz]\n", "unknown key 'zzz'; there are limits, variant, candidates, confidence"),
        ("[limits]\nmax_flips = 2", r"max_flips = 2; expected a share from 0 to 1 \(0\.02 is 2 %\)"),
        ("[limits]\nmax_flips = true", "max_flips = True; expected a share"),
        ("[limits]\nmax_flips = '2 %'", "max_flips = '2 %'; expected a share"),
        ("[limits]\nmax_auc_drop = 0", "max_auc_drop = 0; expected a number between 0 and 1"),
        ("[limits]\nmax_auc_drop = nan", "max_auc_drop = nan; expected"),
        ("[limits]\nmax_size_mib = inf", "max_size_mib = inf; expected a number above 0"),
        ("[limits]\nmin_auc = [0.9]", "min_auc = a list; expected an AUC"),
        ("[limits]\nmin_auc = 0x" + "f" * 9000, "min_auc = a huge number; expected an AUC"),
        ("limits = 3", r"\[limits\] is 3; expected a table"),
        ("[variant]\nq8 = 3", r"\[variant\.q8\] is 3; expected a table"),
        ("variant = 3", r"\[variant\] is 3; expected a table"),
        ("confidence = 95\n[limits]\nmin_auc = 0.9", "confidence = 95; expected a number above 0.5 and below"),
        ("confidence = false\n[limits]\nmin_auc = 0.9", "confidence = False; expected"),
        ("candidates = 'q8'\n[limits]\nmin_auc = 0.9", "candidates = 'q8'; expected a list of variants"),
        ("candidates = [8]\n[limits]\nmin_auc = 0.9", "candidates = a list; expected a list of variants"),
        ("", "states no limit"),
        ("[limits\n", "is not valid TOML"),
        ("a = " + "[" * 50_000, "is not valid TOML"),
        ("x = '\ud800'", "is not valid TOML"),
    ],
)
def test_what_is_no_limit_is_refused_with_the_key_and_the_nearest_one(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        limits_of_text(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no limits at .*; write them there"):
        limits_from_file(tmp_path / "limits.toml")


def test_the_command_line_replaces_one_limit(tmp_path: Path) -> None:
    limits = limits_of_text(tmp_path, WHOLE)
    for text in ("max_auc_drop=0.02", "q8.max_size_mib = 25", "q16.min_auc=0.9"):
        limits = with_limit(limits, text)
    assert limits.limits_of("q8") == Limits(max_auc_drop=0.02, max_size_mib=25.0, max_flips=0.03)
    assert limits.limits_of("q16") == Limits(max_auc_drop=0.02, max_size_mib=60.0, min_auc=0.9)
    assert limits.source.endswith("limits.toml, --limit max_auc_drop, --limit q8.max_size_mib, --limit q16.min_auc")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_flips", "expected LIMIT=VALUE or VARIANT.LIMIT=VALUE"),
        (".max_flips=1", "expected LIMIT=VALUE or VARIANT.LIMIT=VALUE"),
        ("max_flips=2%", "'2%' is no number"),
        ("max_flips=", "'' is no number"),
        ("max_flip=0.2", r"unknown limit in .*'max_flip'; did you mean max_flips\?"),
        ("q8.max_flips=2", "max_flips = 2.0; expected a share"),
        ("q8.max_flips=nan", "max_flips = nan; expected a share"),
    ],
)
def test_a_limit_of_the_command_line_is_checked_likewise(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        with_limit(LimitsFile(), text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", [0, FRESH])
def test_whatever_is_done_to_a_file_it_is_read_or_refused_in_one_line(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    pieces = [*WHOLE, *"[]=\"'\n#\x00é\U0001f600-{}.", "nan", "e9", "[["]
    refused = []
    for _ in range(400):
        text = list(WHOLE)
        for _ in range(draw.choice((1, 1, 2, 5, 20))):
            place = draw.randrange(len(text))
            text[place : place + draw.choice((0, 1, 1, 8))] = draw.choices(pieces, k=draw.choice((0, 1, 3)))
        try:
            limits = limits_of_text(tmp_path, "".join(text))
        except DataError as error:
            refused.append(str(error))
            continue
        for own in (limits.common, *limits.of_variant.values()):
            assert all(value in RANGES[name] for name, value in own.stated.items()), seed
        assert 0.5 < limits.confidence < 1, seed
    assert len(refused) > 100, seed
    assert not [message for message in refused if "\n" in message or len(message) > 500], seed
