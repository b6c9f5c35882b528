"""Kills a writer in wasmtime, again and again: kill_wasmtime.py CRASH-TESTS.wasm [ROUNDS [SEED]].

The writer and who looks at what it left are kill_test.c as WebAssembly, each in a process of its
own. What was acknowledged last is there, or the commit that was under way.
"""
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time

from wasmtime import Engine, Module

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "lib"))
import wasi_command

NOTE = struct.Struct("<QQQ")  # hash of the state, sequence, acknowledged


def child(compiled, directory, test, seed):
    engine = Engine()
    argv = ["crash-tests", "--dir", "/tmp", "kill/" + test]
    env = [("NACRE_KILL", "1"), ("NACRE_SEED", seed)]
    return wasi_command.run(engine, Module.deserialize_file(engine, compiled), argv, directory, env)


def start(compiled, directory, test, seed):
    arguments = [sys.executable, __file__, "--child", compiled, directory, test, str(seed)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE)


def main(file, rounds, seed):
    dice = random.Random(seed)
    hash_, sequence, commits, under_way = 0, 0, 0, 0
    place = tempfile.mkdtemp(prefix="nacre-")  # stays when a round fails
    compiled, directory = os.path.join(place, "compiled"), os.path.join(place, "files")
    os.mkdir(directory)
    with open(compiled, "wb") as out:
        out.write(Module.from_file(Engine(), file).serialize())
    for number in range(rounds):
        writer = start(compiled, directory, "writes_until_killed", seed * 1000 + number)
        if number % 4:  # most often it is writing already, else opening
            select.select([writer.stdout], [], [], 60)
        time.sleep(dice.random() * (0.03 if number % 4 else 0.6))
        writer.kill()
        told, _ = writer.communicate()
        assert writer.returncode == -9, f"round {number}: the writer ended by itself: {writer.returncode} {told[-300:]}"
        begun = hash_
        for at in range(0, len(told) - NOTE.size + 1, NOTE.size):
            begun, its_sequence, done = NOTE.unpack_from(told, at)
            if done:
                hash_, sequence, commits = begun, its_sequence, commits + 1
        time.sleep(0.002)  # rows that live for a millisecond are gone
        look = start(compiled, directory, "looks_at_what_is_left", 0)
        text, _ = look.communicate()
        left = [line.split() for line in text.decode().splitlines() if line.startswith("left ")]
        assert look.returncode == 0 and left, f"round {number}, {place}: exit {look.returncode} {text.decode()}"
        found, its_sequence, problems = map(int, left[0][1:])
        assert found in (hash_, begun), f"round {number}: neither what was acknowledged nor what was under way"
        assert its_sequence >= sequence and problems == 0, f"round {number}: {text.decode()}"
        under_way += found != hash_
        hash_ = found
    shutil.rmtree(place)
    print(f"kills in wasmtime: {rounds}, seed {seed}, {commits} commits acknowledged, "
          f"{under_way} times the one under way was there")
    assert commits > 0


if sys.argv[1] == "--child":
    sys.exit(child(*sys.argv[2:]))
main(sys.argv[1], int((sys.argv[2:3] or [30])[0]), int((sys.argv[3:4] or [20261121])[0]))
