"""A WASI command in wasmtime, with one directory, which it sees as /tmp."""
from wasmtime import ExitTrap, Linker, Store, WasiConfig


def run(engine, module, argv, directory, env=()):
    """Runs it to its end, with our standard output; its exit code."""
    store = Store(engine)
    wasi = WasiConfig()
    wasi.argv = argv
    wasi.env = list(env)
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    wasi.preopen_dir(directory, "/tmp")
    store.set_wasi(wasi)
    linker = Linker(engine)
    linker.define_wasi()
    instance = linker.instantiate(store, module)
    try:
        instance.exports(store)["_start"](store)
    except ExitTrap as trap:
        return trap.code
    return 0
