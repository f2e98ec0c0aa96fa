#!/usr/bin/env bash
# The API docs of all crates (warnings denied), the book, and a check that no relative link leads nowhere.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
need cargo
MDBOOK_VERSION=0.5.4

# Every relative link of README.md, CHANGELOG.md, localstack/README.md and docs/ must point at a file, and its fragment at a
# heading or an <a id> of that page. Links within the book must stay within it.
check_links() {
  local broken=0 count=0 page target path fragment
  while IFS=$'\t' read -r page target; do
    count=$((count + 1))
    path=${target%%#*} fragment=
    [[ $target == *#* ]] && fragment=${target#*#}
    if [[ -n $path ]]; then path=$(dirname "$page")/$path; else path=$page; fi
    if [[ ! -e $path ]]; then
      echo "$page: no such file: $target"; broken=$((broken + 1))
    elif [[ -n $fragment && $path == *.md ]] && ! anchors "$path" | grep -xF -- "$fragment" >/dev/null; then
      echo "$page: $path has no heading or anchor #$fragment"; broken=$((broken + 1))
    elif [[ $page == docs/* && $(realpath "$path") != "$ROOT"/docs/* ]]; then
      echo "$page: leads out of the book: $target (write it as code instead)"; broken=$((broken + 1))
    fi
  done < <(links)
  echo "$count relative links, $broken broken"
  ((broken == 0))
}

# PAGE<tab>TARGET of each relative link outside of code.
links() {
  local page
  for page in README.md CHANGELOG.md localstack/README.md $(find docs -name '*.md' -not -path 'docs/book/*' | sort); do
    [[ -f $page ]] || continue
    awk '/^ *```/ { code = !code; next } !code' "$page" | sed 's/`[^`]*`//g' | { grep -oE '\]\([^)[:space:]]+\)' || true; } |
      sed 's/^](//; s/)$//' | { grep -vE '^[a-z][a-z0-9+.-]*:' || true; } | sed "s|^|$page\t|"
  done
}

# What a link may name in a page: headings as mdBook and code hosts spell them, and anchors of its own.
anchors() {
  awk '/^ *```/ { code = !code; next } !code && /^#+ /' "$1" |
    sed -E 's/^#+ //; s/`//g' | tr '[:upper:]' '[:lower:]' | sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
  { grep -oE '<a id="[^"]+"' "$1" || true; } | sed 's/^<a id="//; s/"$//'
}

# Every page of the book must be in its table of contents.
check_contents() {
  local missing=0 page
  while read -r page; do
    grep -qF "($page)" docs/SUMMARY.md || { echo "docs/$page: not in docs/SUMMARY.md"; missing=1; }
  done < <(cd docs && find . -name '*.md' -not -path './book/*' -not -name SUMMARY.md -printf '%P\n' | sort)
  return $missing
}

echo "links"
check_links
check_contents
echo "book"
mdbook=$(cached_tool mdbook "$MDBOOK_VERSION" mdbook)
"$mdbook" build docs
echo "cargo doc"
RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --quiet --workspace --no-deps
echo "docs/book/index.html and $TARGET/doc/landfall/index.html"
