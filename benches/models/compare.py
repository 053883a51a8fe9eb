"""The shipped models, built by hublake and by DuckDB from the same Parquet files.

    pip install duckdb deltalake pyarrow
    python benches/models/compare.py target/release/hublake WORK_FOLDER

Makes a project with a million contacts (`--contacts`) from the emulator and ten
million usage events (`--events`), extracts it, resolves identities (timed apart),
then builds the other models with each of the two, several times in turns
(`--rounds`). DuckDB runs the SQL of the project's own models, with macros in the
place of hublake's functions (simpler ones: no public suffix list), reads the mirror's
live Parquet files and writes each table as Parquet. Ends with a line of JSON:
seconds, CPU seconds and peak memory of each, the medians' ratio, and the rows that
each made of every table.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

# In the order in which they need each other; the write-backs stay views.
TABLES = ["usage_current", "master_customers", "master_accounts", "pql_scores", "lifecycle_suggestions"]
MIRRORS = ["contacts", "companies", "deals", "associations"]

MACROS = r"""
create macro email_normalize(x) as case when x like '%_@_%' then lower(trim(x)) end;
create macro email_key(x) as case
    when split_part(x, '@', 2) in ('gmail.com', 'googlemail.com')
        then concat(replace(split_part(split_part(x, '@', 1), '+', 1), '.', ''), '@gmail.com')
    else concat(split_part(split_part(x, '@', 1), '+', 1), '@', split_part(x, '@', 2)) end;
create macro registrable_domain(x) as nullif(regexp_extract(lower(x), '([^.@/]+\.[^.@/]+)$', 1), '');
create macro is_free_email(x) as coalesce(regexp_extract(x, '[^@]+$') in (
    'gmail.com', 'googlemail.com', 'outlook.com', 'hotmail.com', 'yahoo.com', 'icloud.com', 'gmx.de', 'web.de'), false);
create macro hs_split(x) as string_split(x, ';');
create macro hs_timestamp(x) as try_cast(x as timestamp);
create macro stage_rank(x, stages) as list_position(stages, x);
"""


def main():
    arguments = parse()
    if arguments.duckdb:
        return duckdb_side(arguments.work, json.loads(arguments.duckdb))
    work, hublake = arguments.work.resolve(), arguments.hublake.resolve()
    project = work / "project"
    if not (project / "lake" / "models" / "id_map").exists():
        prepare(hublake, work, arguments)
    rounds = {"hublake": [], "duckdb": []}
    for _ in range(arguments.rounds):
        for table in TABLES:
            for name in (table, f"{table}_changes"):
                shutil.rmtree(project / "lake" / "models" / name, ignore_errors=True)
        rounds["hublake"].append(measured(run(hublake, project), ["build", *TABLES]))
        shutil.rmtree(work / "duckdb", ignore_errors=True)
        (work / "duckdb").mkdir()
        command = [sys.executable, __file__, str(hublake), str(work), "--duckdb", json.dumps(files(work))]
        rounds["duckdb"].append(measured(command, []))
    report = {name: middle(taken) for name, taken in rounds.items()}
    report["ratio"] = report["hublake"]["seconds"] / report["duckdb"]["seconds"]
    report["rows"] = {table: rows(hublake, work, table) for table in TABLES}
    print(json.dumps(report))


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("hublake", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duckdb", help=argparse.SUPPRESS)
    return parser.parse_args()


def prepare(hublake, work, arguments):
    """The project: mirror from the emulator, events, identities."""
    project = work / "project"
    subprocess.run([hublake, "init", project], check=True)
    settings = project / "hublake.yml"
    command = [hublake, "-q", "emulator", "--port", "0", "--contacts", str(arguments.contacts)]
    command += ["--companies", str(arguments.contacts // 50), "--deals", str(arguments.contacts // 50)]
    command += ["--limit", "1000000", "--daily-limit", "1000000000", "--index-lag", "0ms"]
    emulator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = emulator.stdout.readline().strip().removeprefix("listening on ")
        text = settings.read_text().replace("hubspot:\n", f"hubspot:\n  base_url: {url}\n", 1)
        settings.write_text(text)
        events(hublake, project, None, 0)
        extracted = measured(run(hublake, project), ["extract"])
        emails = work / "emails.parquet"
        sql = "select id, email from hubspot.contacts where email is not null"
        with open(emails, "wb") as out:
            command = run(hublake, project) + ["query", sql, "--output", "parquet"]
            subprocess.run(command, stdout=out, check=True, env=environment())
        events(hublake, project, emails, arguments.events)
        measured(run(hublake, project), ["build", "usage_current"])
        identity = measured(run(hublake, project), ["build", "id_map"])
        print(json.dumps({"extract": extracted, "identity": identity}), flush=True)
    finally:
        emulator.kill()
        emulator.wait()


def events(hublake, project, emails, count):
    """Usage of the last 60 days: some people much more active than others, one user
    in twenty unknown to HubSpot."""
    import duckdb

    folder = project / "usage" / "events"
    shutil.rmtree(project / "usage", ignore_errors=True)
    folder.mkdir(parents=True)
    db = duckdb.connect()
    db.sql("select setseed(0.5)")
    people = f"read_parquet('{emails}')" if emails else "(select 1 as id, 'a@b.example' as email)"
    db.sql(f"create table people as select row_number() over (order by id) - 1 as n, email from {people}")
    db.sql(f"""
        copy (
            select i as event_id, concat('w', (n % 50000)) as workspace_id,
                case when n % 20 = 0 then concat('user', n, '@product.example') else email end as user_email,
                ['login', 'report', 'export', 'invite', 'api', 'search'][1 + (hash(i) % 6)::int] as event_name,
                (now() - to_seconds((hash(i + 7) % 5184000)::int)) at time zone 'UTC' as occurred_at
            from (
                select i, (floor(pow((hash(i + 3) % 1000003) / 1000003.0, 2) * (select count(*) from people)))::bigint as n
                from range({max(count, 1)}) as numbers(i)
            ) inner join people using (n)
        ) to '{folder}/part.parquet' (format parquet, row_group_size 200000)""")
    db.sql(f"""
        copy (
            select concat('w', i) as workspace_id, concat('acme', i, '.example') as domain,
                ['free', 'team', 'business', 'enterprise'][1 + (i % 4)::int] as plan,
                1 + i % 40 as seats, date '2025-01-01' + (i % 300)::int as created_on
            from range(50000) as numbers(i)
        ) to '{project}/usage/workspaces.csv' (header)""")


def environment():
    return {**os.environ, "HUBSPOT_ACCESS_TOKEN": "bench"}


def run(hublake, project):
    return [str(hublake), "--project", str(project), "-q"]


def measured(command, arguments):
    """Runs to the end; seconds, CPU seconds and peak memory."""
    started = time.monotonic()
    command = [*map(str, command), *arguments]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    if status != 0:
        sys.exit(f"{command} failed: {status}")
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mib": usage.ru_maxrss // 1024,
    }


def middle(taken):
    return {key: statistics.median(one[key] for one in taken) for key in taken[0]}


def files(work):
    """The live Parquet files of what DuckDB reads: by table, lists of a partition's
    values and its files."""
    from deltalake import DeltaTable

    lake = work / "project" / "lake"
    folders = {f"hubspot.{name}": lake / "hubspot" / name for name in MIRRORS}
    folders["id_map"] = lake / "models" / "id_map"
    tables = {}
    for name, folder in folders.items():
        if not folder.exists():
            continue
        table, parts = DeltaTable(str(folder)), {}
        columns = table.metadata().partition_columns
        actions = table.get_add_actions(flatten=True)
        for action in (dict(zip(actions.schema.names, row)) for row in rows_of(actions)):
            values = tuple((column, action[f"partition.{column}"]) for column in columns)
            parts.setdefault(values, []).append(str(folder / action["path"]))
        tables[name] = list(parts.items())
    return tables


def rows_of(actions):
    import pyarrow

    table = pyarrow.table(actions)
    return zip(*(column.to_pylist() for column in table.columns))


def duckdb_side(work, tables):
    import duckdb

    project = work / "project"
    db = duckdb.connect()
    db.sql("set threads = 2")
    db.sql("set timezone = 'UTC'")
    db.sql("create schema hubspot; create schema usage")
    db.sql(MACROS)
    for name, parts in tables.items():
        selects = (
            f"select * {''.join(f', {value!r} as {column}' for column, value in values)} "
            f"from read_parquet({paths!r}, union_by_name = true)"
            for values, paths in parts
        )
        db.sql(f"create view {name} as {' union all by name '.join(selects)}")
    db.sql(f"create view usage.events as select * from read_parquet('{project}/usage/events/*.parquet')")
    db.sql(f"create view usage.workspaces as select * from read_csv('{project}/usage/workspaces.csv')")
    made, models = set(tables), {path.stem: path.read_text() for path in (project / "sql").glob("*.sql")}
    for table in TABLES:
        make(db, table, models, made, work / "duckdb")


def make(db, name, models, made, folder):
    """A model and what it reads, once."""
    if name in made or name not in models:
        return
    made.add(name)
    sql = translated(models[name])
    for other in models:
        if other != name and re.search(rf"\b{other}\b", re.sub(r"--[^\n]*", "", sql)):
            make(db, other, models, made, folder)
    if name in TABLES:
        db.sql(f"copy ({sql}) to '{folder}/{name}.parquet' (format parquet, compression zstd)")
        db.sql(f"create view {name} as select * from read_parquet('{folder}/{name}.parquet')")
    else:
        db.sql(f"create view {name} as {sql}")


def translated(sql):
    """What the two dialects say differently."""
    now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    sql = sql.replace("$run_started_at", f"timestamp '{now}'")
    sql = sql.replace("$qualified_from_active_days", "5").replace("$activated_from_features", "3")
    sql = sql.replace("first_value(", "first(")
    sql = re.sub(r"cast\((cast\([^()]+(?:'[^']*')? as date\)|day) as int\)", r"date_diff('day', date '1970-01-01', \1)", sql)
    return sql.replace("column1", "col0").replace("column2", "col1").replace("column3", "col2")


def rows(hublake, work, table):
    import duckdb

    project = work / "project"
    sql = f"select count(*) as n from {table}"
    told = subprocess.run(run(hublake, project) + ["query", sql, "--output", "csv"], capture_output=True, text=True)
    duck = duckdb.sql(f"select count(*) from read_parquet('{work}/duckdb/{table}.parquet')").fetchall()[0][0]
    return {"hublake": int(told.stdout.split()[-1]), "duckdb": duck}


if __name__ == "__main__":
    main()
