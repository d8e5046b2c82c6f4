from __future__ import annotations

import copy
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from evaluate.json_schema import json_schema
from evaluate.record import REPORT_SCHEMA, ReportRecord
from evaluate.verdict.verdict import VERDICT_SCHEMA, Verdict
from export.decoding import decoded_from_json
from export.errors import ArtifactError
from tests.evaluate.int8_reference import int8_reference_record
from tests.evaluate.latency_reference import latency_reference_record
from tests.evaluate.pruning_reference import pruning_reference_record
from tests.evaluate.reference import reference_record
from tests.evaluate.statistics_reference import statistics_record, verdict_on_statistics
from tests.evaluate.test_record import set_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCS = Path(__file__).parents[2] / "docs"
REGENERATE = "REGENERATE_GOLDEN"
SCHEMAS = {
    "report": json_schema(ReportRecord, "report.json of Engine Sign-off", REPORT_SCHEMA),
    "verdict": json_schema(Verdict, "verdict.json of Engine Sign-off", VERDICT_SCHEMA),
}
RECORDS = {
    "reference": reference_record,
    "int8": int8_reference_record,
    "latency": latency_reference_record,
    "pruning": pruning_reference_record,
    "statistics": statistics_record,
    "no validation": lambda: statistics_record(validated=False),
}


def plain(value: Any) -> Any:
    return json.loads(json.dumps(asdict(value)))


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(SCHEMAS[name])


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_is_the_current_one(name: str) -> None:
    path = DOCS / f"{name}.schema.json"
    text = json.dumps(SCHEMAS[name], indent=2) + "\n"
    if os.environ.get(REGENERATE):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"the layout changed: review it, then run with {REGENERATE}=1"


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one_and_describes_every_key(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    for part in (schema, *schema["$defs"].values()):
        assert part["description"]
        assert [key for key, value in part["properties"].items() if not value.get("description")] == []


@pytest.mark.parametrize("name", RECORDS)
def test_records_are_valid(name: str) -> None:
    validator("report").validate(plain(RECORDS[name]()))


def test_a_verdict_is_valid() -> None:
    validator("verdict").validate(plain(verdict_on_statistics()))


@pytest.mark.parametrize(
    "damage",
    [
        set_in("schema_version", value=4),
        lambda record: record.pop("schema_version"),
        set_in("threshold", value="0.5"),
        set_in("comment", value=1),
        lambda record: record["dataset"].pop("frames"),
        set_in("variants", 2, "precision", value="INT4"),
        set_in("variants", 0, "confusion", "tp", value=True),
        set_in("variants", 0, "confusion", "tp", value=1.5),
        set_in("variants", 0, "samples", "maybe", value=[]),
        set_in("variants", value={}),
        set_in("variants", 1, "statistics", "scores", 3, value=None),
        set_in("variants", 1, "statistics", "difference", "delong", value=[0.1, 0.2]),
        set_in("variants", 1, "statistics", "operating_points", 0, "origin", value="guessed"),
        set_in("variants", 1, "statistics", "drift", "flips", "broken", value=None),
        set_in("variants", 1, "ladder", 0, "stage", value="TensorRT"),
        set_in("videos", 0, "attributes", "folder", value=3),
        set_in("environment", value=[]),
        set_in("is_partial", value="no"),
        set_in("digests", "checkpoint", value=12),
    ],
)
def test_a_damaged_record_fails_here_and_where_it_is_read(damage: Callable[[dict[str, Any]], None]) -> None:
    record = copy.deepcopy(plain(statistics_record()))
    damage(record)
    assert not validator("report").is_valid(record)
    with pytest.raises(ArtifactError):
        ReportRecord.from_json(record)


@pytest.mark.parametrize(
    "damage",
    [
        set_in("grade", value="MAYBE"),
        set_in("variants", 1, "findings", 0, "measured", value="0.1"),
        set_in("limits", "common", "max_auc", value=0.1),
        lambda verdict: verdict.pop("report_sha256"),
    ],
)
def test_a_damaged_verdict_fails_here_and_where_it_is_read(damage: Callable[[dict[str, Any]], None]) -> None:
    verdict = copy.deepcopy(plain(verdict_on_statistics()))
    damage(verdict)
    assert not validator("verdict").is_valid(verdict)
    with pytest.raises(ArtifactError):
        decoded_from_json(Verdict, verdict)


def shortened(value: Any) -> Any:
    """Returns parsed JSON with the first item of every list alone."""
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    return [shortened(item) for item in value[:1]] if isinstance(value, list) else value


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yields every container of parsed JSON with each of its keys."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def test_schema_and_reader_agree_on_a_null_in_every_place() -> None:
    """Whatever becomes null, both take it or both refuse it."""
    full = plain(statistics_record())
    record = shortened({**full, "variants": full["variants"][2:]})
    checked = validator("report")
    for container, key in list(places(record)):
        kept, container[key] = container[key], None
        try:
            ReportRecord.from_json(record)
            is_readable = True
        except ArtifactError:
            is_readable = False
        assert checked.is_valid(record) == is_readable, key
        container[key] = kept


def test_a_description_may_run_over_several_lines() -> None:
    @dataclass(frozen=True)
    class Sized:
        """A thing.

        Attributes:
            width: How wide it is,
                in metres.
            schema_version: Of the layout.

        Args:
            other: Not a field.
        """

        width: float
        schema_version: int = 7

    schema = json_schema(Sized, "a thing", 7)
    assert schema["properties"]["width"] == {"description": "How wide it is, in metres.", "type": "number"}
    assert schema["properties"]["schema_version"]["const"] == 7
    assert schema["required"] == ["schema_version", "width"]
