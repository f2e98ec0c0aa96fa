# Sourced by the other scripts: where things are, what is needed, and how time is told.
# shellcheck shell=bash
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/landfall
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
export CARGO_TERM_PROGRESS_WHEN=never

# need NAME... : ends with a list of what is missing, and how to get it.
need() {
  local missing=() tool
  for tool in "$@"; do command -v "$tool" >/dev/null 2>&1 || missing+=("$tool"); done
  ((${#missing[@]} == 0)) && return
  {
    echo "missing on this machine: ${missing[*]}"
    for tool in "${missing[@]}"; do
      case $tool in
        cargo) echo "  cargo: Rust by rustup, see https://rustup.rs (the toolchain is pinned in rust-toolchain.toml)" ;;
        go) echo "  go: Go 1.26 or newer; or set KUBEBUILDER_ASSETS to a folder with the Kubernetes binaries" ;;
        ip) echo "  ip: Debian/Ubuntu: apt-get install iproute2" ;;
        iptables) echo "  iptables: Debian/Ubuntu: apt-get install iptables (kube-proxy writes its rules with it)" ;;
        conntrack) echo "  conntrack: Debian/Ubuntu: apt-get install conntrack" ;;
        unshare | nsenter) echo "  $tool: Debian/Ubuntu: apt-get install util-linux" ;;
        h2load) echo "  h2load: Debian/Ubuntu: apt-get install nghttp2-client" ;;
        taskset | chrt) echo "  $tool: Debian/Ubuntu: apt-get install util-linux" ;;
        strip) echo "  strip: Debian/Ubuntu: apt-get install binutils" ;;
        nginx) echo "  nginx: Debian/Ubuntu: apt-get install nginx-light" ;;
        *) echo "  $tool: Debian/Ubuntu: apt-get install $tool" ;;
      esac
    done
  } >&2
  exit 1
}

# ended_with_us COMMAND... : runs it so that it, and all it started, ends when this script is told to. By itself bash would not look
# at the signal before the command has ended, or would leave it behind.
ended_with_us() {
  local status=0
  # A process group of its own: Ctrl-C does not reach it but by the trap.
  set -m
  "$@" &
  JOB=$!
  set +m
  trap 'end_job 130' INT
  trap 'end_job 143' TERM HUP
  wait "$JOB" || status=$?
  trap - INT TERM HUP
  return $status
}

end_job() {
  trap '' INT TERM HUP
  kill -TERM -- "-$JOB" 2>/dev/null || true
  wait "$JOB" 2>/dev/null || true
  exit "$1"
}

TIMES=()
# stage NAME COMMAND... : runs it, says how long it took, and remembers that for the table.
stage() {
  local name=$1 start=$SECONDS status=0
  shift
  printf '\n== %s\n' "$name"
  "$@" || status=$?
  TIMES+=("$(printf '%6d s  %-8s %s' $((SECONDS - start)) "$([[ $status == 0 ]] && echo ok || echo "FAILED")" "$name")")
  return $status
}

# The table of all stages so far.
times() {
  printf '\n== where the time went\n'
  printf '%s\n' "${TIMES[@]}"
  printf '%6d s           in all\n' "$SECONDS"
}

# The target triple of this machine.
host() { rustc -vV | sed -n 's/^host: //p'; }

# static_build CARGO ARGUMENT...
static_build() { RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --target "$(host)" "$@"; }

# static_binary PACKAGE : its program as it is shipped: optimised, static, nothing else needed beside it. Prints its path.
static_binary() {
  static_build --package "$1" --bin "$1" >&2
  echo "$TARGET/$(host)/release/$1"
}

# static_bench NAME [CARGO ARGUMENT...] : a bench program, built alike; prints its path. Benches share one release build, which is another
# than that of the program alone: what tests need gives some libraries more features.
static_bench() {
  local name=$1
  shift
  static_build --bench "$name" "$@" --message-format json-render-diagnostics |
    grep -o '"executable":"[^"]*"' | cut -d'"' -f4 | grep "/$name-" | tail -n 1
}

# into_readme NAME FILE [README] : puts FILE between README.md's marks of that name, with the command, the day and the machine.
into_readme() {
  local name=$1 file=$2 readme=${3:-README.md}
  {
    sed "/<!-- $name -->/q" "$readme"
    printf '\n`tools/%s.sh --readme`, %s, %s CPUs:\n\n' "$name" "$(date --utc +%F)" "$(nproc)"
    cat "$file"
    echo
    sed -n "/<!-- \/$name -->/,\$p" "$readme"
  } >"$file.readme"
  cp "$file.readme" "$readme"
}

# Pinned Kubernetes binaries; prints their folder.
kubernetes() {
  [[ -n ${KUBEBUILDER_ASSETS:-} ]] || need go
  "$ROOT/tools/kubernetes/build.sh" | tail -n 1
}

# optional SCRIPT ARGUMENTS... : the last line that it prints. A script that lacks something exits with 3: nothing then, and a word why.
optional() {
  local output status=0
  output=$("$@") || status=$?
  output=${output##*$'\n'}
  case $status in
    0) echo "$output" ;;
    3) echo "$1: $output" >&2 ;;
    *) return "$status" ;;
  esac
}

# cached_tool CRATE VERSION BINARY : a cargo-installed tool in the cache folder; prints its path.
cached_tool() {
  local crate=$1 version=$2 binary=$3
  local root=$CACHE/tools/$crate-$version
  if [[ ! -x $root/bin/$binary ]]; then
    echo "building $crate $version (once) ..." >&2
    # A folder of its own: two of these may be built at the same time.
    cargo install --quiet --locked "$crate" --version "=$version" --root "$root" --target-dir "$root/target" >&2 || return
    rm -rf "$root/target"
  fi
  echo "$root/bin/$binary"
}
