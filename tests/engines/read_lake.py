"""Reads every table of a lake with DuckDB and with Python's deltalake, and
compares counts, column types and values with what `hublake query` answers.

usage: HUBLAKE=path/to/hublake read_lake.py PROJECT
"""

import io
import json
import os
import subprocess
import sys
from datetime import date, datetime, timezone
from pathlib import Path

import deltalake
import duckdb
import duckdb_ext
import pyarrow as pa
import pyarrow.parquet as pq

SCHEMAS = {"hubspot": "hubspot.", "system": "system.", "models": "", "usage": "usage."}


def tables(lake):
    for folder, prefix in SCHEMAS.items():
        for log in sorted((lake / folder).glob("*/_delta_log")):
            yield prefix + log.parent.name, log.parent


def from_hublake(project, name):
    command = [os.environ["HUBLAKE"], "--project", project, "--output", "parquet", "query", f"select * from {name}"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{name}: hublake query failed: {done.stderr.decode()}")
    return pq.read_table(io.BytesIO(done.stdout))


def plain(value):
    """A value as every engine can be brought to say it."""
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return moment.astimezone(timezone.utc).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        if set(value) == {"key", "value"} and isinstance(value["key"], list):
            return sorted(zip(value["key"], value["value"]))
        return sorted((key, plain(inner)) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return [list(map(plain, part)) if isinstance(part, tuple) else plain(part) for part in value]
    return value


def rows(table):
    names = sorted(table.column_names)
    columns = [[plain(value) for value in table.column(name).to_pylist()] for name in names]
    return sorted(json.dumps(row, default=str, ensure_ascii=False) for row in zip(*columns))


def kind(data_type):
    """The type of a column, without what engines may choose freely."""
    if pa.types.is_timestamp(data_type):
        return f"timestamp[{data_type.unit}, utc]" if data_type.tz else f"timestamp[{data_type.unit}]"
    if pa.types.is_string(data_type) or pa.types.is_large_string(data_type) or pa.types.is_string_view(data_type):
        return "string"
    if pa.types.is_map(data_type):
        return "map"
    if pa.types.is_list(data_type) or pa.types.is_large_list(data_type):
        return "list"
    return str(data_type)


def kinds(table):
    return {field.name: kind(field.type) for field in table.schema}


def compare(name, engine, ours, theirs):
    problems = []
    if kinds(ours) != kinds(theirs):
        differing = {c: (kinds(ours).get(c), kinds(theirs).get(c)) for c in set(kinds(ours)) | set(kinds(theirs))}
        problems.append(f"types differ: {[(c, t) for c, t in differing.items() if t[0] != t[1]]}")
    elif ours.num_rows != theirs.num_rows:
        problems.append(f"hublake counts {ours.num_rows} rows, {engine} {theirs.num_rows}")
    else:
        different = [(a, b) for a, b in zip(rows(ours), rows(theirs)) if a != b]
        if different:
            problems.append(f"{len(different)} rows differ, such as {different[0]}")
    return [f"{name} in {engine}: {problem}" for problem in problems]


def connect():
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    extension = next(Path(list(duckdb_ext.__path__)[0]).rglob("delta.duckdb_extension"))
    connection.execute(f"load '{extension}'")
    return connection


def main(project):
    engine = connect()
    problems, compared = [], 0
    for name, folder in tables(Path(project) / "lake"):
        ours = from_hublake(project, name)
        duck = engine.execute(f"select * from delta_scan('{folder}')").fetch_arrow_table()
        delta = pa.table(deltalake.DeltaTable(str(folder)).to_pyarrow_table())
        problems += compare(name, "duckdb", ours, duck) + compare(name, "deltalake", ours, delta)
        print(f"{name}: {ours.num_rows} rows, {len(ours.column_names)} columns")
        compared += 1
    if compared < 5:
        problems.append(f"only {compared} tables found under {project}/lake")
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{compared} tables compared, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
