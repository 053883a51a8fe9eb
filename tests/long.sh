#!/usr/bin/env bash
# What is worth checking and takes longer than CI has: the databases that are heavy to
# build. DuckDB alone compiles half an hour of C++.
set -euo pipefail
cd "$(dirname "$0")/.."

for feature in mysql clickhouse flight duckdb; do
  echo "== $feature"
  cargo check --locked --features "$feature"
done
cargo test --locked --features postgres,mysql,sqlite,duckdb,clickhouse,flight --lib source
