#!/bin/sh
# Installs what a bare Debian 12 lacks: tests/setup.sh GROUP...
#
#   compiler  clang-22 for native code and WebAssembly, with wasi-libc; xxHash's header
#   npm       Node.js and npm where there are none, then the package's development tools
#   test      sanitizers, gcc, the ARM64 lane, browsers, wasmtime
#
# What is there already is left alone, so that a second run takes no time.
set -eu
cd "$(dirname "$0")/.."
mkdir -p build

# One at a time, whatever make -j does.
exec 9> build/.setup.lock
flock 9

missing=
# need THING PACKAGE...: THING is a command, or a file if it begins with a slash.
need() {
    case $1 in
        /*) [ -e "$1" ] && return ;;
        *) command -v "$1" > /dev/null && return ;;
    esac
    shift
    missing="$missing $*"
}

need_compiler() {
    need clang-22 clang-22
    need wasm-ld-22 lld-22
    need /usr/lib/wasm32-wasi/libc.a wasi-libc
    need /usr/lib/llvm-22/lib/clang/22/lib/wasi/libclang_rt.builtins-wasm32.a libclang-rt-22-dev-wasm32
    need /usr/include/xxhash.h libxxhash-dev
    need /usr/include/stdio.h libc6-dev
    need objdump binutils
}

need_npm() {
    need node nodejs
    need npm npm
    need /etc/ssl/certs/ca-certificates.crt ca-certificates
}

need_test() {
    need gcc gcc
    need git git
    need /usr/lib/llvm-22/bin/llvm-symbolizer llvm-22
    need /usr/lib/llvm-22/lib/clang/22/lib/linux/libclang_rt.asan-x86_64.a libclang-rt-22-dev
    need aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
    need /usr/aarch64-linux-gnu/include/stdio.h libc6-dev-arm64-cross
    need qemu-aarch64 qemu-user
    need chromium chromium
    need firefox-esr firefox-esr
    need python3 python3
    [ -x build/venv/bin/python ] || python3 -c 'import ensurepip, venv' 2> /dev/null ||
        missing="$missing python3-venv"
}

install_packages() {
    [ -n "$missing" ] || return 0
    as_root=
    if [ "$(id -u)" != 0 ]; then as_root=sudo; fi
    if ! command -v apt-get > /dev/null || ! command -v ${as_root:-sh} > /dev/null; then
        echo "setup: please install:$missing" >&2
        exit 1
    fi
    echo "setup: apt-get install$missing"
    for step in "update" "install -y --no-install-recommends$missing"; do
        # shellcheck disable=SC2086 # the words of $step are arguments
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq $step > build/setup.log 2>&1 || {
            tail -n 20 build/setup.log >&2
            echo "setup: apt-get $step failed" >&2
            exit 1
        }
    done
}

install_npm() {
    [ -L node_modules ] && return # another tree's, who installs it
    cmp -s package-lock.json node_modules/.installed-lock.json && return
    echo "setup: npm ci"
    npm ci --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/.installed-lock.json
}

install_venv() {
    build/venv/bin/python -c 'import wasmtime' 2> /dev/null && return
    echo "setup: wasmtime, in build/venv"
    python3 -m venv build/venv
    build/venv/bin/pip install --quiet --disable-pip-version-check wasmtime==50.0.1
}

for group; do
    case $group in
        compiler | npm | test) need_"$group" ;;
        *) echo "setup: no such group: $group (compiler npm test)" >&2; exit 2 ;;
    esac
done
install_packages
for group; do
    case $group in
        npm) install_npm ;;
        test) install_venv ;;
    esac
done
