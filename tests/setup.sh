#!/bin/sh
# Installs what a bare Debian 12 lacks: tests/setup.sh GROUP...
#
#   compiler  clang-22 for native code and WebAssembly, with wasi-libc; xxHash's header;
#             liblz4's source, from the npm package lz4 (nothing of which is run), and
#             Monocypher's, from the PyPI package pymonocypher
#   npm       Node.js and npm where there are none, then the package's development tools
#   test      sanitizers, gcc, the ARM64 lane, browsers, wasmtime, strace
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
    lz4_is_there || need_npm
    monocypher_is_there || need_venv
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
    need strace strace
    need_venv
}

need_venv() {
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

# liblz4 1.9.2 (BSD 2-Clause) as the package carries it; build/lz4 outlives `make clean`.
LZ4_PACKAGE=lz4@0.6.5
lz4_is_there() {
    sha256sum --check --status 2> /dev/null <<SUMS
60dfe19abb1d40cde92b01ceef23e8af95d8015eb54df5c45e7483b92f4f1dbc  build/lz4/lz4.c
13dee89947a6e2adc051072861a0da1a938ee26d0fdf177777f8aba2a46fd435  build/lz4/lz4.h
SUMS
}

install_lz4() {
    lz4_is_there && return
    echo "setup: liblz4's source, in build/lz4"
    rm -rf build/lz4
    mkdir -p build/lz4
    package=$(cd build/lz4 && npm pack --silent $LZ4_PACKAGE)
    tar -xzf "build/lz4/$package" -C build/lz4 --strip-components=4 \
        package/deps/lz4/lib/lz4.c package/deps/lz4/lib/lz4.h package/deps/lz4/lib/LICENSE
    rm "build/lz4/$package"
    lz4_is_there || { echo "setup: $LZ4_PACKAGE does not hold what was expected" >&2; exit 1; }
}

# Monocypher 4.0.3 (BSD 2-Clause or CC0) as the package carries it; like build/lz4. The hash is
# asked for before pip looks into the package.
MONOCYPHER_PACKAGE=pymonocypher==4.0.3.4
MONOCYPHER_HASH=sha256:5e56e3d3eb770a53e0b9f6274146663c11a11f3d0de5cd48e3be0428d1b07a4a
monocypher_is_there() {
    sha256sum --check --status 2> /dev/null <<SUMS
57eb914fc88136119bd41655cccb8c250048bf54d470540625186f8ab16f64be  build/monocypher/monocypher.c
c494da712122da7ff679fdcf318a5317e84972b6c950fe9d896212947797facd  build/monocypher/monocypher.h
SUMS
}

install_monocypher() {
    monocypher_is_there && return
    echo "setup: Monocypher's source, in build/monocypher"
    [ -x build/venv/bin/pip ] || python3 -m venv build/venv
    rm -rf build/monocypher
    mkdir -p build/monocypher
    echo "$MONOCYPHER_PACKAGE --hash=$MONOCYPHER_HASH" > build/monocypher/package
    build/venv/bin/pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --no-binary pymonocypher --dest build/monocypher -r build/monocypher/package
    tar -xzf build/monocypher/pymonocypher-*.tar.gz -C build/monocypher --strip-components=1 --wildcards \
        '*/monocypher.c' '*/monocypher.h'
    rm build/monocypher/pymonocypher-*.tar.gz
    monocypher_is_there || { echo "setup: $MONOCYPHER_PACKAGE does not hold what was expected" >&2; exit 1; }
}

install_venv() {
    build/venv/bin/python -c 'import wasmtime' 2> /dev/null && return
    echo "setup: wasmtime, in build/venv"
    [ -x build/venv/bin/pip ] || python3 -m venv build/venv
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
        compiler) install_lz4 && install_monocypher ;;
        npm) install_npm ;;
        test) install_venv ;;
    esac
done
