#!/usr/bin/env bash
# Tries the image and docker-compose.yml with a real Docker daemon: dev/docker/check.sh   (one to two minutes)
#   COMPOSE=docker-compose dev/docker/check.sh      uses Compose 1.29 instead of the plugin
# It runs beside a demo that is up: a project, names and ports of its own, which it removes at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."

project=afterimage-check-$$
export SEARCH_PORT=${SEARCH_PORT:-17799} ADMIN_PORT=${ADMIN_PORT:-17788} SHOP_PASSWORD=s3cr3t-$$
read -ra compose <<<"${COMPOSE:-docker compose}"
dc() { "${compose[@]}" -p "$project" "$@"; }
beside=$project-beside
log=$(mktemp)

finish() {
  docker rm -fv "$beside" >/dev/null 2>&1 || true
  dc down -v --remove-orphans >"$log" 2>&1 || { cat "$log"; exit 1; }
  rm -f "$log"
}
trap finish EXIT

say() { echo "check: $*"; }
fail() {
  echo "check: FAILED: $*" >&2
  dc logs --tail 15 >&2 || true
  docker logs --tail 15 "$beside" >&2 2>/dev/null || true
  exit 1
}
# until_true SECONDS WHAT COMMAND…
until_true() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "waited in vain for $what"
    sleep 0.3
  done
}
health() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$beside")" = "$1" ]; }
sql() { dc exec -T postgres psql -U shop -d shop -Atqc "$1"; }
page() { curl -fsS -m 5 "http://127.0.0.1:$SEARCH_PORT$1"; }
field() { sed -nE "s/.*\"$1\":\"?([^,\"}]*).*/\1/p"; }
is_equal() {
  rows=$(sql 'SELECT count(*) FROM products') documents=$(page /api/status | field documents)
  [ "$rows" -ge 3000 ] && [ "$rows" = "$documents" ]
}

say "building"
dc build >"$log" 2>&1 || { cat "$log"; exit 1; }

say "image"
[ "$(docker run --rm --entrypoint id afterimage-cdc -u)" = 1000 ] || fail "the image runs as root"
docker run --rm --entrypoint ls afterimage-cdc /app/node_modules >"$log"
! grep -qE '^(typescript|vitest|node)$' "$log" || fail "the image holds development packages"
docker run --rm --read-only --cap-drop ALL --user 12345:12345 --network none afterimage-cdc --version >/dev/null || fail "not read-only friendly"
code=0
said=$(docker run --rm --read-only --network none afterimage-cdc 2>&1) || code=$?
[[ $code = 2 && $said == CONFIG_MISSING* ]] || fail "without settings: exit code $code, $said"
say "image is $(($(docker image inspect -f '{{.Size}}' afterimage-cdc) / 1000000)) MB"

say "compose up"
dc up -d >"$log" 2>&1 || { cat "$log"; fail "compose up"; }
until_true 120 "the search page" page /healthz
until_true 120 "3000 products" eval '[ "$(sql "SELECT count(*) FROM products")" -ge 3000 ]'
dc stop shop >"$log" 2>&1
until_true 60 "the index to equal the table" is_equal
[ "$(page "/api/search?q=lamp" | field total)" -gt 0 ] || fail "the search page finds nothing"
page / | grep -qi '<html' || fail "no search page"
say "table $rows rows, index $documents documents"

say "restart"
dc kill -s KILL afterimage search >"$log" 2>&1
sql "UPDATE products SET stock = stock + 1 WHERE id % 10 = 0; DELETE FROM products WHERE id % 100 = 0"
dc up -d >"$log" 2>&1 || { cat "$log"; fail "compose up, again"; }
until_true 60 "the delivery" eval '[ "$(sql "SELECT count(*) FROM products")" -gt "$rows" ]'
dc stop shop >"$log" 2>&1
until_true 60 "the index to equal the table after a SIGKILL of daemon and sample" is_equal
say "after a SIGKILL of both: table $rows rows, index $documents documents"

say "docker run beside an existing database"
begun=$SECONDS
dc stop -t 15 afterimage >"$log" 2>&1
[ $((SECONDS - begun)) -lt 10 ] || fail "the daemon took $((SECONDS - begun)) s to stop"
# run WITH…: a hardened container that has environment variables alone
run() {
  docker run -d --name "$beside" --network "${project}_default" --read-only --cap-drop ALL \
    --security-opt no-new-privileges --user 12345:12345 --health-interval 1s \
    -e AFTERIMAGE_STREAM=beside -e AFTERIMAGE_POSTGRES_URL="postgres://shop:$SHOP_PASSWORD@postgres:5432/shop" \
    -e AFTERIMAGE_KAFKA_BROKERS=kafka:9092 "$@" afterimage-cdc >/dev/null
  until_true 60 "a healthy container ($*)" health healthy
  until_true 60 "the daemon to stream ($*)" eval 'docker exec "$beside" afterimage status | grep -q "^state  *streaming"'
}
# stop: by SIGTERM, at a batch boundary
stop() {
  local code
  begun=$SECONDS
  docker stop -t 15 "$beside" >/dev/null
  code=$(docker inspect -f '{{.State.ExitCode}}' "$beside")
  [ "$code" = 0 ] && [ $((SECONDS - begun)) -lt 10 ] || fail "SIGTERM: exit code $code after $((SECONDS - begun)) s"
  ! docker logs "$beside" 2>&1 | grep -q "$SHOP_PASSWORD" || fail "the log holds the password"
  docker rm -v "$beside" >/dev/null
}
run
stop
run -e AFTERIMAGE_ADMIN_HOST=0.0.0.0 -e AFTERIMAGE_ADMIN_PORT=9999 -p "127.0.0.1:$ADMIN_PORT:9999"
curl -fsS -m 5 "http://127.0.0.1:$ADMIN_PORT/healthz" >/dev/null || fail "the published admin port does not answer"
stop

say "a wrong password, and a container without a daemon"
code=0
docker run --rm --network "${project}_default" -e AFTERIMAGE_STREAM=beside -e AFTERIMAGE_KAFKA_BROKERS=kafka:9092 \
  -e AFTERIMAGE_POSTGRES_URL=postgres://shop:wrong@postgres:5432/shop afterimage-cdc >"$log" 2>&1 || code=$?
[ "$code" != 0 ] && ! grep -q "wrong@" "$log" || fail "a wrong password: exit code $code"
docker run -d --name "$beside" --network none --health-interval 1s --entrypoint sleep afterimage-cdc 60 >/dev/null
until_true 60 "an unhealthy container" health unhealthy
docker rm -f "$beside" >/dev/null

say "compose down -v leaves nothing"
dc down -v >"$log" 2>&1
left=$(docker ps -aq --filter "label=com.docker.compose.project=$project"
  docker volume ls -q --filter "label=com.docker.compose.project=$project"
  docker network ls -q --filter "label=com.docker.compose.project=$project")
[ -z "$left" ] || fail "left behind: $left"
say "all right"
