#!/usr/bin/env bash
# From a build to Production over REST, with curl alone.
#
#   VOUCH_URL=https://vouch.example VOUCH_TOKEN=vch-… examples/ci.sh NAME DIRECTORY
#
# Creates the model NAME when it is missing, uploads every file in DIRECTORY with its SHA-256, registers them as the next
# version, asks for Production, waits for the verdict, and resolves models:/NAME/Production twice: the second answer is
# 304. Exits with 1 when something is refused, 2 when nobody decided in time (VOUCH_PATIENCE seconds, 600 by default).
set -euo pipefail

: "${VOUCH_URL:?set VOUCH_URL to the address of Vouch}"
: "${VOUCH_TOKEN:?set VOUCH_TOKEN to an API token}"
[ $# -eq 2 ] && [ -d "$2" ] || { echo "usage: $0 NAME DIRECTORY" >&2; exit 64; }
name=$1 directory=$2
build=${VOUCH_BUILD:-"build-$(date +%s)-$$"} # what makes a repetition of this run the same run
patience=${VOUCH_PATIENCE:-600}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The token goes by a file: the arguments of a process are there for all to see.
printf 'header = "Authorization: Bearer %s"\n' "$VOUCH_TOKEN" >"$work/token"
chmod 600 "$work/token"

# call METHOD PATH [curl options]: the status in $status, the body in $work/body, the headers in $work/headers.
call() {
  local method=$1 path=$2
  shift 2
  : >"$work/body"
  status=$(curl --silent --show-error --config "$work/token" --request "$method" --output "$work/body" \
    --dump-header "$work/headers" --write-out '%{http_code}' --retry 3 --max-time 120 "$@" "$VOUCH_URL/api/v1/$path")
}

# field NAME: the text of a field of the answer's object.
field() { python3 -c 'import json,sys; v = json.load(open(sys.argv[1])).get(sys.argv[2]); print("" if v is None else v)' "$work/body" "$1"; }

# want STATUS…: go on only with one of these.
want() {
  local wanted
  for wanted in "$@"; do [ "$status" = "$wanted" ] && return 0; done
  echo "refused ($status): $(field detail 2>/dev/null || cat "$work/body")" >&2
  exit 1
}

json() { python3 -c 'import json,sys; print(json.dumps(dict(zip(sys.argv[1::2], sys.argv[2::2]))))' "$@"; }
quoted() { python3 -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1], safe=sys.argv[2]))' "$1" "${2:-}"; }
post() { call POST "$1" --header 'Content-Type: application/json' --header "Idempotency-Key: $build-$3" --data "$2"; }

call GET "models/$(quoted "$name")"
if [ "$status" = 404 ]; then
  post models "$(json name "$name")" model
  want 201 409 # 409: another build was quicker
  echo "model $name: created"
else
  want 200
  echo "model $name: there"
fi

while IFS= read -r -d '' file; do
  path=${file#"$directory"/}
  sum=$(sha256sum <"$file")
  call PUT "uploads/$build/files/$(quoted "$path" /)" --header 'Content-Type: application/octet-stream' \
    --header "X-Content-SHA256: ${sum%% *}" --upload-file "$file"
  want 201 200
  echo "uploaded $path"
done < <(find "$directory" -type f -print0 | sort -z)

post "models/$(quoted "$name")/versions" "$(json upload "$build")" version
want 201 200
version=$(field version)
echo "version $version: registered"

post promotions "{\"model\": \"$name\", \"version\": $version, \"stage\": \"Production\"}" promotion
want 201 200
promotion=$(field id)
echo "promotion: $(field state), $(field missing)"
echo "review it at $(field page)"

# One call blocks for up to a minute; the loop is for reviewers who take longer, and for 429 when all places are taken.
end=$((SECONDS + patience))
while state=$(field state) && { [ "$status" = 429 ] || [ "$state" = open ]; }; do
  left=$((end - SECONDS))
  [ "$left" -gt 0 ] || { echo "nobody decided in $patience seconds" >&2; exit 2; }
  [ "$status" = 429 ] && sleep 1
  call GET "promotions/$promotion?wait=$((left < 60 ? left : 60))"
  want 200 429
done
echo "verdict: $state"
[ "$state" = promoted ] || { echo "version $version is not in Production: $(field reason)" >&2; exit 1; }

uri=$(quoted "models:/$name/Production")
call GET "resolve?uri=$uri"
want 200
cat "$work/body" && echo
etag=$(sed -n 's/^[Ee][Tt][Aa][Gg]: *\(.*[^[:space:]]\).*$/\1/p' "$work/headers")
call GET "resolve?uri=$uri" --header "If-None-Match: $etag"
want 304
echo "resolved again: 304, nothing has changed"
