#!/usr/bin/env bash
# rustfmt, clippy with warnings denied, cargo deny (advisories where their database can be had).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need cargo
CARGO_DENY_VERSION=0.20.2

echo "cargo fmt"
cargo fmt --all -- --check
echo "cargo clippy"
cargo clippy --quiet --workspace --all-targets -- -D warnings
echo "cargo deny"
deny=$(cached_tool cargo-deny "$CARGO_DENY_VERSION" cargo-deny)
"$deny" --log-level error check --hide-inclusion-graph bans licenses sources
if output=$(timeout 60 "$deny" --log-level error check advisories 2>&1); then
  echo "advisories ok"
elif grep -qiE 'fetch|clone|network|connect|resolve|failed to (open|acquire)' <<<"$output"; then
  echo "!!! SKIPPED: cargo deny check advisories: lacks the RustSec database (it cannot be fetched from here)"
else
  echo "$output"; exit 1
fi
