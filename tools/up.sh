#!/usr/bin/env bash
# up.sh up | shell [COMMAND...] | down : the demo's cluster and AWS, left running. Everything about it is in .landfall/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
source tools/demo/cluster.sh
STATE=$ROOT/.landfall

# Whatever the cluster consists of holds the lock, so the lock tells.
is_up() { [[ -e $STATE/lock ]] && ! flock --nonblock "$STATE/lock" true; }

up() {
  need cargo ip iptables unshare nsenter flock setsid curl
  if is_up; then
    echo "it is up already: \`make shell\` leads inside, \`make down\` ends it"
    return
  fi
  build
  rm -f "$STATE/enter.sh"
  echo "starting the cluster, the emulated AWS, the controller, a backend and the data plane ..."
  mkdir -p "$STATE"
  : >"$STATE/up.log"
  # A session of its own: closing the terminal does not end it.
  DEMO_START=$EPOCHREALTIME setsid "${BASH_SOURCE[0]}" stay >>"$STATE/up.log" 2>&1 </dev/null &
  local process=$! shown
  trap 'kill "$process" 2>/dev/null; exit 130' INT TERM
  # Until it stays: show what it says.
  tail --pid="$process" --follow --lines=+1 --sleep-interval=0.2 "$STATE/up.log" 2>/dev/null &
  shown=$!
  until grep -q '^Ready\.' "$STATE/up.log"; do
    kill -0 "$process" 2>/dev/null || { wait "$shown"; echo "it did not come up; all of its words are in .landfall/up.log" >&2; exit 1; }
    sleep 0.2
  done
  sleep 0.3
  kill "$shown"
  cat <<TEXT

It is up, and stays until \`make down\`.
  make shell                                       a shell inside, with kubectl and the AWS CLI pointed at it
  kubectl apply -f tools/demo/my-service.yaml      (inside) the tutorial's Service
  tools/up.sh shell kubectl get nodes              one command inside
Logs of pods and control plane: .landfall/pods, .landfall/logs
TEXT
}

# What `up` leaves running.
stay() {
  lock "$STATE" || { echo "it is up already" >&2; exit 1; }
  echo $$ >"$STATE/pid"
  BINARIES=$(kubernetes)
  run_cluster "$STATE" --keep -- tools/demo/steps.sh prepare
}

enter() {
  is_up || { echo "it is not up: \`make up\` starts it" >&2; exit 1; }
  [[ -x $STATE/enter.sh ]] || { echo "it is still starting: see .landfall/up.log" >&2; exit 1; }
  exec "$STATE/enter.sh" "$@"
}

down() {
  is_up || { echo "it is not up"; return; }
  local process limit=$((SECONDS + 30))
  process=$(<"$STATE/pid")
  kill -TERM "$process"
  while is_up; do
    ((SECONDS < limit)) || { echo "not ended within 30 s: killing it" >&2; kill -KILL "$process"; limit=$((SECONDS + 30)); }
    sleep 0.2
  done
  rm -f "$STATE/pid" "$STATE/enter.sh"
  echo "it is down; logs stay in .landfall"
}

case ${1:-} in
  up) up ;;
  shell) shift && enter "$@" ;;
  stay) stay ;;
  down) down ;;
  *) echo "usage: tools/up.sh up | shell [COMMAND...] | down" >&2 && exit 2 ;;
esac
