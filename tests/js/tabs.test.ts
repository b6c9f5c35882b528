// Many tabs and one owner, in a world told by a seed (tabs-world.ts): whatever dies, freezes or is
// late, nothing acknowledged is lost, nothing is done twice, nobody waits for ever.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Disk, SimTab, SimWorld } from "./tabs-world.ts";

const SEED = Number(process.env.TEST_SEED ?? 1);
const WORLDS = Number(process.env.TABS_WORLDS ?? 30);

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
