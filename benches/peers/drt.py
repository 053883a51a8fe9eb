"""Whose outcomes are true? hublake and the Python package drt-core write the same
2,000 contacts, of which 20 rows hold a value HubSpot refuses, and one answer is lost
after HubSpot has done what it was asked.

    pip install drt-core
    python benches/peers/drt.py target/release/hublake

drt-core's HubSpot address is built in, so the emulator speaks TLS and is its proxy.
Each writer gets a fresh account from the same seed. Afterwards the account itself is
asked what every row came to, and each writer's word is held against it. Seconds are
not compared: one call a row against one call a hundred is arithmetic.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROWS, BAD_EVERY = 2_000, 100
TOKEN = "bench"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("hublake", type=Path)
    hublake = parser.parse_args().hublake.resolve()
    for writer in (with_drt, with_hublake):
        with tempfile.TemporaryDirectory() as folder, Emulator(hublake, folder) as emulator:
            rows = emulator.rows()
            said = writer(hublake, Path(folder), emulator, rows)
            print(json.dumps({"writer": writer.__name__[5:], **verdict(emulator, rows, said)}))


def verdict(emulator, rows, said):
    """What a writer said of each row against what the account holds."""
    counts = dict.fromkeys(["rows", "said_written_and_is", "said_not_and_is_not", "said_written_but_is_not",
                            "said_not_but_is", "said_nothing"], 0)
    for row in rows:
        held = emulator.control("GET", f"records/contacts/{row['id']}")["properties"]
        written = value(held, "jobtitle") == row["jobtitle"]
        counts["rows"] += 1
        told = said.get(row["email"])
        if told is None:
            counts["said_nothing"] += 1
        elif told:
            counts["said_written_and_is" if written else "said_written_but_is_not"] += 1
        else:
            counts["said_not_but_is" if written else "said_not_and_is_not"] += 1
    log = emulator.control("GET", "log?since=1000000000")
    return {**counts, "calls": log.get("calls", log.get("total")), "refused_for_rate": log.get("refused_for_rate")}


def value(properties, name):
    held = properties.get(name)
    return held.get("value") if isinstance(held, dict) else held


class Emulator:
    def __init__(self, hublake, folder):
        command = [str(hublake), "-q", "emulator", "--port", "0", "--contacts", "2600", "--index-lag", "0ms",
                   "--token", TOKEN, "--tls"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
        self.url = self.process.stdout.readline().strip().removeprefix("listening on ")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_emulator/{path}", data, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def rows(self):
        """Contacts with an address of their own, and what they are to become."""
        found, after = [], None
        while len(found) < ROWS:
            url = f"{self.url}/crm/v3/objects/contacts?limit=100&properties=email" + (f"&after={after}" if after else "")
            request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
                page = json.load(answer)
            found += [(r["id"], r["properties"]["email"]) for r in page["results"] if r["properties"].get("email")]
            after = page["paging"]["next"]["after"]
        rows = [{"id": id, "email": email, "jobtitle": f"Title {n}"} for n, (id, email) in enumerate(found[:ROWS])]
        for n, row in enumerate(rows):
            # No account has this option: HubSpot refuses the whole row.
            row["hs_lead_status"] = "NO_SUCH_STATUS" if n % BAD_EVERY == 50 else "OPEN"
        self.control("DELETE", "log")
        self.control("POST", "limits", {"per_ten_seconds": 1_000_000, "daily": 1_000_000_000})
        return rows

    def lose_an_answer(self, method, path, skip):
        fault = {"method": method, "path": path, "action": "apply_then_drop", "skip": skip, "times": 1}
        self.control("POST", "faults", fault)


def with_drt(_hublake, folder, emulator, rows):
    """Row by row; what it counts as failed it lists by place."""
    emulator.lose_an_answer("PATCH", "*/contacts/*", 700)
    code = f"""
import json, sys
from drt.config.models import HubSpotDestinationConfig, SyncOptions
from drt.destinations.hubspot import HubSpotDestination
rows = json.load(open({str(folder / 'rows.json')!r}))
config = HubSpotDestinationConfig(type="hubspot", object_type="contacts", id_property="email",
    rate_limit={{"requests_per_second": 100000}}, auth={{"type": "bearer", "token": {TOKEN!r}}})
options = SyncOptions(match_policy="update_only", on_error="skip")
result = HubSpotDestination().load(rows, config, options)
json.dump({{"failed": [e.batch_index for e in result.row_errors], "success": result.success,
    "skipped": result.skipped, "errors": [e.error_message[:120] for e in result.row_errors][:3]}}, sys.stdout)
"""
    keep = [{key: row[key] for key in ("email", "jobtitle", "hs_lead_status")} for row in rows]
    (folder / "rows.json").write_text(json.dumps(keep))
    ca = folder / "hublake-emulator-tls" / "ca.pem"
    env = {**os.environ, "HTTPS_PROXY": emulator.url, "SSL_CERT_FILE": str(ca), "NO_PROXY": ""}
    told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    if told.returncode != 0:
        sys.exit(told.stderr)
    told = json.loads(told.stdout)
    failed = set(told["failed"])
    print(json.dumps({"drt": {**told, "failed": len(failed)}}), file=sys.stderr)
    return {row["email"]: n not in failed for n, row in enumerate(rows)}


def with_hublake(hublake, folder, emulator, rows):
    """A project of one model; `system.writes` and the rejects have the outcomes."""
    emulator.lose_an_answer("POST", "*/contacts/batch/update", 7)
    project = folder / "project"
    (project / "sql").mkdir(parents=True)
    (project / "pipelines").mkdir()
    with open(project / "rows.csv", "w", newline="") as out:
        writer = csv.DictWriter(out, ["email", "jobtitle", "hs_lead_status"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    (project / "hublake.yml").write_text(
        "lake: { url: ./lake }\n"
        f"hubspot: {{ base_url: '{emulator.url}', token: {{ env: HUBSPOT_ACCESS_TOKEN }} }}\n"
        "sources: { rows: { csv: ./rows.csv } }\n")
    (project / "sql" / "wanted.sql").write_text("-- One row: a contact.\nselect * from usage.rows\n")
    (project / "pipelines" / "peers.yml").write_text(
        "extract: { contacts: { properties: [email, jobtitle, hs_lead_status] } }\n"
        "write_back:\n  wanted:\n    object: contacts\n    match: { email: email }\n    properties:\n"
        "      jobtitle: { policy: overwrite }\n      hs_lead_status: { policy: overwrite }\n")
    env = {**os.environ, "HUBSPOT_ACCESS_TOKEN": TOKEN}
    command = [str(hublake), "--project", str(project)]
    subprocess.run([*command, "-q", "run"], env=env, check=True, stdout=subprocess.DEVNULL)

    def asked(sql):
        out = subprocess.run([*command, "-q", "query", sql, "--output", "csv"], env=env, check=True, capture_output=True, text=True)
        return list(csv.DictReader(out.stdout.splitlines()))

    said = {row["match_key"]: row["outcome"] in ("updated", "created", "unchanged")
            for row in asked("select match_key, outcome from system.writes")}
    said |= {row["match_key"]: False for row in asked("select match_key from system.rejects")}
    return said


if __name__ == "__main__":
    main()
