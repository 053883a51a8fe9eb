#!/usr/bin/env bash
# Drives the emulator with HubSpot's official clients.
#
# usage: HUBLAKE=path/to/hublake tests/clients/run.sh [FOLDER]
#
# With a folder, what the clients and the emulator said to each other is
# recorded there, in python.jsonl and node.jsonl.
set -euo pipefail
: "${HUBLAKE:?names the hublake program}"
HUBLAKE="$(realpath "$HUBLAKE")"
recordings="${1:+$(mkdir -p "$1" && realpath "$1")}"
cd "$(dirname "$0")"
export HUBLAKE

packages=()
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
if [ "${#packages[@]}" -gt 0 ]; then
  apt-get update -qq && apt-get install -y -qq "${packages[@]}"
fi
cache="$HOME/.cache/hublake/clients"
mkdir -p "$cache/node"

recording() {
  [ -z "$recordings" ] && return
  rm -f "$recordings/$1.jsonl"
  export HUBLAKE_RECORD="$recordings/$1.jsonl"
}

[ -x "$cache/python/bin/python" ] || python3 -m venv "$cache/python"
"$cache/python/bin/pip" install --quiet --disable-pip-version-check -r python/requirements.txt
recording python
"$cache/python/bin/python" python/drive.py

if ! cmp -s node/package-lock.json "$cache/node/package-lock.json" || [ ! -d "$cache/node/node_modules" ]; then
  cp node/package.json node/package-lock.json "$cache/node/"
  # The lock counts only once everything in it is there.
  (cd "$cache/node" && npm ci --no-audit --no-fund --silent) || { rm -f "$cache/node/package-lock.json"; exit 1; }
fi
recording node
NODE_PATH="$cache/node/node_modules" node --test node/drive.test.js
