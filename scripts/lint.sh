#!/usr/bin/env bash
# What `make lint` and CI check before any test runs: scripts/lint.sh BIN, where BIN is the folder of the environment's programs.
# Every check runs, so that one pass names everything there is to mend.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=$(cd "$1" && pwd)
failed=()
check() {
    local name=$1
    shift
    if "$@"; then echo "lint: $name: ok"; else failed+=("$name"); echo "lint: $name: FAILED" >&2; fi
}

# Words of scripts/retired_words.txt, each with the place and what to write instead.
retired_words() {
    local pattern instead found status=0
    while IFS=$'\t' read -r pattern instead; do
        case $pattern in '' | '#'*) continue ;; esac
        if found=$(git grep -nwIE -e "$pattern" -- . ':!docs/results/log.md' ':!scripts/retired_words.txt' \
            ':!*/renamed.py' ':!LICENSE'); then
            printf '%s\n' "$found" | cut -c1-160 >&2
            echo "  retired: $pattern; write: $instead" >&2
            status=1
        fi
    done <scripts/retired_words.txt
    return $status
}

long_files() {
    local found
    found=$(git ls-files '*.py' '*.js' | while read -r file; do
        [ -L "$file" ] || awk -v f="$file" 'END { if (NR > 420) print f ": " NR " lines; split it by idea (about 400 at most)" }' "$file"
    done)
    [ -z "$found" ] || { printf '%s\n' "$found" >&2; return 1; }
}

# Not --quiet: mkdocs then counts no warnings, and a dead link passes.
documents() {
    local site said status=0
    site=$(mktemp -d)
    said=$(NO_MKDOCS_2_WARNING=1 "$bin/mkdocs" build --strict --site-dir "$site" 2>&1) || status=1
    [ $status = 0 ] || grep -vE '^INFO' <<<"$said" >&2
    rm -rf "$site"
    return $status
}

check 'ruff check' "$bin/ruff" check --quiet .
check 'ruff format' "$bin/ruff" format --quiet --check .
check 'import contracts' "$bin/lint-imports" --no-cache
check 'codespell' "$bin/codespell" $(git ls-files '*.py' '*.md' '*.yaml' '*.sh' '*.js' '*.html' '*.toml' Makefile | grep -v '^docs/results/log.md$')
check 'retired words' retired_words
check 'file lengths' long_files
check 'documents' documents
if [ ${#failed[@]} -gt 0 ]; then
    printf 'lint failed: %s\n' "$(IFS=,; echo "${failed[*]}")" >&2
    exit 1
fi
