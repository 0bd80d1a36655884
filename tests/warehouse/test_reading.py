"""What survey tools, spreadsheets, R and Python write: read in one way, said, or refused in a line."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from warehouse.errors import InputError
from warehouse.files.header import Wanted
from warehouse.files.imports import JudgmentBatch, read_judgments
from warehouse.files.judgment_columns import JudgmentMapping
from warehouse.files.reading import Reading, read_columns
from warehouse.files.texts import premise_columns, premises_of, read_propositions

HEADER = "premise,hypothesis,annotator,rating"
ROW = "It rains.,It is wet.,a"


def read(path: Path, content: str | bytes, mapping: JudgmentMapping | None = None, **how: Any) -> JudgmentBatch:
    """The judgments of a file with this content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_judgments(path, mapping, reading=Reading.model_validate(how))


def refused(path: Path, content: str | bytes, mapping: JudgmentMapping | None = None, **how: Any) -> str:
    """The line that a file with this content is refused with."""
    with pytest.raises(InputError) as caught:
        read(path, content, mapping, **how)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 500
    assert line.isprintable()
    return line


def timed(path: Path, *times: object, **how: Any) -> Any:
    """What a column of times is read as."""
    rows = "".join(f"It rains.,It is wet.,a{index},90,{time}\n" for index, time in enumerate(times))
    return read(path, f"{HEADER},submitted_at\n{rows}", **how).judgments["submitted_at"].to_pylist()


def day(month: int, number: int, hour: int = 0) -> datetime:
    return datetime(2024, month, number, hour, tzinfo=UTC)


# Separators, encodings, decimals

GERMAN = "premise;hypothesis;annotator;rating\r\nEs regnet.;Die Straße ist nass.;a;72,5\r\n"
SPREADSHEETS = {
    "semicolons": (GERMAN.encode(), ["separated by semicolons", "decimal comma in 'rating'"]),
    "byte order mark": (GERMAN.encode("utf-8-sig"), ["separated by semicolons", "decimal comma in 'rating'"]),
    "windows-1252": (
        GERMAN.encode("cp1252"),
        ["separated by semicolons", "Windows-1252", "decimal comma in 'rating'"],
    ),
    "utf-16": (
        GERMAN.replace(";", "\t").encode("utf-16"),
        ["separated by tabs", "UTF-16", "decimal comma in 'rating'"],
    ),
    "utf-16, no mark": (
        GERMAN.encode("utf-16-le"),
        ["separated by semicolons", "UTF-16", "decimal comma in 'rating'"],
    ),
    "utf-32": (GERMAN.encode("utf-32"), ["separated by semicolons", "UTF-32", "decimal comma in 'rating'"]),
    "bars": (GERMAN.replace(";", "|").encode(), ["separated by |", "decimal comma in 'rating'"]),
    "sep line": (
        b"sep=;\r\n" + GERMAN.encode(),
        ["separated by semicolons", "decimal comma in 'rating'"],
    ),
    "quoted decimal comma": (
        GERMAN.replace("72,5", '"72,5"').replace(";", ",").encode(),
        ["decimal comma in 'rating'"],
    ),
    "percent": (GERMAN.replace("72,5", "72.5 %").replace(";", ",").encode(), ["percent signs in 'rating'"]),
    "old Mac": (GERMAN.replace("72,5", "72.5").replace(";", ",").replace("\r\n", "\r").encode(), []),
    "capitals and spaces": (
        GERMAN.replace("72,5", "72.5").replace(";", ",").replace("premise,hyp", " Premise ,HYP").encode(),
        [],
    ),
    "empty columns and rows": (
        GERMAN.replace("72,5", "72.5").replace(";", ",").replace("\r\n", ",,\r\n").encode() + b",,,,,\r\n\r\n",
        [],
    ),
}


@pytest.mark.parametrize("kind", SPREADSHEETS)
def test_what_spreadsheets_write_is_read_and_said(tmp_path: Path, kind: str) -> None:
    content, said = SPREADSHEETS[kind]
    batch = read(tmp_path / "file.csv", content)
    assert batch.propositions["hypothesis"].to_pylist() == ["Die Straße ist nass."]
    assert batch.judgments["raw_probability"].to_pylist() == [pytest.approx(0.725)]
    assert batch.said == said


def test_options_go_before_what_is_found(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    polish = "premise~hypothesis~annotator~rating\nPada.~Było mokro.~a~1,250\n".encode("cp1250")
    line = refused(path, polish, separator="~")
    assert "line 2" in line
    assert "--encoding" in line
    batch = read(
        path, polish, JudgmentMapping(scale=(0, 2000)), separator="~", encoding="windows-1250", decimal="point"
    )
    assert batch.propositions["hypothesis"].to_pylist() == ["Było mokro."]
    assert batch.judgments["raw_probability"].to_pylist() == [0.625]
    assert batch.said == []
    assert "--encoding" in refused(path, GERMAN.encode("cp1252"), encoding="utf-8")
    assert "--encoding klingon is unknown" in refused(path, GERMAN, encoding="klingon")
    assert "--separator" in refused(path, GERMAN, separator="::")


@pytest.mark.parametrize("encoding", ["cp1251", "mac_roman", "shift_jis"])
def test_what_is_not_western_is_not_taken_for_windows_1252(tmp_path: Path, encoding: str) -> None:
    hypothesis = {"cp1251": "Улица мокрая", "mac_roman": "Die Straße", "shift_jis": "道が濡れる"}[encoding]
    content = f"{HEADER}\nIt rains.,{hypothesis},a,90\n".encode(encoding)
    assert "line 2" in refused(tmp_path / "file.csv", content)
    assert read(tmp_path / "file.csv", content, encoding=encoding).propositions["hypothesis"].to_pylist() == [
        hypothesis
    ]


def test_a_byte_broken_in_utf_8_is_not_another_encoding(tmp_path: Path) -> None:
    content = f"{HEADER}\nSchön.,It is wet.,a,90\n".encode() + b"Caf\xe9.,It is wet.,a,90\n"
    assert "line 3: byte 0xe9" in refused(tmp_path / "file.csv", content)


def test_a_decimal_comma_that_may_be_between_thousands_is_asked_about(tmp_path: Path) -> None:
    path, mapping = tmp_path / "file.csv", JudgmentMapping(scale=(0, 10_000))

    def ratings(*texts: str, **how: Any) -> list[object]:
        rows = "".join(f'It rains.,It is wet.,a,"{text}"\n' for text in texts)
        return [
            10_000 * one
            for one in read(path, f"{HEADER}\n{rows}", mapping, **how).judgments["raw_probability"].to_pylist()
        ]

    content = f'{HEADER}\n{ROW},"5,125"\n'
    assert "line 2, column 'rating': '5,125' may have a decimal comma" in refused(path, content, mapping)
    assert ratings("5,125", decimal="point") == [pytest.approx(5125)]
    assert ratings("5,125", decimal="comma") == [pytest.approx(5.125)]
    assert ratings("5,125", "1,250.5") == [pytest.approx(5125), pytest.approx(1250.5)]
    assert ratings("5,125", "7,5") == [pytest.approx(5.125), pytest.approx(7.5)]
    assert ratings("0,125") == [pytest.approx(0.125)]
    assert "'7.5'" in refused(path, f'{HEADER}\n{ROW},"7,5"\n{ROW},"7,25"\n{ROW},7.5\n', mapping)


def test_percent_signs_fit_probabilities_too(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("premise,hypothesis,probability\nIt rains.,It is wet.,72%\nIt rains.,It is cold.,0.5\n")
    batch = read_propositions(path)
    assert batch.propositions["target_probability"].to_pylist() == [pytest.approx(0.72), 0.5]
    assert batch.said == ["percent signs in 'probability'"]
    assert "0:100" in refused(path, f"{HEADER}\n{ROW},72%\n", JudgmentMapping(scale=(1, 5)))


# Dates


def test_a_column_of_dates_is_read_in_the_one_way_that_fits_all(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    assert timed(path, "05.03.2024 09:00", "13.03.2024 9:00", "03/04/2024") == [day(3, 5, 9), day(3, 13, 9), day(4, 3)]
    assert read_judgments(path).said == ["day-first dates in 'submitted_at'"]
    assert timed(path, "3/4/2024 9:00 PM", "3/23/2024") == [day(3, 4, 21), day(3, 23)]
    assert timed(path, "05.05.2024", "2024-03-04", "4 March 2024") == [day(5, 5), day(3, 4), day(3, 4)]
    assert timed(path, "05.03.24", dates="day-first") == timed(path, "03/05/2024", dates="month-first") == [day(3, 5)]


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["2024-03-01", "05.03.2024"], ["line 3", "'05.03.2024'", "--dates day-first or --dates month-first"]),
        (["13/03/2024", "03/13/2024"], ["line 3", "'13/03/2024'", "'03/13/2024'"]),
        (["13.03.24"], ["line 2", "two-digit", "--dates"]),
        (["1612101530"], ["'1612101530' is a number", "--dates epoch, epoch-ms or excel"]),
        (["1612101530000"], ["'1612101530000' is a number"]),
        (["2.0211231e7"], ["is a number"]),
        (["1612-03-01"], ["'1612-03-01'", "before 1990"]),
        (["2999-03-01"], ["'2999-03-01'", "after tomorrow"]),
    ],
)
def test_dates_that_may_be_wrong_are_a_line(tmp_path: Path, times: list[str], said: list[str]) -> None:
    path = tmp_path / "file.csv"
    with pytest.raises(InputError) as caught:
        timed(path, *times)
    for part in ["column 'submitted_at'", *said]:
        assert part in str(caught.value)


def test_numbers_are_times_where_the_column_says_so(tmp_path: Path) -> None:
    path, moment = tmp_path / "file.csv", datetime(2021, 1, 31, 13, 58, 50, tzinfo=UTC)
    assert timed(path, 1612101530, "1612101530.25", "NA", dates="epoch") == [
        moment,
        moment + timedelta(milliseconds=250),
        None,
    ]
    assert timed(path, 1612101530123, dates="epoch-ms") == [moment + timedelta(milliseconds=123)]
    # Excel shows 44567.5 as 6 January 2022 12:00, and 45356.3958333333 as 5 March 2024 9:30.
    excel = [datetime(2022, 1, 6, 12, tzinfo=UTC), datetime(2024, 3, 5, 9, 30, tzinfo=UTC)]
    assert timed(path, "44567.5", "45356.3958333333", dates="excel") == excel
    for number, unit, said in ((1612101530000, "epoch", "after tomorrow"), (1612101530, "epoch-ms", "before 1990")):
        with pytest.raises(InputError, match=f"read as {unit} is {said}"):
            timed(path, number, dates=unit)


def test_times_of_parquet_are_what_they_were(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {"premise": "It rains.", "hypothesis": "It is wet.", "annotator": ["a", "b"], "rating": [1, 2]}
        | {"submitted_at": pd.to_datetime(["2024-03-05 09:00:00.5", None])}
    )
    rows.to_parquet(tmp_path / "file.parquet")
    times = read_judgments(tmp_path / "file.parquet").judgments["submitted_at"].to_pylist()
    assert times == [day(3, 5, 9) + timedelta(milliseconds=500), None]


# Ids, missing values, half characters


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_an_id_is_one_id_in_every_format(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"week.{extension}"
    for ids in ([17, 1234567890123], [17.0, 1234567890123.0]):
        rows = pd.DataFrame({"premise": "P", "hypothesis": "H", "annotator": ids, "rating": [1, 2]})
        match extension:
            case "csv":
                rows.to_csv(path, index=False)
            case "jsonl":
                rows.to_json(path, orient="records", lines=True)
            case _:
                rows.to_parquet(path)
        assert read_judgments(path).annotators["source_id"].to_pylist() == ["17", "1234567890123"]


@pytest.mark.parametrize("annotator", ["1.23457E+11", "1e+17", "12345678901234567.0"])
def test_an_id_that_lost_digits_is_a_line(tmp_path: Path, annotator: str) -> None:
    line = refused(tmp_path / "file.csv", f"{HEADER}\nP,H,{annotator},1\n")
    assert f"line 2, column 'annotator': '{annotator}'" in line


def test_invisible_characters_round_a_value_are_none_of_it(tmp_path: Path) -> None:
    found = read(
        tmp_path / "f.csv", f"{HEADER}\nP,H,\u200ban\u00e9\ufeff ,100\nP,H, \u2060b,0\nP,H,\u06f1\u200c\u06f2,0\n"
    )
    assert found.annotators["source_id"].to_pylist() == ["an\u00e9", "b", "\u06f1\u200c\u06f2"]


def test_texts_that_parquet_holds_as_bytes_and_durations_are_read(tmp_path: Path) -> None:
    columns = {
        "premise": pa.array([b"It rains.", "Es st\u00fcrmt.".encode()], pa.binary()),
        "hypothesis": pa.array([b"H", b"H"], pa.large_binary()),
        "annotator": ["a", "b"],
        "rating": [25, 100],
        "lead_time": pa.array([1500, None], pa.duration("ms")),
    }
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    found = read_judgments(tmp_path / "f.parquet")
    assert found.judgments["lead_time_s"].to_pylist() == [1.5, None]
    assert sorted(found.premises["text"].to_pylist()) == ["Es st\u00fcrmt.", "It rains."]
    columns["premise"] = pa.array([b"It rains.", b"Es st\xfcrmt."], pa.binary())
    pq.write_table(pa.table(columns), tmp_path / "g.parquet")
    with pytest.raises(InputError, match="row 2, column 'premise': these bytes are not text in UTF-8"):
        read_judgments(tmp_path / "g.parquet")


def test_parquet_numbers_of_16_bits_are_read(tmp_path: Path) -> None:
    ratings = pa.array([72.5, 3.0, None], pa.float16())
    columns = {"premise": ["P"] * 3, "hypothesis": ["H"] * 3, "annotator": ["a", "b", "c"], "rating": ratings}
    pq.write_table(pa.table(columns | {"cannot_judge": [False, False, True]}), tmp_path / "f.parquet")
    assert read_judgments(tmp_path / "f.parquet").judgments["raw_probability"].to_pylist() == [0.725, 0.03, None]


def test_ids_that_only_look_like_numbers_stay(tmp_path: Path) -> None:
    ids = ["007", "17.5", "1e10", "v1.0", "-0x1"]
    batch = read(tmp_path / "file.csv", HEADER + "\n" + "".join(f"P,H,{one},1\n" for one in ids))
    assert batch.annotators["source_id"].to_pylist() == ids


@pytest.mark.parametrize("word", ["NA", "NaN", "nan", "NULL", "None", "", "#N/A", "-99"])
def test_missing_is_missing_in_every_column_that_may_be(tmp_path: Path, word: str) -> None:
    path = tmp_path / "file.csv"
    content = (
        f"{HEADER},cannot_judge,submitted_at,group,lead_time,comment,batch,status\n"
        f"{ROW},90,FALSE,2024-03-05 09:00:00,x,1,fine,b,approved\n"
        f"It rains.,It is wet.,b,{word},TRUE,{word},{word},{word},{word},{word},{word}\n"
        f"It rains.,It is wet.,c,{word},{word},{word},{word},{word},{word},{word},{word}\n"
    )
    batch = read(path, content, missing=("-99",))
    first, second = batch.judgments.to_pylist()
    assert (first["comment"], first["lead_time_s"], first["batch"]) == ("fine", 1.0, "b")
    empty = ("raw_probability", "probability", "submitted_at", "lead_time_s", "comment", "batch")
    assert {second[name] for name in empty} == {None}
    assert (second["cannot_judge"], second["status"]) == (True, "submitted")
    assert batch.annotators["annotator_group"].to_pylist() == ["x", None, None]
    assert [drop.detail for drop in batch.drops] == ["file.csv, line 4"]
    assert "line 2, column 'annotator'" in refused(path, f"{HEADER}\nP,H,{word},1\n", missing=("-99",))


def test_python_and_polars_write_nan(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    row = {"premise": "P", "hypothesis": "H", "annotator": "a", "rating": float("nan"), "cannot_judge": True}
    rows = [row, row | {"annotator": "b", "rating": 3, "cannot_judge": False}]
    batch = read(path, "".join(json.dumps(one) + "\n" for one in rows))
    assert batch.judgments["raw_probability"].to_pylist() == [None, 0.03]
    pq.write_table(
        pa.Table.from_pylist([one | {"rating": float(str(one["rating"]))} for one in rows]), tmp_path / "f.parquet"
    )
    again = read_judgments(tmp_path / "f.parquet")
    assert again.judgments["raw_probability"].to_pylist() == [None, 0.03]


def test_half_a_character_is_replaced_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    texts = '"premise": "He posted \\ud83d and \\ud83d\\ude00.", "hypothesis": "He \\udcb2"'
    row = f'{{{texts}, "annotator": "a", "rating": 90}}\n'
    batch = read(path, '{"premise": "P", "hypothesis": "H", "annotator": "a", "rating": 90}\n' + row)
    assert batch.premises["text"].to_pylist() == ["P", "He posted \ufffd and \U0001f600."]
    assert batch.said == ["invalid characters in 2 values replaced by U+FFFD, first in file.jsonl, line 2"]
    csv = f"{HEADER}\nHe \ud83d,It is wet.,a,90\n".encode("utf-8", "surrogatepass")
    assert read(tmp_path / "file.csv", csv).premises["text"].to_pylist() == ["He \ufffd"]


# Columns


def test_columns_can_be_named_everywhere_and_the_others_are_said(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text(
        "id,pre,hyp,nli,unli\n1,A man sings.,A man performs.,1,0.946\n2,A man sings.,A man sleeps.,0,0.01\n"
    )
    columns = {"premise": "pre", "hypothesis": "hyp", "probability": "unli"}
    batch = read_propositions(path, columns=columns)
    assert batch.propositions["target_probability"].to_pylist() == [0.946, 0.01]
    assert batch.said == ["not read: id, nli"]
    assert read_propositions(path, columns=columns | {"probability": None}).said == ["not read: id, nli, unli"]
    scaled = read_propositions(path, columns=columns | {"probability": "nli"}, scale=(-1.0, 1.0))
    assert scaled.propositions["target_probability"].to_pylist() == [1.0, 0.5]
    premises = premise_columns(path, {"premise": "hyp"})
    assert [one.text for one in premises_of(premises)] == ["A man performs.", "A man sleeps."]
    with pytest.raises(InputError, match=r"no column 'premise', only id, pre, hyp, nli, unli; .*--column premise="):
        read_propositions(path)
    with pytest.raises(InputError, match="needs a column for premise"):
        read_propositions(path, columns={"premise": None})


def test_two_columns_of_one_name_are_a_line_in_every_format(tmp_path: Path) -> None:
    twice = "has two columns 'rating'"
    assert twice in refused(tmp_path / "f.csv", f"{HEADER},rating\n{ROW},1,2\n")
    assert twice in refused(tmp_path / "f.csv", f"{HEADER.replace('rating', 'Rating')},RATING\n{ROW},1,2\n")
    row = '{"premise": "P", "hypothesis": "H", "annotator": "a", "rating": 1, "rating": 2}\n'
    assert "line 1: an object has the key 'rating' twice" in refused(tmp_path / "f.jsonl", row)
    assert twice in refused(
        tmp_path / "f.jsonl", row.replace('"rating"', '"Rating"', 1).replace('"rating"', '"RATING"', 1)
    )
    names = [*HEADER.split(","), "rating"]
    pq.write_table(pa.table([["P"], ["H"], ["a"], [1], [2]], names=names), tmp_path / "f.parquet")
    with pytest.raises(InputError, match=twice):
        read_judgments(tmp_path / "f.parquet")
    assert read(tmp_path / "f.csv", f"{HEADER},x,x\n{ROW},1,2,3\n").judgments.num_rows == 1


def test_an_mturk_batch_needs_no_columns_named(tmp_path: Path) -> None:
    names = (
        "HITId,HITTypeId,AssignmentId,WorkerId,AssignmentStatus,SubmitTime,WorkTimeInSeconds,Input.premise,"
        "Input.hypothesis,Answer.slider,Answer.cannot.on,Answer.comment,Approve,Reject"
    )
    texts = 'It rains &amp; pours.,"The &quot;street&quot; is wet."'
    content = (
        f"{names}\nH1,T,A1,W1,Approved,Mon Mar 04 09:01:10 PST 2024,60,{texts},90,false,well,,\n"
        f"H1,T,A2,W2,Rejected,Mon Mar 04 09:01:10 PST 2024,4,{texts},50,true,,,\n"
        f"H1,T,A3,W3,Submitted,Sun Mar 10 02:30:00 PDT 2024,61,{texts},{{}},false,,,\n"
    )
    batch = read(tmp_path / "batch.csv", content, JudgmentMapping(format="mturk"))
    assert batch.premises["text"].to_pylist() == ["It rains & pours."]
    assert batch.propositions["hypothesis"].to_pylist() == ['The "street" is wet.']
    fields = (
        "source_id",
        "status",
        "probability",
        "raw_probability",
        "lead_time_s",
        "comment",
        "batch",
        "submitted_at",
    )
    assert [tuple(row[name] for name in fields) for row in batch.judgments.to_pylist()] == [
        ("A1", "approved", 0.9, 0.9, 60.0, "well", "T", datetime(2024, 3, 4, 17, 1, 10, tzinfo=UTC)),
        ("A2", "rejected", None, 0.5, 4.0, None, "T", datetime(2024, 3, 4, 17, 1, 10, tzinfo=UTC)),
    ]
    assert [(drop.reason, drop.detail) for drop in batch.drops] == [("no rating", "batch.csv, line 4")]
    assert batch.said == ["not read: HITId, Approve, Reject"]
    plain = read(tmp_path / "batch.csv", content, JudgmentMapping(format="mturk"), entities=False)
    assert plain.premises["text"].to_pylist() == ["It rains &amp; pours."]
    assert "--format mturk" in refused(tmp_path / "batch.csv", content)


@pytest.mark.parametrize("extension", ["csv", "jsonl", "parquet"])
def test_a_json_pointer_leads_into_a_cell(tmp_path: Path, extension: str) -> None:
    answers = [[{"cannot": {"on": False}, "a/b": 90}], [{"cannot": {"on": True}}]]
    rows = pd.DataFrame({"premise": "P", "hypothesis": "H", "annotator": ["a", "b"], "all": map(json.dumps, answers)})
    path = tmp_path / f"file.{extension}"
    match extension:
        case "csv":
            rows.to_csv(path, index=False)
        case "jsonl":
            path.write_text(
                "".join(json.dumps(row | {"all": answers[i]}) + "\n" for i, row in enumerate(rows.to_dict("records")))
            )
        case _:
            rows.to_parquet(path)
    mapping = JudgmentMapping(rating="all:/0/a~1b", cannot_judge="all:/0/cannot/on")
    judgments = read_judgments(path, mapping).judgments
    assert judgments["raw_probability"].to_pylist() == [0.9, None]
    assert judgments["cannot_judge"].to_pylist() == [False, True]
    with pytest.raises(InputError, match=r"(line|row) \d, column 'all:/0': it is an object"):
        read_judgments(path, JudgmentMapping(rating="all:/0"))


# Files that are broken


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("f.csv", f"{HEADER}\n{ROW},1\n{ROW}\n", "line 3 has 3 values and the header 4"),
        ("f.csv", f"{HEADER}\n{ROW},1\nA dog, a cat,H,a,1\n", "line 3 has 5 values and the header 4"),
        ("f.csv", f'{HEADER}\n{ROW},1\n"It rains,H,a,1\nx\n', "line 3: a quotation mark opens"),
        ("f.csv", f'{HEADER}\n{ROW},1\n"It "rains",H,a,1\n', "line 3: a quotation mark within"),
        (
            "f.csv",
            f"{HEADER}\nP,H,a\x1b[31mb,1\n",
            r"line 2, column 'annotator': 'a\x1b[31mb' contains a control or invisible character",
        ),
        (
            "f.csv",
            f"{HEADER}\nP\x00,H,a,1\n",
            r"line 2, column 'premise': 'P\x00' contains a control or invisible character",
        ),
        ("f.csv", f"{HEADER}\nP,H,a\u200bb,1\n", r"'annotator': 'a\u200bb' contains a control or invisible character"),
        ("f.jsonl", "[" * 100_000 + "\n", "line 1: the JSON is nested too deep"),
        ("f.jsonl", '{"rating": ' + "9" * 5000 + "}\n", "line 1: a number of more than 4,300 digits"),
        ("f.jsonl", "", "is empty"),
        ("f.xlsx", "x", "save it as CSV"),
        ("f.csv.gz", "x", "unpack it"),
        ("f.csv", "PK\x03\x04x", "is a zip archive or a spreadsheet"),
        ("f.csv", "PAR1x", "is a parquet file; name it .parquet"),
        ("f.txt", '"premise" "rating"\n"P" 1\n', "or name the --separator"),
    ],
)
def test_a_broken_file_is_one_line_with_its_place(tmp_path: Path, name: str, content: str, said: str) -> None:
    assert said in refused(tmp_path / name, content)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read_judgments(tmp_path / "x.jsonl")


def test_long_lines_and_line_ends_within_quotes_stay_whole(tmp_path: Path) -> None:
    """Neither depends on where a reader's blocks end."""
    texts = [f"{'x' * (length)}\r\n{'y' * 37}\n." for length in range(60_000, 66_000, 17)] + ["z" * 3_000_000]
    content = HEADER + "\r\n" + "".join(f'"{text}",H,a{index},1\r\n' for index, text in enumerate(texts))
    batch = read(tmp_path / "file.csv", content)
    assert batch.premises["text"].to_pylist() == texts
    line = refused(tmp_path / "file.csv", content + "P,H,a,many\r\n")
    assert f"line {2 + 3 * (len(texts) - 1) + 1}" in line


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_value_may_be_so_long_in_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for module in ("delimited", "reading"):
        monkeypatch.setattr(f"warehouse.files.{module}.LONGEST_VALUE", 2000)
    for length, refused in ((2000, False), (2001, True)):
        rows, path = pa.table({"premise": ["x", "a" * length]}), tmp_path / f"{length}.{kind}"
        if kind == "csv":
            path.write_text("premise\nx\n" + "a" * length + "\n")
        elif kind == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()))
        else:
            pq.write_table(rows, path)
        with pytest.raises(InputError, match="a value has more than 2,000 characters") if refused else nullcontext():
            assert len(read_columns(path, {"premise": Wanted(("premise",), kind="text")})) == 2
