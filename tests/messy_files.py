"""Files as people have them: what a spreadsheet, a database or another country makes of the same small table.

Each is drafted, accepted and prepared for a training in test_messy_files.py, or refused in one line.
"""

import csv
import io
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Content = str | bytes


@dataclass(frozen=True)
class Messy:
    """Files, and what a draft makes of them.

    Attributes:
        files: their contents by name; a function writes one that is not made of lines.
        columns: what the schema says of some columns, keys and values.
        head: what it says besides of the target, the split, the files.
        absent: columns that it leaves out.
        words: what is printed on the way.
        silent: what is not.
        refused: what the one line says instead; the files are not drafted then.
        options: of the verb.
    """

    files: Mapping[str, Content | Callable[[Path], None]]
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=dict)
    absent: Sequence[str] = ()
    words: Sequence[str] = ()
    silent: Sequence[str] = ()
    refused: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> list[Path]:
        """Write the files into a folder, and return them."""
        paths = []
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(path)
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            paths.append(path)
        return paths


def customers(count: int = 300, seed: int = 1) -> list[Row]:
    """Rows with an identifier, numbers, a category and a class that depends on them."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        calls, fee = chance.randint(0, 40), round(chance.uniform(500, 3000), 2)
        member, region = chance.random() < 0.5, chance.choice(["north", "south", "east"])
        score = calls / 40 + (fee - 500) / 5000 - 0.4 * member + chance.gauss(0, 0.15)
        rows.append(
            {
                "customer_id": 10_000 + 7 * number,
                "since": f"{chance.randint(2019, 2023)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}",
                "calls per month": calls,
                "fee": fee,
                "is_member": "yes" if member else "no",
                "region": region,
                "churned": "yes" if score > 0.6 else "no",
            }
        )
    return rows


ROWS = customers()


def text(rows: Sequence[Row] = ROWS, delimiter: str = ",", quoting: Any = csv.QUOTE_MINIMAL, end: str = "\n") -> str:
    """Rows as a csv file."""
    file, names = io.StringIO(), list(rows[0])
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow(names)
    writer.writerows([row[name] for name in names] for row in rows)
    return file.getvalue()


def changed(rows: Sequence[Row] = ROWS, **changes: Callable[[Any], Any]) -> list[Row]:
    """Rows with other values in some columns."""
    return [row | {name: change(row[name]) for name, change in changes.items()} for row in rows]


def numbered(name: str, value: Callable[[int, Row], Any], rows: Sequence[Row] = ROWS) -> list[Row]:
    """Rows with another first column, whose values depend on their number."""
    return [{name: value(number, row)} | row for number, row in enumerate(rows)]


def between(name: str, value: Callable[[int], Any]) -> str:
    """The rows with another third column."""
    return text([dict([*(items := list(row.items()))[:2], (name, value(n)), *items[2:]]) for n, row in enumerate(ROWS)])


def german(number: float) -> str:
    return f"{number:,.2f}".replace(",", " ").replace(".", ",").replace(" ", ".")


def day(form: str) -> Callable[[str], str]:
    """Turn 2013-01-31 into another way of writing it: D, M and Y are replaced."""

    def write(iso: str) -> str:
        year, month, date = iso.split("-")
        return form.replace("D", date).replace("M", month).replace("Y", year).replace("y", year[2:])

    return write


def parquet(rows: Sequence[Row], **types: str) -> Callable[[Path], None]:
    """Write rows as parquet, some columns with another type of pandas."""

    def write(path: Path) -> None:
        import pandas as pd

        pd.DataFrame(rows).astype(types).to_parquet(path)

    return write


MONTHS = [
    "Januar",
    "Februar",
    "Maerz",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
]

FILES: dict[str, Messy] = {
    # How files are written.
    "commas": Messy(
        {"churn.csv": text()},
        {
            "customer_id": {"type": "integer", "role": "ignore"},
            "since": {"type": "date", "derive": ["month", "day_of_week"]},
            "is_member": {"type": "boolean"},
            "region": {"type": "category", "values": ["east", "north", "south"]},
            "churned": {"type": "category", "values": ["no", "yes"]},
        },
        {"target": "churned", "positive": "yes", "task": "classification", "split": {"key": "customer_id"}},
        words=["it is the last column", "another value in each row: an identifier"],
    ),
    "semicolons and decimal commas": Messy(
        {"churn.csv": text(changed(fee=german), ";")},
        {"fee": {"type": "number", "thousands": ".", "decimal": ","}},
        {"files": {"delimiter": ";"}},
    ),
    "tabs in a .tsv": Messy({"churn.tsv": text(delimiter="\t")}, head={"files": {"delimiter": "\t"}}),
    "vertical bars": Messy({"churn.csv": text(delimiter="|")}, head={"files": {"delimiter": "|"}}),
    "a mark of UTF-8 and lines of Windows": Messy({"churn.csv": b"\xef\xbb\xbf" + text(end="\r\n").encode()}),
    "UTF-16 with a mark": Messy(
        {"churn.csv": text(delimiter="\t").encode("utf-16")}, head={"files": {"delimiter": "\t", "encoding": "utf-16"}}
    ),
    "UTF-16 without a mark": Messy(
        {"churn.csv": text().encode("utf-16-le")}, head={"files": {"encoding": "utf-16-le"}}
    ),
    "cp1252 of Windows": Messy(
        {
            "churn.csv": text(changed(region={"north": "Köln", "south": "Jülich", "east": "Görlitz"}.get)).encode(
                "cp1252"
            )
        },
        {"region": {"values": ["Görlitz", "Jülich", "Köln"]}},
        {"files": {"encoding": "cp1252"}},
    ),
    "cp1250, which is named": Messy(
        {
            "churn.csv": text(changed(region={"north": "Łódź", "south": "Płock", "east": "Wrocław"}.get)).encode(
                "cp1250"
            )
        },
        {"region": {"values": ["Płock", "Wrocław", "Łódź"]}},
        {"files": {"encoding": "cp1250"}},
        options={"encoding": "cp1250"},
    ),
    "cp1251, which cannot be seen": Messy(
        {"churn.csv": text(changed(region={"north": "север", "south": "юг", "east": "восток"}.get)).encode("cp1251")},
        refused="churn.csv: it is not encoded in UTF-8, and its letters are not those of cp1252: name it",
    ),
    "another encoding than is named": Messy(
        {"churn.csv": text(changed(region={"north": "Köln", "south": "b", "east": "c"}.get)).encode("cp1252")},
        refused="churn.csv: it is not encoded in utf-8: name another one with --encoding",
        options={"encoding": "utf-8"},
    ),
    "a title and an empty line above the header": Messy(
        {"churn.csv": "Customers of 2023\n\n" + text()}, head={"files": {"skip_lines": "2"}}
    ),
    "Excel's line with the delimiter": Messy(
        {"churn.csv": "sep=;\n" + text(delimiter=";")}, head={"files": {"delimiter": ";", "skip_lines": "1"}}
    ),
    "all values in quotation marks": Messy({"churn.csv": text(quoting=csv.QUOTE_ALL)}),
    "commas, lines and quotation marks in values": Messy(
        {
            "churn.csv": text(
                numbered("remark", lambda number, _: f'said "no, {number % 3}",\nthen left the shop at once')
            )
        },
        {"remark": {"type": "text", "role": "ignore"}},
        words=["no feature of a table"],
    ),
    "spaces around names and values": Messy(
        {"churn.csv": text().replace(",", " , ")},
        {"region": {"type": "category", "values": ["east", "north", "south"]}},
    ),
    "row numbers of pandas": Messy(
        {"churn.csv": "".join(f"{n - 1 if n else ''},{line}\n" for n, line in enumerate(text().splitlines()))},
        {"customer_id": {"role": "ignore"}},
        silent=["has no name"],
    ),
    "two files": Messy({"2022.csv": text(ROWS[:150]), "2023.csv": text(ROWS[150:])}),
    "two files, one of them with other letters": Messy(
        {
            "a.csv": text(ROWS[:150]),
            "b.csv": text(changed(ROWS[150:], region=lambda name: f"{name}é")).encode("cp1252"),
        },
        head={"files": {"encoding": "cp1252"}},
    ),
    "two files of the same name": Messy({"a/data.csv": text(ROWS[:150]), "b/data.csv": text(ROWS[150:])}),
    "two files with different delimiters": Messy(
        {"a.csv": text(), "b.csv": text(delimiter=";")},
        refused="b.csv has the delimiter ';' and",
    ),
    "two files with different columns": Messy(
        {"a.csv": text(), "b.csv": text(numbered("more", lambda number, _: number % 5))},
        refused="do not have the same columns; only one of them has more",
    ),
    "a parquet file": Messy(
        {"churn.parquet": parquet(ROWS, region="category", since="datetime64[ns]")},
        {"since": {"type": "date"}, "fee": {"type": "number"}, "region": {"type": "category"}},
    ),
    "lines of JSON": Messy(
        {"churn.jsonl": "\n".join(map(json.dumps, ROWS))}, {"fee": {"type": "number"}, "is_member": {"type": "boolean"}}
    ),
    "lines of JSON with a list in them": Messy(
        {"churn.jsonl": "\n".join(json.dumps({"tags": [1, 2]} | row) for row in ROWS)},
        absent=["tags"],
        words=["its values are no single values: left out"],
    ),
    "a spreadsheet": Messy(
        {"churn.xlsx": b"PK\x03\x04"}, refused="churn.xlsx: a file with the suffix .xlsx cannot be read: save each"
    ),
    "an archive": Messy(
        {"churn.csv.gz": b"\x1f\x8b"}, refused="churn.csv.gz: a file with the suffix .gz cannot be read: unpack it"
    ),
    "one document of JSON": Messy(
        {"churn.json": json.dumps(ROWS)},
        refused="churn.json: a file with the suffix .json cannot be read: write one object",
    ),
    "no parquet": Messy({"churn.parquet": b"PAR1 and no more"}, refused="churn.parquet: it cannot be read as parquet"),
    "a web page that is called csv": Messy(
        {"churn.csv": "\ufeff <!DOCTYPE html><html><body>Sign in first</body></html>\n"},
        refused="churn.csv: it is a web page, whatever its name says: save the table as csv",
    ),
    "a workbook that is called csv": Messy(
        {"churn.csv": b"PK\x03\x04" + bytes(400)},
        refused="churn.csv: it is a workbook or an archive, whatever its name says: save each sheet as csv",
    ),
    "JSON that is called csv": Messy(
        {"churn.csv": '[{"a": 1}, {"a": 2}]'},
        refused="churn.csv: it is JSON, whatever its name says: write one object with the values of a row on each line",
    ),
    "a compressed table that is called csv": Messy(
        {"churn.csv": b"\x1f\x8b\x08" + bytes(40)},
        refused="churn.csv: it is compressed, whatever its name says: unpack it",
    ),
    "an empty file": Messy({"churn.csv": ""}, refused="churn.csv: it is empty; it needs a header line and rows"),
    "a header without rows": Messy({"churn.csv": text().splitlines()[0] + "\n"}, refused="churn.csv: it has no rows"),
    "no header": Messy(
        {"churn.csv": text(changed(ROWS, region=len, churned=len, is_member=len, since=len)).split("\n", 1)[1]},
        refused="churn.csv: line 1 has values (10000, 10,",
    ),
    "two columns of one name": Messy(
        {"churn.csv": text().replace("region", "fee", 1)}, refused="churn.csv: it has the column fee more than once"
    ),
    "a line with a value too many": Messy(
        {"churn.csv": "\n".join(line + ",x" * (n == 40) for n, line in enumerate(text().splitlines()))},
        refused="churn.csv: line 41 has 8 values and the header 7",
    ),
    "a total at the end": Messy(
        {"churn.csv": text() + "total\n"}, refused="churn.csv: line 302 has 1 value and the header 7"
    ),
    "an open quotation mark": Messy({"churn.csv": text().replace("north", '"north', 1)}, refused="churn.csv: line 3"),
    # Numbers.
    "thousands": Messy(
        {"churn.csv": text(changed(fee=lambda fee: f"{fee:,.2f}"))}, {"fee": {"type": "number", "thousands": ","}}
    ),
    "thousands without decimals": Messy(
        {"churn.csv": text(changed(fee=lambda fee: f"{1000 + fee:,.0f}"))},
        {"fee": {"type": "integer", "thousands": ","}},
    ),
    "decimal commas of three digits": Messy(
        {"churn.csv": text(changed(fee=lambda fee: f"{fee / 1000:.3f}".replace(".", ",")), ";")},
        {"fee": {"type": "number", "decimal": ","}},
    ),
    "apostrophes of Switzerland": Messy(
        {"churn.csv": text(changed(fee=lambda fee: f"{fee:,.2f}".replace(",", "'")))}, {"fee": {"thousands": "'"}}
    ),
    "spaces of France": Messy(
        {"churn.csv": text(changed(fee=lambda fee: f"{fee:,.2f}".replace(",", "\u202f").replace(".", ",")), ";")},
        {"fee": {"thousands": " ", "decimal": ","}},
    ),
    "dollars": Messy(
        {"churn.csv": text(changed(fee=lambda fee: f"${fee:,.2f}"))}, {"fee": {"unit": "$", "thousands": ","}}
    ),
    "euros": Messy(
        {"churn.csv": text(changed(fee=lambda fee: f"{german(fee)} €"), ";")}, {"fee": {"unit": "€", "decimal": ","}}
    ),
    "percent": Messy(
        {"churn.csv": text(changed(fee=lambda fee: f"{fee / 30:.1f}%"))}, {"fee": {"type": "number", "unit": "%"}}
    ),
    "codes with zeros at the beginning": Messy(
        {"churn.csv": text(numbered("zip", lambda number, _: f"{number % 40:05}"))},
        {"zip": {"type": "category"}},
        words=["codes: zeros at the beginning stay"],
    ),
    "numbers with many digits": Messy(
        {"churn.csv": text(numbered("card", lambda number, _: f"{4_000_000_000_000_000_000 + number % 50}"))},
        {"card": {"type": "category"}},
    ),
    "numbers with an exponent": Messy(
        {"churn.csv": text(changed(fee=lambda fee: f"{fee:.5e}"))}, {"fee": {"type": "number"}}
    ),
    # Missing values.
    "question marks for missing numbers": Messy(
        {"churn.csv": text(changed(fee=lambda fee: "?" if fee < 600 else fee))},
        {"fee": {"type": "number", "na_values": ["?"]}},
        words=["'?' read as missing ("],
    ),
    "words for missing values": Messy(
        {"churn.csv": text(changed(fee=lambda fee: "n.a." if fee < 600 else "unknown" if fee > 2950 else fee))},
        {"fee": {"type": "number"}},
    ),
    "dashes for a missing category": Messy(
        {"churn.csv": text(changed(region=lambda name: "-" if name == "east" else name))},
        {"region": {"type": "category", "na_values": ["-"], "values": ["north", "south"]}},
    ),
    "-999 for a missing number": Messy(
        {"churn.csv": text(changed(fee=lambda fee: -999 if fee < 600 else fee))},
        {"fee": {"na_values": ["-999"]}},
        words=["-999 read as missing ("],
    ),
    "a typing error in a number": Messy(
        {"churn.csv": text().replace("1,", "1,", 1).replace(f",{ROWS[6]['fee']},", ",12O0.5,", 1)},
        {"fee": {"type": "number", "na_values": ["12O0.5"]}},
        words=["'12O0.5' read as missing (1 times, first in row 7)"],
    ),
    "an error of Excel": Messy(
        {"churn.csv": text(changed(fee=lambda fee: "#DIV/0!" if fee < 600 else fee))},
        {"fee": {"na_values": ["#DIV/0!"]}},
    ),
    "a row of units below the header": Messy(
        {"churn.csv": text([dict.fromkeys(ROWS[0], "") | {"calls per month": "times", "fee": "CHF"}, *ROWS])},
        {"fee": {"type": "number", "na_values": ["CHF"]}},
        words=["look at: line 2 has times, CHF in place of numbers: if these are units, delete that line of the file"],
    ),
    "rows of units and of kinds below a header of two lines and a title": Messy(
        {
            "churn.csv": "Customers\n"
            + text(
                [
                    dict.fromkeys(ROWS[0], "") | {"calls per month": "times", "fee": "CHF"},
                    dict.fromkeys(ROWS[0], "") | {"calls per month": "count", "fee": "sum"},
                    *ROWS,
                ]
            ).replace("calls per month", '"calls\nper month"', 1)
        },
        {"fee": {"type": "number", "na_values": ["CHF", "sum"]}},
        words=["line 4 has times, CHF and line 5 has count, sum in place of numbers: if these are units, delete these"],
    ),
    "units in the first of lines of JSON": Messy(
        {
            "churn.jsonl": "\n".join(
                json.dumps(row) for row in [{"calls per month": "times", "fee": "CHF", "churned": None}, *ROWS]
            )
        },
        {"fee": {"type": "number", "na_values": ["CHF"]}},
        words=["row 1 has times, CHF in place of numbers"],
    ),
    "units in the second of two files": Messy(
        {
            "a.csv": text(ROWS[:150]),
            "b.csv": text([dict.fromkeys(ROWS[0], "") | {"calls per month": "times", "fee": "CHF"}, *ROWS[150:]]),
        },
        {"fee": {"type": "number", "na_values": ["CHF"]}},
        words=["b.csv: line 2 has times, CHF in place of numbers: if these are units, delete that line of the file"],
        silent=["a.csv: line"],
    ),
    "units in each of two files below a title": Messy(
        {
            name: "Customers\n\n"
            + text([dict.fromkeys(ROWS[0], "") | {"calls per month": "times", "fee": unit}, *rows])
            for name, unit, rows in (("a.csv", "CHF", ROWS[:150]), ("b.csv", "EUR", ROWS[150:]))
        },
        {"fee": {"type": "number", "na_values": ["CHF", "EUR"]}},
        words=["a.csv: line 4 has times, CHF in place of", "b.csv: line 4 has times, EUR in place of"],
    ),
    "a column with numbers and no name": Messy(
        {"churn.csv": between("", lambda number: number % 9 + 1)},
        {"calls per month": {"type": "integer"}},
        words=["look at: column 3 has no name and 300 values; it is left out: name it in the header"],
    ),
    "a first column with decimals and no name, in one of two files": Messy(
        {
            "a.csv": text(numbered("", lambda number, _: number / 8 if number % 3 else " ", ROWS[:150])),
            "b.csv": text(numbered("", lambda number, _: number + 1, ROWS[150:])),
        },
        words=["look at: a.csv: column 1 has no name and 100 values; it is left out: name it in the header"],
        silent=["b.csv: column"],
    ),
    "the only feature without a name": Messy(
        {"churn.csv": text([{"": row["fee"], "price": n / 7} for n, row in enumerate(ROWS)])},
        refused="no column is left that could be a feature: the target is alone: give more columns; column 1 has no "
        "name and 300 values; it is left out: name it in the header",
    ),
    "durations with a colon": Messy(
        {"churn.csv": text(numbered("duration", lambda n, _: f"{n // 60}:{n % 60:02d}"))},
        {"duration": {"role": "ignore"}},
        {"split": {"key": "customer_id"}},
        words=["no feature: times such as 1:30 are read as names: write numbers, such as minutes, or use features.py"],
    ),
    "durations as the only feature": Messy(
        {"churn.csv": text([{"took": f"{n // 60}:{n % 60:02d}", "price": row["fee"]} for n, row in enumerate(ROWS)])},
        refused="took are identifiers, dates, constants, or tell the target: give more columns; times such as 1:30 are "
        "read as names: write numbers, such as minutes, or use features.py",
    ),
    "durations as the target": Messy(
        {"churn.csv": text([row | {"took": f"{n // 60}:{n % 60:02d}"} for n, row in enumerate(ROWS)])},
        refused="took has 300 different values, too many for classes: choose another target with --target; times such "
        "as 1:30 are read as names: write numbers, such as minutes",
        options={"target": "took"},
    ),
    "a name of a column in two lines": Messy(
        {"churn.csv": text().replace("calls per month", '"calls\nper month"', 1)},
        {"calls per month": {"type": "integer"}},
        words=["look at: a name has one line here: calls\\nper month -> calls per month"],
    ),
    **{
        f"a name of a column in two lines, as {code} has it": Messy(
            {"churn.csv": text().replace("customer_id", f"customer{sign}id", 1)},
            {"customer id": {"type": "integer", "role": "ignore"}},
            {"target": "churned"},
            words=[f"a name has one line here: customer{shown}id -> customer id"],
            silent=["above the header"],
        )
        for code, sign, shown in (("a spreadsheet", "\x0b", "\\x0b"), ("Unicode", "\u2028", "\\u2028"))
    },
    **{
        f"a quoted title of two lines above the header, {how}": Messy(
            {"churn.csv": f'"Measured by\nshop 3"{padding}\n{padding}\n' + text()},
            {"calls per month": {"type": "integer"}},
            {"target": "churned", "files": {"skip_lines": "3"}},
        )
        for how, padding in (("alone", ""), ("as wide as the table", ",,,,,,"))
    },
    "a header that lacks most names": Messy(
        {"churn.csv": ",,,fee,,,\n" + text().split("\n", 1)[1]},
        refused="no column is left that could be a feature: the target is alone: give more columns; column 1 has no",
    ),
    "categories with a line break": Messy(
        {"churn.csv": text(changed(region={"north": "far\nnorth", "south": "South", "east": "south"}.get))},
        {"region": {"values": ["South", "far\nnorth", "south"]}},
        words=["South, far\\nnorth, south;"],
    ),
    "classes with a line break": Messy(
        {"churn.csv": text(changed(churned={"yes": "gone\naway", "no": "here"}.get))},
        {"churned": {"values": ["gone\naway", "here"]}},
        words=["gone\\naway 1"],
    ),
    "labels that are missing": Messy(
        {"churn.csv": text([row | {"churned": ""} if not n % 20 else row for n, row in enumerate(ROWS)])},
        {"churned": {"missing": "0.1"}},
        words=["15 rows have no churned: they are left out of the training"],
    ),
    "an empty column, a constant one": Messy(
        {"churn.csv": text(numbered("empty", lambda *_: "", numbered("source", lambda *_: "web")))},
        {"source": {"role": "ignore"}},
        absent=["empty"],
        words=["the same in each row", "it is empty in each row: left out"],
    ),
    # Dates.
    **{
        f"dates such as {day(form)('2013-01-31')}": Messy(
            {"churn.csv": text(changed(since=day(form)))}, {"since": {"type": "date", "format": expected}}
        )
        for form, expected in {
            "D/M/Y": "%d/%m/%Y",
            "M/D/Y": "%m/%d/%Y",
            "D.M.Y": "%d.%m.%Y",
            "Y/M/D": "%Y/%m/%d",
            "D.M.y": "%d.%m.%y",
            "M/D/Y 08:30 pm": "%m/%d/%Y %I:%M %p",
            "D.M.Y 18:30": "%d.%m.%Y %H:%M",
        }.items()
    },
    "dates of eight digits": Messy(
        {"churn.csv": text(changed(since=lambda iso: iso.replace("-", "")))}, {"since": {"type": "date"}}
    ),
    "dates with words of another language": Messy(
        {"churn.csv": text(changed(since=lambda iso: f"{MONTHS[int(iso[5:7]) - 1]} {iso[:4]}"))},
        {"since": {"type": "category"}},
    ),
    "a date that is there for one class alone": Messy(
        {
            "churn.csv": text(
                numbered(
                    "left_on",
                    lambda number, row: (
                        "2023-12-01"
                        if row["churned"] == "yes" and number % 2
                        else "2023-12-02"
                        if row["churned"] == "yes"
                        else ""
                    ),
                )
            )
        },
        {"left_on": {"type": "date", "role": "ignore"}},
    ),
    # Targets.
    "numbers as a target": Messy(
        {"prices.csv": text([{**row, "price": 100 + 3 * row["calls per month"] + row["fee"] / 10} for row in ROWS])},
        {"price": {"type": "number"}},
        {"target": "price", "task": "regression"},
    ),
    "0 and 1 as classes": Messy(
        {"churn.csv": text(changed(churned=lambda name: int(name == "yes")))},
        {"churned": {"type": "integer", "values": ["0", "1"]}},
        {"task": "classification", "positive": "1"},
    ),
    "classes in capitals and without": Messy(
        {
            "churn.csv": text(
                [row | {"churned": row["churned"].upper() if n % 3 else row["churned"]} for n, row in enumerate(ROWS)]
            )
        },
        {"churned": {"type": "boolean", "values": ["False", "True"]}},
        {"positive": "True"},
    ),
    "words for yes and no in another language": Messy(
        {
            "churn.csv": text(
                changed(churned={"yes": "ja", "no": "nein"}.get, is_member={"yes": "ja", "no": "nein"}.get)
            )
        },
        {"churned": {"type": "category", "values": ["ja", "nein"]}, "is_member": {"type": "category"}},
    ),
    "a target in the middle": Messy(
        {
            "churn.csv": text(
                [{"label": row["churned"], **{k: v for k, v in row.items() if k != "churned"}} for row in ROWS]
            )
        },
        head={"target": "label"},
        words=["its name says so"],
    ),
    "no identifier": Messy(
        {"churn.csv": text([{key: value for key, value in row.items() if key != "customer_id"} for row in ROWS])},
        {"fee": {"type": "number"}},
        words=["held out: by the values of all features; another feature moves rows, unless `split.key` has a key"],
    ),
    "an identifier as the last column": Messy(
        {"churn.csv": text([row | {"session": f"s{n}"} for n, row in enumerate(ROWS)])},
        refused="no column is clearly the target: name it with --target; the columns are customer_id",
    ),
    "a target that is no column": Messy(
        {"churn.csv": text()}, refused="--target Churned: is no column: write churned", options={"target": "Churned"}
    ),
    "a copy of the target": Messy(
        {"churn.csv": text(numbered("status", lambda _, row: "gone" if row["churned"] == "yes" else "here"))},
        {"status": {"role": "ignore"}},
        words=["status: a copy of the target, so it is no feature"],
    ),
    "a function of the target": Messy(
        {
            "prices.csv": text(
                [
                    {"with_tax": 1.19 * row["fee"], **row, "price": row["fee"] - 3}
                    for row in changed(fee=lambda fee: fee)
                ]
            )
        },
        {"with_tax": {"role": "ignore"}, "fee": {"role": "ignore"}},
        words=["with_tax: it predicts the target alone"],
    ),
    "customers who are there several times": Messy(
        {"churn.csv": text(changed(customer_id=lambda number: 10_000 + (number % 60)))},
        {"customer_id": {"role": "ignore"}},
        {"split": {"group": "customer_id"}},
        words=["what belongs together is held out together"],
    ),
    "a class with one row": Messy(
        {"churn.csv": text([row | {"churned": "perhaps"} if n == 5 else row for n, row in enumerate(ROWS)])},
        words=["a training would stop: class perhaps of churned (1 rows) would have no"],
    ),
    "few rows": Messy({"churn.csv": text(ROWS[:30])}, words=["a training would stop: 30 usable rows are too few"]),
    "names of columns that YAML reads otherwise": Messy(
        {
            "churn.csv": text(
                [{"no": n % 7, "2023": n % 5, "a: b": n % 3, "#": n % 4, **row} for n, row in enumerate(ROWS)]
            )
        },
        {"no": {"type": "integer"}, "2023": {"type": "integer"}, "a: b": {"type": "integer"}, "#": {"type": "integer"}},
    ),
    "names of classes that YAML reads otherwise": Messy(
        {
            "churn.csv": text(
                changed(
                    churned={"yes": "on", "no": "off"}.get, region={"north": "NO", "south": "12:30", "east": "1e3"}.get
                )
            )
        },
        {"churned": {"values": ["off", "on"]}, "region": {"values": ["12:30", "1e3", "NO"]}},
    ),
}
