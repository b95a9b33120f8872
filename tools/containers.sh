#!/bin/sh
# Runs what docker-compose.yml describes: up, up-build, down, logs [SERVICE], health, secrets [FOLDER].
# Needs docker with its compose plugin alone. PROFILE=full (a container per service) or small (all in one).
set -eu

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

cd "$(dirname "$0")/.."
action=${1:-}
[ $# -eq 0 ] || shift
profile=${PROFILE:-full}
case $profile in
    full) services="auth chat image speech analytics" logs="make logs-auth" ;;
    small) services=suite logs="PROFILE=small make logs-suite" ;;
    *) fail "PROFILE=$profile: there are full (a container per service) and small (all in one)." ;;
esac

compose() {
    docker compose --profile "$profile" "$@"
}

# A docker engine that answers, and compose; or what is missing.
require_engine() {
    command -v docker >/dev/null 2>&1 ||
        fail "docker was not found." "Install it, or run the suite without containers: make run"
    said=$(docker version --format '{{.Server.Version}}' 2>&1 >/dev/null) ||
        fail "No docker engine answers at ${DOCKER_HOST:-the address of docker's context}." "$said" \
            "Start it, or name another by DOCKER_HOST or docker context use; without containers: make run"
    docker compose version >/dev/null 2>&1 ||
        fail "This docker has no compose." "Install its plugin: https://docs.docker.com/compose/install/"
}

random_hex() {
    od -An -v -tx1 -N "$1" /dev/urandom | tr -d ' \n'
}

# Writes a secret that is not there yet, whole or not at all. Containers read it as users of their own, so it is the folder that
# keeps others on this machine away.
secret() {
    [ ! -s "$folder/$1" ] || return 0
    printf '%s' "$2" >"$folder/.$1.new"
    chmod 0444 "$folder/.$1.new"
    mv "$folder/.$1.new" "$folder/$1"
}

make_secrets() {
    folder=${1:-.secrets}
    (umask 077 && mkdir -p "$folder")
    secret secret_key "$(random_hex 48)"
    secret database_password "$(random_hex 24)"
    secret speech_database_password "$(random_hex 24)"
    secret mongodb_password "$(random_hex 24)"
    secret mongodb_url "mongodb://antiphon:$(cat "$folder/mongodb_password")@mongodb:27017/antiphon?authSource=admin"
    secret s3_access_key "$(random_hex 10)"
    secret s3_secret_key "$(random_hex 24)"
}

up() {
    [ "$profile" = small ] || make_secrets
    compose up --detach --wait "$@" ||
        fail "Not everything is up. The lines above say why, or the log of the service that they name: make logs-SERVICE"
    echo "Antiphon is up. The first start has made an administrator, whose password is in the log: $logs"
}

health() {
    compose ps --all
    failed=0
    for service in $services; do
        printf '%s: ' "$service"
        compose exec -T "$service" antiphon health || failed=1
    done
    [ $failed -eq 0 ] || fail "Not everything is ready."
}

case $action in
    secrets) make_secrets "$@" ;;
    up) require_engine && up "$@" ;;
    up-build) require_engine && up --build "$@" ;;
    down) require_engine && docker compose --profile full --profile small down "$@" ;;
    logs) require_engine && compose logs --follow --tail 200 "$@" ;;
    health) require_engine && health ;;
    *) fail "usage: tools/containers.sh up|up-build|down|logs|health|secrets" ;;
esac
