"""Runs a WASI command in wasmtime: wasmtime-run.py FILE.wasm [ARGUMENT...].

It sees one directory, /tmp, which is fresh and removed afterwards.
"""
import sys
import tempfile

from wasmtime import Engine, ExitTrap, Linker, Module, Store, WasiConfig


def main(file, arguments):
    with tempfile.TemporaryDirectory(prefix="nacre-") as directory:
        engine = Engine()
        store = Store(engine)
        wasi = WasiConfig()
        wasi.argv = [file, *arguments]
        wasi.inherit_stdout()
        wasi.inherit_stderr()
        wasi.preopen_dir(directory, "/tmp")
        store.set_wasi(wasi)
        linker = Linker(engine)
        linker.define_wasi()
        instance = linker.instantiate(store, Module.from_file(engine, file))
        try:
            instance.exports(store)["_start"](store)
        except ExitTrap as trap:
            return trap.code
        return 0


sys.exit(main(sys.argv[1], sys.argv[2:]))
