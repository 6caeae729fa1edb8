#!/usr/bin/env bash
# A command as a check on a version, with curl alone.
#
#   VOUCH_URL=https://vouch.example VOUCH_TOKEN=vch-… examples/check.sh NAME VERSION CHECK COMMAND [ARGUMENT…]
#
# Reports CHECK as pending, runs COMMAND, and reports it as passed or failed with the last lines of its output, and with
# what CI tells of itself: VOUCH_LINK is the page on which to read more; VOUCH_VALUES names a file of measured values as
# a JSON object. Says what became of the promotions that wait for it. Exits as COMMAND did, or with 70 when a report was
# refused.
set -euo pipefail

: "${VOUCH_URL:?set VOUCH_URL to the address of Vouch}"
: "${VOUCH_TOKEN:?set VOUCH_TOKEN to an API token}"
[ $# -ge 4 ] || { echo "usage: $0 NAME VERSION CHECK COMMAND [ARGUMENT…]" >&2; exit 64; }
name=$1 version=$2 check=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The token goes by a file: the arguments of a process are there for all to see.
printf 'header = "Authorization: Bearer %s"\n' "$VOUCH_TOKEN" >"$work/token"
chmod 600 "$work/token"

# report STATE: with the end of $work/output as the summary.
report() {
  python3 - "$name" "$version" "$check" "$1" "$work/output" "${VOUCH_LINK:-}" "${VOUCH_VALUES:-}" >"$work/sent" <<'PYTHON'
import json, os, sys

name, version, check, state, output, link, values = sys.argv[1:]
lines = open(output, errors="replace").read().splitlines()[-20:] if os.path.exists(output) else []
summary = "\n".join("".join(c if c.isprintable() or c == "\t" else " " for c in line) for line in lines)[-2000:]
body = {"model": name, "version": int(version), "check": check, "state": state, "summary": summary, "link": link}
if values and os.path.exists(values):
    body["values"] = json.load(open(values))
print(json.dumps(body))
PYTHON
  # A repetition is harmless: the same report twice is one.
  status=$(curl --silent --show-error --config "$work/token" --output "$work/body" --write-out '%{http_code}' \
    --retry 3 --max-time 60 --header 'Content-Type: application/json' --data "@$work/sent" "$VOUCH_URL/api/v1/checks")
  if [ "$status" != 201 ] && [ "$status" != 200 ]; then
    echo "refused ($status): $(cat "$work/body")" >&2
    exit 70
  fi
  echo "$check: $1"
}

report pending
code=0
"$@" 2>&1 | tee "$work/output" || code=$?
if [ "$code" = 0 ]; then report passed; else report failed; fi
python3 -c 'import json, sys
for promotion in json.load(open(sys.argv[1]))["promotions"]:
    print(promotion["target"] + ":", promotion["state"], *promotion["missing"], sep=" ")' "$work/body"
exit "$code"
