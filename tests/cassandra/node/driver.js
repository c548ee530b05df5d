// What the npm driver does: `node driver.js PORT work|outpost KEYSPACE` prints one JSON object.
'use strict';
const { Client, types } = require('cassandra-driver');

const [port, what, keyspace] = process.argv.slice(2);
const CANARY = 'canary7c4';
const INSERT = 'INSERT INTO attendance.daily_records (creation, trooper, present) VALUES (now(), ?, ?)';

function connect(more = {}) {
  return new Client({
    contactPoints: [`127.0.0.1:${port}`], localDataCenter: 'datacenter1',
    socketOptions: { readTimeout: 60000, connectTimeout: 30000 }, refreshSchemaDelay: 50, ...more,
  });
}

async function shown(promise) {
  try {
    const result = await promise;
    return result === undefined || result instanceof types.ResultSet ? 'ok' : result;
  } catch (error) {
    return error.code === types.responseErrorCodes.unauthorized ? 'Unauthorized' : `${error.name} ${error.code ?? ''} ${error.message}`;
  }
}

async function work(client) {
  const told = { protocol: client.controlConnection.protocolVersion };
  const table = `${keyspace}.t`;
  await client.execute(`CREATE KEYSPACE ${keyspace} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`);
  await client.execute(`CREATE TABLE ${table} (id int PRIMARY KEY, name text)`);
  told.metadata = (await client.metadata.getTable(keyspace, 't')).columns.map(column => column.name);

  await client.execute(`INSERT INTO ${table} (id, name) VALUES (1, 'one')`);
  await client.execute(`INSERT INTO ${table} (id, name) VALUES (?, ?)`, [2, CANARY], { prepare: true });
  const rows = await client.execute(`SELECT name FROM ${table} WHERE id = ?`, [2], { prepare: true });
  told.prepared = rows.first().name;

  const insert = `INSERT INTO ${table} (id, name) VALUES (?, ?)`;
  await client.batch([{ query: insert, params: [3, null] }, { query: insert, params: [4, 'four'] }], { prepare: true });
  await client.batch([{ query: insert, params: [5, 'five'] }, `DELETE FROM ${table} WHERE id = 1`], { hints: [['int', 'text']] });
  told.batches = (await client.execute(`SELECT id, name FROM ${table}`)).rows.map(row => [row.id, row.name]).sort((a, b) => a[0] - b[0]);

  const wanted = Array.from({ length: 500 }, (_, number) => client.execute(insert, [100 + number, CANARY], { prepare: true }));
  told.concurrent = (await Promise.all(wanted)).length;
  let pages = 0, seen = 0;
  for await (const row of client.stream(`SELECT * FROM ${table}`, [], { prepare: true, autoPage: true, fetchSize: 60 })) seen += row ? 1 : 0;
  let state = null;
  do {
    const page = await client.execute(`SELECT * FROM ${table}`, [], { prepare: true, fetchSize: 60, pageState: state });
    state = page.pageState, pages += 1;
  } while (state);
  told.paging = [seen, pages];

  const large = 'x'.repeat(3 << 20);
  await client.execute(insert, [9, large], { prepare: true });
  told.large = (await client.execute(`SELECT name FROM ${table} WHERE id = 9`)).first().name === large;

  const inside = connect({ keyspace });
  await inside.connect();
  await inside.execute('INSERT INTO t (id, name) VALUES (10, \'inside\')');
  told.use = (await inside.execute('SELECT name FROM t WHERE id = 10', [], { prepare: true })).first().name;
  await inside.shutdown();

  told.lwt = (await client.execute(`INSERT INTO ${table} (id) VALUES (10) IF NOT EXISTS`)).wasApplied();
  const traced = await client.execute(`SELECT * FROM ${table} WHERE id = 10`, [], { traceQuery: true, customPayload: { who: Buffer.from(CANARY) } });
  told.traced = traced.info.traceId !== undefined;
  told.syntax = await shown(client.execute(`SELECT nothing at all ${table}`)).then(text => text.split(' ').slice(0, 2).join(' '));
  await client.execute(`DROP KEYSPACE ${keyspace}`);
  return told;
}

async function outpost(client) {
  const some = Array.from({ length: 200 }, (_, number) => shown(number % 2
    ? client.execute(INSERT, [CANARY, true], { prepare: true })
    : client.execute('SELECT * FROM attendance.daily_records')));
  return {
    insert: await shown(client.execute(`INSERT INTO attendance.daily_records (creation, trooper) VALUES (now(), '${CANARY}')`)),
    'prepared insert': await shown(client.execute(INSERT, [CANARY, true], { prepare: true })),
    select: await shown(client.execute('SELECT * FROM attendance.daily_records')),
    'prepared select': await shown(client.execute('SELECT * FROM attendance.daily_records', [], { prepare: true })),
    'another keyspace': await shown(client.execute('SELECT * FROM deathstar.plans')),
    'batch': await shown(client.batch([{ query: INSERT, params: [CANARY, true] }, { query: INSERT, params: [null, null] }], { prepare: true })),
    'batch with a delete': await shown(client.batch([INSERT.replace('?, ?', `'${CANARY}', true`), 'DELETE FROM deathstar.plans WHERE id = 1'])),
    drop: await shown(client.execute('DROP TABLE attendance.daily_records')),
    'in flight': (await Promise.all(some)).reduce((counts, text) => ({ ...counts, [text]: (counts[text] ?? 0) + 1 }), {}),
    then: await shown(client.execute(INSERT, [CANARY, true], { prepare: true })),
  };
}

async function main() {
  const client = connect();
  await client.connect();
  const told = await { work, outpost }[what](client);
  await client.shutdown();
  console.log(JSON.stringify(told));
}

main().catch(error => { console.error(error); process.exit(1); });
