// Many tabs and one owner, in a world told by a seed (tabs-world.ts): whatever dies, freezes or is
// late, nothing acknowledged is lost, nothing is done twice, nobody waits for ever.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Disk, SimTab, SimWorld } from "./tabs-world.ts";

const SEED = Number(process.env.TEST_SEED ?? 1);
const WORLDS = Number(process.env.TABS_WORLDS ?? 20);

interface Ledger {
  acknowledged: string[];
  sent: Set<string>;
  removed: Map<string, number>; // how often somebody was told that he removed it
  wrong: string[];
}

/** Writes until its page is gone. */
function write(world: SimWorld, tab: SimTab, ledger: Ledger, name: string): void {
  let n = 0;
  const more = (): void => {
    if (tab.realm.dead || n > 70) return;
    const value = `${name}-${n++}`;
    ledger.sent.add(value);
    const burst = world.pick(4);
    void tab.request({ op: "append", value }).then(() => {
      if (!tab.realm.dead) ledger.acknowledged.push(value);
    }, (error: unknown) => ledger.wrong.push(`${value}: ${String(error)}`));
    for (let i = 0; i < burst; i++) {
      const key = `${value}/${i}`;
      void tab.request({ op: "put", value: key });
      void tab.request({ op: "remove", value: key }).then((was) => {
        if (was !== true && !tab.realm.dead) ledger.wrong.push(`${key}: the page that put it was told it was not there`);
      });
    }
    world.later(tab.realm, world.random() * 90, more);
  };
  world.happen(tab.realm, more);
}

async function accidents(seed: number, tokens: boolean): Promise<{ ledger: Ledger; disk: Disk; stuck: number; world: SimWorld }> {
  const world = new SimWorld(seed), disk = new Disk();
  const ledger: Ledger = { acknowledged: [], sent: new Set(), removed: new Map(), wrong: [] };
  const tabs: SimTab[] = [];
  let count = 0;
  const start = (): SimTab => {
    const tab = new SimTab(world, disk, { tokens, visible: world.random() < 0.5 });
    const name = `${seed}.${count++}`;
    tab.opened.then(() => write(world, tab, ledger, name), () => {});
    return tab;
  };
  for (let i = 0; i < 5; i++) tabs.push(start());
  for (let i = 0; i < 25; i++) {
    await world.run(() => false, world.time + world.random() * 250);
    const at = world.random() < 0.5 ? 0 : world.pick(tabs.length); // the oldest likely owns
    const tab = tabs[at] as SimTab;
    switch (world.pick(6)) {
      case 0: case 1: // crashed, closed without a word, reloaded; maybe in the middle of open
        world.kill(tab.realm);
        tabs.splice(at, 1);
        tabs.push(start());
        break;
      case 2: // its worker dies
        if (tab.worker !== undefined) world.kill(tab.worker);
        break;
      case 3: // into the cache, and back
        tab.tab?.sleep();
        world.freeze(tab.realm);
        world.at(world.random() * 1500, () => {
          world.thaw(tab.realm);
          world.later(tab.realm, 0, () => tab.tab?.wake());
        });
        break;
      case 4: // suspended without an event
        world.freeze(tab.realm);
        world.at(world.random() * 3000, () => world.thaw(tab.realm));
        break;
      case 5:
        world.happen(tab.realm, () => tab.tab?.see(world.random() < 0.5));
    }
  }
  await world.run(() => false, world.time + 20_000);
  // Each of those that are there can still write.
  let stuck = 0;
  for (const tab of tabs) {
    let done = false;
    if (tab.tab !== undefined) tab.request({ op: "read", value: "" }).then(() => done = true, () => {});
    if (!await world.run(() => done, world.time + 20_000)) stuck++;
  }
  return { ledger, disk, stuck, world };
}

test(`J01 J21 in ${WORLDS} worlds of deaths, freezes and delays nothing is lost, doubled or stuck`, async () => {
  let acknowledged = 0, opens = 0;
  for (let seed = SEED; seed < SEED + WORLDS; seed++) {
    const { ledger, disk, stuck } = await accidents(seed, true);
    const found = new Set(disk.list);
    assert.deepEqual(ledger.wrong, [], `seed ${seed}`);
    assert.equal(found.size, disk.list.length, `seed ${seed}: done twice`);
    assert.deepEqual(ledger.acknowledged.filter((value) => !found.has(value)), [], `seed ${seed}: lost`);
    assert.equal(new Set(ledger.acknowledged).size, ledger.acknowledged.length, `seed ${seed}: answered twice`);
    assert.equal(stuck, 0, `seed ${seed}: stuck`);
    acknowledged += ledger.acknowledged.length;
    opens += disk.opens;
  }
  assert.ok(acknowledged > 50 * WORLDS && opens > 5 * WORLDS, `${acknowledged} acknowledged by ${opens} owners`);
});

test("J01 without tokens the same accidents do things twice: the ledger can tell", async () => {
  let doubled = 0;
  for (let seed = SEED; seed < SEED + 3; seed++) {
    const { ledger, disk } = await accidents(seed, false);
    doubled += disk.list.length - new Set(disk.list).size + ledger.wrong.length;
  }
  assert.ok(doubled > 0);
});

const codeOf = (tab: SimTab): unknown => (tab.failed as { code?: unknown } | undefined)?.code;

test("J01 J21 an owner that is suspended without a word: open is BUSY after ten seconds, writes wait, and go on when it wakes", async () => {
  const world = new SimWorld(SEED), disk = new Disk();
  const owner = new SimTab(world, disk);
  assert.ok(await world.run(() => owner.tab !== undefined, 5000));
  const follower = new SimTab(world, disk);
  assert.ok(await world.run(() => follower.tab !== undefined, world.time + 5000));
  world.freeze(owner.realm);
  const done: unknown[] = [];
  void follower.request({ op: "append", value: "a" }).then((at) => done.push(at));
  const late = new SimTab(world, disk, { timeoutMs: 10_000 }), began = world.time;
  assert.ok(await world.run(() => late.failed !== undefined, world.time + 20_000));
  assert.equal(codeOf(late), "BUSY");
  assert.match(String((late.failed as Error).message), /another tab.*suspended/);
  assert.ok(world.time - began <= 10_001);
  assert.deepEqual(done, []);
  world.thaw(owner.realm);
  assert.ok(await world.run(() => done.length === 1, world.time + 5000));
  assert.deepEqual([disk.list, disk.opens], [["a"], 1]);
});

test("J21 an owner that slept through the election of another one is not heard any more", async () => {
  const world = new SimWorld(SEED + 1), disk = new Disk();
  const tabs = [new SimTab(world, disk), new SimTab(world, disk), new SimTab(world, disk)];
  assert.ok(await world.run(() => tabs.every((tab) => tab.tab !== undefined), 10_000));
  const owner = tabs.find((tab) => tab.tab?.role === "owner") as SimTab, other = tabs.find((tab) => tab !== owner) as SimTab;
  let slow: unknown;
  void owner.request({ op: "append", value: "of the owner" }).then((at) => slow = at);
  owner.tab?.sleep(); // told of it: the worker ends, the request may be on its way, or done
  world.freeze(owner.realm);
  let quick: unknown;
  void other.request({ op: "append", value: "of a follower" }).then((at) => quick = at);
  assert.ok(await world.run(() => quick !== undefined, world.time + 5000));
  world.thaw(owner.realm);
  owner.tab?.wake();
  assert.ok(await world.run(() => slow !== undefined, world.time + 5000));
  assert.equal(owner.tab?.role, "follower");
  assert.deepEqual([...disk.list].sort(), ["of a follower", "of the owner"]);
  assert.ok((owner.tab?.epoch ?? 0) === disk.epoch && disk.epoch > 1);
});

test("J01 who cannot open files only follows, and says so when there is nobody to follow", async () => {
  const world = new SimWorld(SEED + 2), disk = new Disk();
  const alone = new SimTab(world, disk, { owns: false, timeoutMs: 10_000 });
  assert.ok(await world.run(() => alone.failed !== undefined, 20_000));
  assert.equal(codeOf(alone), "UNSUPPORTED");
  const shared = new SimTab(world, disk, { owns: false }), tab = new SimTab(world, disk);
  assert.ok(await world.run(() => shared.tab !== undefined && tab.tab !== undefined, world.time + 5000));
  let done: unknown;
  void shared.request({ op: "append", value: "x" }).then((at) => done = at);
  assert.ok(await world.run(() => done === 1, world.time + 5000));
  assert.deepEqual([shared.tab?.role, tab.tab?.role], ["follower", "owner"]);
});

test("J01 the files go to the tab that is looked at", async () => {
  const world = new SimWorld(SEED + 3), disk = new Disk();
  const hidden = new SimTab(world, disk, { visible: false });
  assert.ok(await world.run(() => hidden.tab !== undefined, 5000));
  const others = [false, false, true].map((visible) => new SimTab(world, disk, { visible }));
  assert.ok(await world.run(() => others.every((tab) => tab.tab !== undefined), world.time + 10_000));
  let n = 0;
  for (const tab of [hidden, ...others]) void tab.request({ op: "append", value: String(n++) });
  assert.ok(await world.run(() => others[2]?.tab?.role === "owner", world.time + 20_000));
  assert.ok(await world.run(() => disk.list.length === n, world.time + 5000));
  assert.equal(new Set(disk.list).size, n);
});

test("J01 a closed tab gives the files back, and what it was asked before is done", async () => {
  const world = new SimWorld(SEED + 4), disk = new Disk();
  const a = new SimTab(world, disk), b = new SimTab(world, disk);
  assert.ok(await world.run(() => a.tab !== undefined && b.tab !== undefined, 10_000));
  const [owner, follower] = a.tab?.role === "owner" ? [a, b] : [b, a];
  const answers: unknown[] = [];
  for (const tab of [owner, follower]) void tab.request({ op: "append", value: tab === owner ? "o" : "f" }).then((at) => answers.push(at));
  let closed = 0;
  void owner.tab?.close().then(() => closed++);
  assert.ok(await world.run(() => closed === 1 && answers.length === 2, world.time + 10_000));
  assert.ok(await world.run(() => follower.tab?.role === "owner", world.time + 5000));
  await assert.rejects(owner.request({ op: "read", value: "" }), { code: "CLOSED" });
  void follower.tab?.close().then(() => closed++);
  assert.ok(await world.run(() => closed === 2, world.time + 10_000));
  assert.equal(disk.holder, undefined);
  assert.deepEqual([...disk.list].sort(), ["f", "o"]);
});
