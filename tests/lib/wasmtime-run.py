"""Runs a WASI command in wasmtime: wasmtime-run.py FILE.wasm [ARGUMENT...].

It sees one directory, /tmp, which is fresh and removed afterwards.
"""
import sys
import tempfile

import wasi_command
from wasmtime import Engine, Module


def main(file, arguments):
    with tempfile.TemporaryDirectory(prefix="nacre-") as directory:
        engine = Engine()
        return wasi_command.run(engine, Module.from_file(engine, file), [file, *arguments], directory)


sys.exit(main(sys.argv[1], sys.argv[2:]))
