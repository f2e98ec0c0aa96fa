#!/usr/bin/env bash
# docker.sh COMMAND ARGUMENT... : runs a command with a Docker engine that answers. One that answers already is used and left alone; else
# dockerd is started here, as root, and ended with the command. That works where Docker's own service does not: without systemd, on
# cgroup v1, without a registry. It has folders of its own and writes no firewall rule; images stay below the cache folder.
#
# Where that cannot be, the command runs all the same, after a word about what is missing: what needs Docker says so itself.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
(($#)) || { sed -n '2,6s/^# \?//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
DATA=$CACHE/docker
# Not below the cache folder, because the path of a socket has to be short.
STATE=/run/landfall-docker

answers() { docker version >/dev/null 2>&1; }

# What an engine of our own would lack; nothing if nothing.
lacking() {
  local program
  for program in docker dockerd containerd runc; do
    command -v "$program" >/dev/null || { echo "$program (Debian/Ubuntu: apt-get install docker.io)"; return; }
  done
  for program in ip flock setpriv; do
    command -v "$program" >/dev/null || { echo "$program (Debian/Ubuntu: apt-get install iproute2 util-linux)"; return; }
  done
  ((EUID == 0)) || { echo "a running Docker engine, or root to start one"; return; }
  grep -qE ' cgroup2? ' /proc/mounts || echo "cgroups: none are mounted"
}

start() {
  mkdir -p "$DATA" "$STATE"
  exec 9>"$STATE/lock"
  flock --nonblock 9 || { echo "another tools/docker.sh has an engine: its socket is $STATE/docker.sock" >&2; return 1; }
  ip link show docker0 >/dev/null 2>&1 && bridge= || bridge=docker0
  # A Docker 20.10 needs iptables only to let containers out and each other in; ports are published by its proxy.
  setpriv --pdeathsig TERM dockerd --data-root "$DATA" --exec-root "$STATE/exec" --pidfile "$STATE/pid" --host "unix://$STATE/docker.sock" \
    --iptables=false --ip-forward=false --ip-masq=false >"$STATE/log" 2>&1 9>&- &
  engine=$!
  export DOCKER_HOST=unix://$STATE/docker.sock
  local limit=$((SECONDS + 60))
  until answers; do
    kill -0 "$engine" 2>/dev/null && ((SECONDS < limit)) || { echo "dockerd did not start:" >&2; tail -n 20 "$STATE/log" >&2; return 1; }
    sleep 0.1
  done
  echo "docker: started an engine of our own ($(docker version --format '{{.Server.Version}}'), $DOCKER_HOST)" >&2
}

stop() {
  kill -TERM "$engine" 2>/dev/null || true
  wait "$engine" || true
  [[ -z $bridge ]] || ip link delete "$bridge" 2>/dev/null || true
}

if command -v docker >/dev/null && answers; then
  exec "$@"
fi
lacks=$(lacking)
if [[ -n $lacks ]]; then
  echo "!!! no Docker: lacks $lacks" >&2
  exec "$@"
fi
engine='' bridge=''
trap '[[ -z $engine ]] || stop' EXIT
if ! start; then
  [[ -z $engine ]] || stop
  exec "$@"
fi
ended_with_us "$@"
