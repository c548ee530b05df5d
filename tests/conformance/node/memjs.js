// npm memjs, in binary, on one connection: node memjs.js PORT work|denied
'use strict';
const memjs = require('memjs');

const client = memjs.Client.create(`127.0.0.1:${process.argv[2]}`, { timeout: 30, conntimeout: 30, retries: 0, logger: { log() {} } });
const shown = (promise) => promise.then((value) => value, (error) => `Error: ${error.message || error}`);
const text = async (promise) => { const { value } = await promise; return value && value.toString(); };
const keys = (count) => Array.from({ length: count }, (_, number) => `open/${number}`);

function stats() {
  return new Promise((resolve, reject) => client.stats((error, _, told) => error ? reject(error) : resolve(told)));
}

async function work() {
  const did = {};
  await client.flush();
  did.set = await client.set('open/a', '1', {});
  did['add what is there'] = await shown(client.add('open/a', '2', {}));
  did.replace = await client.replace('open/a', '10', {});
  did.incr = (await client.increment('open/a', 5, {})).value;
  did.decr = (await client.decrement('open/a', 1, {})).value;
  await client.append('open/a', '>');
  await client.prepend('open/a', '<');
  did['append, prepend'] = await text(client.get('open/a'));
  did.miss = await text(client.get('open/nothing'));
  did.touch = await client.touch('open/a', 100);
  did.delete = await client.delete('open/a');
  did['delete again'] = await client.delete('open/a');
  const large = Buffer.alloc(1 << 20, 'x');
  await client.set('open/large', large, {});
  did['1 MiB'] = (await client.get('open/large')).value.equals(large);
  // Nobody waits here before the next is sent.
  await Promise.all(keys(200).map((key) => client.set(key, key, {})));
  did['200 pipelined'] = (await Promise.all(keys(200).map((key) => text(client.get(key))))).every((value, number) => value === `open/${number}`);
  // It has no get of many keys: 10,000 gets then.
  did['10,000 keys'] = (await Promise.all(keys(10000).map((key) => text(client.get(key))))).filter((value) => value !== null).length;
  const told = await stats();
  did.stats = told.curr_items;
  did.version = told.version;
  did.flush_all = Object.values(await client.flush())[0];
  did['after flush_all'] = await text(client.get('open/large'));
  return did;
}

async function denied() {
  await client.set('open/a', '1', {});
  return {
    get: await shown(text(client.get('secret/a'))),
    set: await shown(client.set('secret/a', '2', {})),
    incr: await shown(client.increment('secret/a', 1, {})),
    delete: await shown(client.delete('secret/a')),
    'one of three in flight': await Promise.all(['open/a', 'secret/a', 'open/a'].map((key) => shown(text(client.get(key))))),
    then: await shown(text(client.get('open/a'))),
  };
}

({ work, denied })[process.argv[3]]().then((did) => {
  console.log(JSON.stringify(did));
  client.close();
}, (error) => {
  console.error(error);
  process.exit(1);
});
