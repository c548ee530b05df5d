// npm memcached, in text, on one connection: node memcached.js PORT work|denied
'use strict';
const { promisify } = require('util');
const Memcached = require('memcached');

const client = new Memcached(`127.0.0.1:${process.argv[2]}`, { poolSize: 1, timeout: 30000, retries: 0, failures: 100, idle: 60000 });
const call = (name, ...args) => promisify(client[name]).apply(client, args);
const shown = (promise) => promise.then((value) => value === undefined ? null : value, (error) => `Error: ${error.message || error}`);
const keys = (count) => Array.from({ length: count }, (_, number) => `open/${number}`);

async function work() {
  const did = {};
  await call('flush');
  did.set = await call('set', 'open/a', 1, 0);
  did['add what is there'] = await shown(call('add', 'open/a', 2, 0));
  did.replace = await call('replace', 'open/a', 10, 0);
  did.incr = await call('incr', 'open/a', 5);
  did.decr = await call('decr', 'open/a', 1);
  await call('set', 'open/b', 'mid', 0);
  await call('append', 'open/b', '>');
  await call('prepend', 'open/b', '<');
  did['append, prepend'] = await call('get', 'open/b');
  did.miss = await shown(call('get', 'open/nothing'));
  const { cas } = await call('gets', 'open/b');
  did.cas = await call('cas', 'open/b', 'swapped', cas, 0);
  did['cas again'] = await shown(call('cas', 'open/b', 'lost', cas, 0));
  did.touch = await call('touch', 'open/b', 100);
  did.delete = await call('del', 'open/b');
  did['delete again'] = await call('del', 'open/b');
  const large = 'x'.repeat(1 << 20);
  await call('set', 'open/large', large, 0);
  did['1 MiB'] = (await call('get', 'open/large')) === large;
  // Nobody waits here before the next is sent.
  await Promise.all(keys(200).map((key) => call('set', key, key, 0)));
  did['200 pipelined'] = (await Promise.all(keys(200).map((key) => call('get', key)))).every((value, number) => value === `open/${number}`);
  did['10,000 keys'] = Object.keys(await call('getMulti', keys(10000))).length;
  did.stats = (await call('stats'))[0].curr_items;
  did.version = (await call('version'))[0].version;
  did.flush_all = (await call('flush'))[0];
  did['after flush_all'] = await shown(call('get', 'open/large'));
  return did;
}

async function denied() {
  await call('set', 'open/a', 1, 0);
  return {
    get: await shown(call('get', 'secret/a')),
    'get one of two': await shown(call('getMulti', ['open/a', 'secret/a'])),
    set: await shown(call('set', 'secret/a', 2, 0)),
    incr: await shown(call('incr', 'secret/a', 1)),
    delete: await shown(call('del', 'secret/a')),
    'one of three in flight': await Promise.all(['open/a', 'secret/a', 'open/a'].map((key) => shown(call('get', key)))),
    then: await shown(call('get', 'open/a')),
  };
}

({ work, denied })[process.argv[3]]().then((did) => {
  console.log(JSON.stringify(did));
  client.end();
}, (error) => {
  console.error(error);
  process.exit(1);
});
