#!/bin/sh
# Make the virtual environment whole, or leave it as it is where it is whole already:
#
#     VENV=.venv PYTHON=python3.12 sh scripts/environment.sh [EXTRA...]
#
# VENV    its folder; .venv in the checkout by default
# PYTHON  the interpreter; by default that of an environment that is whole, then the first of
#         python3, python3.13, python3.12 and python3.11 that is new enough
# EXTRA   optional dependencies of pyproject.toml; `sample` is always among them
#
# uv makes and fills it where uv is installed, otherwise venv and pip. What they print goes to
# VENV/install.log; it is shown where they fail.

set -eu
CDPATH='' cd -- "$(dirname -- "$0")/.."
checkout=$(pwd -P)
VENV=${VENV:-.venv}
case $VENV in /*) venv=$VENV ;; *) venv=$checkout/$VENV ;; esac
log=$venv/install.log

fail() {
    echo "error: $*" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

# The interpreter that a new environment gets, in $python.
choose_python() {
    python=
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null || fail "no command '$PYTHON'; choose another: make PYTHON=python3"
        new_enough "$PYTHON" || fail "Python 3.11 or newer is needed, and $PYTHON is $("$PYTHON" -V 2>&1); choose another: make PYTHON=python3.12"
        python=$(command -v "$PYTHON")
        return
    fi
    for name in python3 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null && new_enough "$name"; then
            python=$(command -v "$name")
            return
        fi
    done
    if command -v uv >/dev/null && python=$(uv python find '>=3.11' 2>/dev/null); then
        return
    fi
    command -v python3 >/dev/null || fail "no python3; install Python 3.11 or newer"
    fail "Python 3.11 or newer is needed, and python3 is $(python3 -V 2>&1); install a newer one and name it: make PYTHON=python3.12"
}

# What the environment was made for; another checkout's, or one of another Python, is remade.
identity() {
    echo "$checkout"
    echo "$venv"
    version_of "$venv/bin/python" || echo broken
}

whole() {
    [ "$(cat "$venv/made-for" 2>/dev/null)" = "$(identity)" ] || return 1
    [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$(version_of "$venv/bin/python")" ]
}

make_environment() {
    choose_python
    if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ] && [ ! -e "$venv/install.log" ] \
        && [ -n "$(ls -A "$venv")" ]; then
        fail "$venv holds other files and is no virtual environment; name another folder: make VENV=FOLDER"
    fi
    if ! command -v uv >/dev/null && ! "$python" -c 'import ensurepip' 2>/dev/null; then
        package=python3-venv
        case $python in *python3.*) package=$(basename "$python")-venv ;; esac
        if command -v apt-get >/dev/null; then
            fail "$python cannot make a virtual environment; install what it needs: sudo apt install $package"
        fi
        fail "$python cannot make a virtual environment: it has no ensurepip; install it, or uv"
    fi
    rm -rf "$venv"
    mkdir -p "$venv"
    : >"$log"
    if command -v uv >/dev/null && uv venv --quiet --allow-existing --python "$python" "$venv" >>"$log" 2>&1; then
        :
    elif ! "$python" -m venv "$venv" >>"$log" 2>&1; then
        tail -n 20 "$log" >&2
        fail "$python could not make the virtual environment $venv (its words are above)"
    fi
    identity >"$venv/made-for"
}

# uv first where it is installed, then pip where the environment has it.
install() {
    if command -v uv >/dev/null; then
        uv pip install --python "$venv/bin/python" -c constraints.txt -e "$1" >>"$log" 2>&1 && return
    fi
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 \
        || "$venv/bin/python" -m ensurepip >>"$log" 2>&1 || return 1
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input \
        -c constraints.txt -e "$1" >>"$log" 2>&1
}

content=$(cat pyproject.toml constraints.txt | sha256sum)

missing_extras() {
    missing=
    if [ "$(head -n 1 "$venv/installed" 2>/dev/null)" != "$content" ]; then
        rm -f "$venv/installed"
    fi
    for extra in sample "$@"; do
        grep -qx "$extra" "$venv/installed" 2>/dev/null || missing=$missing${missing:+,}$extra
    done
}

ready() {
    whole && missing_extras "$@" && [ -z "$missing" ]
}

if ready "$@"; then exit; fi

# Two commands at the same time on a new checkout: the second waits and finds it whole.
mkdir -p "$(dirname "$venv")" 2>/dev/null && (: >"$venv.lock") 2>/dev/null \
    || fail "cannot write $venv; name a folder that you may write: make VENV=FOLDER"
exec 9>"$venv.lock"
if command -v flock >/dev/null; then flock 9; fi

whole || make_environment
missing_extras "$@"
if [ -n "$missing" ]; then
    echo "Installing the pinned dependencies ($missing) into $VENV: once, about a minute"
    if ! install ".[$missing]"; then
        tail -n 20 "$log" >&2
        fail "the installation failed (the end of $log is above); run the command again when it is mended"
    fi
    [ -e "$venv/installed" ] || echo "$content" >"$venv/installed"
    echo "$missing" | tr , '\n' >>"$venv/installed"
fi
