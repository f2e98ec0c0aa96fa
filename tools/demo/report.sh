# Sourced by steps.sh: what is done is shown, timed, and waited for with a limit; the end is a table.
# shellcheck shell=bash
ROWS=()
STEP=
STEP_START=
STEP_LOGS=
WAITED_FOR=
NOTE=
DEMO_START=${DEMO_START:-$EPOCHREALTIME}

# note TEXT : for the row of the present step.
note() { NOTE=$1; }

# step NAME [LOGS] : the step before has succeeded, this one begins. LOGS (a pattern) are shown if it fails.
step() {
  close_step ok
  STEP=$1 STEP_LOGS=${2:-} STEP_START=$EPOCHREALTIME WAITED_FOR='' NOTE=''
  printf '\n== %s\n' "$STEP"
}

# started TIME : the present step began then.
started() { STEP_START=$1; }

# run COMMAND... : shows it as one would type it, then runs it.
run() {
  WAITED_FOR="\`$*\`"
  printf '$'
  local word
  for word in "$@"; do
    if [[ $word =~ ^[a-zA-Z0-9./:=_@%,+-]+$ ]]; then printf ' %s' "$word"; else printf " '%s'" "$word"; fi
  done
  printf '\n'
  "$@"
}

# wait_for SECONDS WHAT CONDITION : asks until the condition (a shell command line) is true.
wait_for() {
  local limit=$1 begin=$SECONDS
  WAITED_FOR="$2 (up to $1 s)"
  until eval "$3"; do
    ((SECONDS - begin <= limit)) || return 1
    sleep 0.1
  done
}

# seconds FROM : since then, with one decimal.
seconds() {
  local tenths=$(((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}) / 100000))
  printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

# close_step RESULT : the present step is over. The last one must be closed by hand: an open step at the end was interrupted.
close_step() {
  [[ -n $STEP ]] || return 0
  ROWS+=("$(printf '%-66s  %-7s %6s%s' "$STEP" "$1" "$(seconds "$STEP_START")" "${NOTE:+  $NOTE}")")
  STEP=
}

result() { case $1 in 0) echo ok ;; 130) echo - ;; *) echo FAILED ;; esac; }

# The end, however it comes.
finish() {
  local status=$?
  trap - EXIT
  if [[ $status == 0 && -n $STEP ]]; then
    status=130
    printf '\ninterrupted: %s\n' "$STEP" >&2
    close_step "-"
  elif [[ $status != 0 ]]; then
    printf '\nfailed: %s\nwaited for: %s\n' "$STEP" "$WAITED_FOR" >&2
    local log
    # A pattern: it is split and expanded on purpose.
    # shellcheck disable=SC2086
    for log in $STEP_LOGS; do
      [[ -s $log ]] && printf -- '-- %s\n' "$log" >&2 && tail -n 15 "$log" >&2
    done
    close_step FAILED
  fi
  printf '\n%-66s  %-7s %6s\n' "step" "result" "seconds"
  printf '%s\n' "${ROWS[@]}"
  printf '%-66s  %-7s %6s\n' "in all" "$(result "$status")" "$(seconds "$DEMO_START")"
  exit "$status"
}
trap finish EXIT
