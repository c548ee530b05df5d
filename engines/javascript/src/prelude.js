// Runs before each rule file, in its context: closes what a rule must not have, and gives what it may use.
//
// The engine asks for the time between the steps of a script, not within its own functions. Those that go through lists and
// texts are therefore replaced by ones that count what they go through and ask as well, and that refuse what would take
// them hours: lists with nothing in them but a length, texts searched for in texts of the same size.
(function (tick, log, read) {
'use strict';

const MAX_LIST = 1 << 21;
const MAX_SEARCH = 2 ** 27;
const MAX_PATTERN = 2048;
const MAX_COMPOSED = 4096;
const MAX_DEPTH = 64;
const STRIDE = 1 << 16;

const { apply, construct, ownKeys, getOwnPropertyDescriptor, defineProperty, getPrototypeOf } = Reflect;
const { isArray } = Array;
const { parse, stringify } = JSON;
const Regex = RegExp;
const Watched = Proxy;
const { push, slice } = Array.prototype;
const { slice: cut, toWellFormed } = String.prototype;
const isRegex = (value) => {
  if (typeof value !== 'object' || value === null) return false;
  try {
    apply(sourceOf, value, []);
    return true;
  } catch {
    return false;
  }
};
const sourceOf = getOwnPropertyDescriptor(Regex.prototype, 'source').get;
const ofRegex = {
  match: Regex.prototype[Symbol.match],
  matchAll: Regex.prototype[Symbol.matchAll],
  replace: Regex.prototype[Symbol.replace],
  replaceAll: Regex.prototype[Symbol.replace],
  search: Regex.prototype[Symbol.search],
  split: Regex.prototype[Symbol.split],
};
const flagsOf = getOwnPropertyDescriptor(Regex.prototype, 'flags').get;

let spent = 0;
const charge = (cost) => {
  spent += cost;
  if (!(spent < STRIDE)) {
    spent = 0;
    tick();
  }
};

const put = (owner, key, value) => defineProperty(owner, key, { value, writable: true, configurable: true, enumerable: false });
const nameOf = (key) => (typeof key === 'symbol' ? 'a symbol' : key);
const native = (owner, key) => getOwnPropertyDescriptor(owner, key)?.value;

// Puts `make(native, key)` in the place of each function of `owner`.
const replace = (owner, keys, make) => {
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i];
    const was = native(owner, key);
    if (typeof was !== 'function') continue;
    const is = make(was, key);
    defineProperty(is, 'name', { value: nameOf(key), configurable: true });
    put(owner, key, is);
  }
};
const keysBut = (owner, skipped) => {
  const keys = ownKeys(owner);
  const left = [];
  for (let i = 0; i < keys.length; i++) {
    if (!skipped.includes(keys[i])) apply(push, left, [keys[i]]);
  }
  return left;
};

// What is looked for in a list with gaps is looked for in all that the list inherits from, gap by gap.
const checkDepth = (value, key) => {
  let depth = 0;
  while (typeof value === 'object' && value !== null) {
    if (depth++ > MAX_DEPTH) throw new RangeError(`too much is inherited for \`${nameOf(key)}\``);
    value = getPrototypeOf(value);
  }
};

// Lists.
const weigh = (list, key) => {
  if (!isArray(list)) throw new TypeError(`\`${nameOf(key)}\` is for lists alone`);
  if (getPrototypeOf(list) !== lists) checkDepth(list, key);
  if (list.length > MAX_LIST) throw new RangeError(`the list is too long for \`${nameOf(key)}\``);
  charge(list.length + 1);
};
const spread = (into, item, depth, key) => {
  if (depth < 0 || !isArray(item)) return apply(push, into, [item]);
  weigh(item, key);
  for (let i = 0; i < item.length; i++) {
    if (i in item) spread(into, item[i], depth - 1, key);
  }
};
const lists = Array.prototype;
// The same text may be in a list a million times, and be compared or hashed as often.
const weighTexts = (list, key) => {
  weigh(list, key);
  let sum = 0;
  for (let i = 0; i < list.length; i++) {
    let item = list[i];
    if (typeof item === 'object' && item !== null) item = item[0];
    if (typeof item === 'string') sum += item.length;
  }
  if (sum > MAX_SEARCH) throw new RangeError(`the texts are too long for \`${nameOf(key)}\``);
  charge(sum / 16);
};
const weighResult = (result) => {
  if (typeof result === 'string') charge(result.length / 4);
  return result;
};
const compared = ['indexOf', 'lastIndexOf', 'includes'];
const sorted = ['sort', 'toSorted'];
replace(
  lists,
  keysBut(lists, ['constructor', 'entries', 'keys', 'values', 'push', 'pop', 'at', Symbol.iterator, ...compared, ...sorted]),
  (was, key) => ({ is(...args) { weigh(this, key); return weighResult(apply(was, this, args)); } }).is,
);
replace(lists, compared, (was, key) => ({ is(...args) {
  weigh(this, key);
  if (typeof args[0] === 'string') {
    const steps = this.length * args[0].length;
    if (steps > MAX_SEARCH) throw new RangeError(`the text is too long for \`${key}\``);
    charge(steps / 16);
  }
  return apply(was, this, args);
} }).is);
replace(lists, sorted, (was, key) => ({ is(...args) {
  if (args[0] === undefined) weighTexts(this, key);
  else weigh(this, key);
  return apply(was, this, args);
} }).is);
put(lists, 'concat', { concat(...items) {
  weigh(this, 'concat');
  const all = [];
  spread(all, this, 0, 'concat');
  for (let i = 0; i < items.length; i++) spread(all, items[i], 0, 'concat');
  return all;
} }.concat);
put(lists, 'flat', { flat(depth = 1) {
  weigh(this, 'flat');
  const all = [];
  spread(all, this, +depth, 'flat');
  return all;
} }.flat);
put(lists, 'flatMap', { flatMap(map, self) {
  weigh(this, 'flatMap');
  const all = [];
  for (let i = 0; i < this.length; i++) {
    if (i in this) spread(all, apply(map, self, [this[i], i, this]), 0, 'flatMap');
  }
  return all;
} }.flatMap);
delete Array.fromAsync;

// Texts.
const texts = String.prototype;
const textOf = (self) => {
  if (typeof self === 'string') return self;
  if (self === undefined || self === null) throw new TypeError('there is no text');
  return `${self}`;
};
const weighText = (self) => {
  const text = textOf(self);
  charge(text.length / 4 + 1);
  return text;
};
const searched = ['indexOf', 'lastIndexOf', 'includes', 'split', 'replace', 'replaceAll'];
const matched = ['match', 'matchAll', 'search'];
const composed = ['normalize', 'localeCompare'];
const cheap = ['constructor', 'toString', 'valueOf', 'at', 'charAt', 'charCodeAt', 'codePointAt', Symbol.iterator];
replace(texts, keysBut(texts, [...searched, ...matched, ...composed, ...cheap]), (was) => (
  { is(...args) { return weighResult(apply(was, weighText(this), args)); } }
).is);
replace(texts, searched, (was, key) => ({ is(...args) {
  const text = weighText(this);
  if (isRegex(args[0])) {
    if (!(key in ofRegex)) throw new TypeError(`\`${key}\` searches for text, not for a regex`);
    if (key === 'replaceAll' && !apply(flagsOf, args[0], []).includes('g')) throw new TypeError('`replaceAll` with a regex needs its flag `g`');
    return apply(ofRegex[key], args[0], [text, args[1]]);
  }
  if (key !== 'split' || args[0] !== undefined) {
    const part = `${args[0]}`;
    const steps = text.length * part.length;
    if (steps > MAX_SEARCH) throw new RangeError('the texts are too long to search one for the other');
    charge(steps / 16);
    args[0] = part;
  }
  return weighResult(apply(was, text, args));
} }).is);
replace(texts, matched, (was, key) => ({ is(pattern) {
  const text = weighText(this);
  if (!isRegex(pattern)) pattern = new Pattern(pattern, key === 'matchAll' ? 'g' : '');
  else if (key === 'matchAll' && !apply(flagsOf, pattern, []).includes('g')) throw new TypeError('`matchAll` needs the flag `g`');
  return apply(ofRegex[key], pattern, [text]);
} }).is);
replace(texts, composed, (was, key) => ({ is(...args) {
  const text = weighText(this);
  if (args[0] !== undefined) args[0] = `${args[0]}`;
  if (text.length > MAX_COMPOSED || args[0]?.length > MAX_COMPOSED) throw new RangeError(`the text is too long for \`${key}\``);
  return apply(was, text, args);
} }).is);
replace(String, ['raw'], (was) => ({ is(template, ...args) {
  const raw = template?.raw;
  weigh(raw, 'raw');
  return apply(was, String, [{ raw }, ...args]);
} }).is);

// Regexes.
const Pattern = function RegExp(pattern, flags) {
  tick();
  if (!isRegex(pattern)) {
    pattern = pattern === undefined ? '' : `${pattern}`;
    if (pattern.length > MAX_PATTERN) throw new RangeError('the regex is too long');
  } else {
    if (flags === undefined) flags = apply(flagsOf, pattern, []);
    pattern = apply(sourceOf, pattern, []);
  }
  return construct(Regex, [pattern, flags], new.target ?? Pattern);
};
defineProperty(Pattern, 'prototype', { value: Regex.prototype, writable: false });
if (Regex.escape) put(Pattern, 'escape', Regex.escape);
put(Regex.prototype, 'constructor', Pattern);
put(globalThis, 'RegExp', Pattern);
delete Regex.prototype.compile;

// Maps of the language itself, and JSON: they are as long as what they are given.
const ticking = (was) => ({ is(...args) { tick(); return apply(was, this, args); } }).is;
replace(Object, keysBut(Object, ['prototype', 'is', 'hasOwn', 'getPrototypeOf', 'setPrototypeOf', 'defineProperty', 'getOwnPropertyDescriptor']), ticking);
replace(Object, ['assign'], (was, key) => ({ is(target, ...from) {
  checkDepth(target, key);
  return apply(was, Object, [target, ...from]);
} }).is);
replace(Object, ['fromEntries'], (was, key) => ({ is(items) {
  if (isArray(items)) weighTexts(items, key);
  return apply(was, Object, [items]);
} }).is);
replace(Reflect, ['ownKeys'], ticking);
const applying = (was, key) => ({ is(...args) {
  tick();
  checkDepth(args[1], key);
  return apply(was, this, args);
} }).is;
replace(Reflect, ['apply', 'construct'], (was, key) => ({ is(...args) {
  tick();
  checkDepth(args[key === 'apply' ? 2 : 1], key);
  return apply(was, Reflect, args);
} }).is);
replace(Function.prototype, ['apply'], applying);
replace(Array, ['from', 'of'], ticking);
replace(Map, ['groupBy'], ticking);
// What a script makes itself may say that it is a set, and have no end.
const kept = [Set, Map].map(({ prototype }) => ({
  size: getOwnPropertyDescriptor(prototype, 'size').get,
  has: prototype.has,
  keys: prototype.keys,
}));
const asSet = (value, key) => {
  for (let i = 0; i < kept.length; i++) {
    const { size, has, keys } = kept[i];
    let known;
    try {
      known = apply(size, value, []);
    } catch {
      continue;
    }
    charge(known + 1);
    return { __proto__: null, size: known, has: (item) => apply(has, value, [item]), keys: () => apply(keys, value, []) };
  }
  throw new TypeError(`\`${key}\` needs a set`);
};
replace(
  Set.prototype,
  ['union', 'intersection', 'difference', 'symmetricDifference', 'isSubsetOf', 'isSupersetOf', 'isDisjointFrom'],
  (was, key) => ({ is(other) { return apply(was, this, [asSet(other, key)]); } }).is,
);
replace(Iterator.prototype, ['drop'], (was) => ({ is(limit) {
  limit = +limit;
  if (limit > MAX_LIST) throw new RangeError('the list is too long for `drop`');
  charge(limit > 0 ? limit : 1);
  return apply(was, this, [limit]);
} }).is);
const reading = ['parseInt', 'parseFloat', 'encodeURI', 'encodeURIComponent', 'decodeURI', 'decodeURIComponent', 'escape', 'unescape'];
replace(globalThis, reading, (was) => ({ is(text, base) {
  text = `${text}`;
  charge(text.length + 1);
  return apply(was, undefined, [text, base]);
} }).is);
replace(JSON, ['parse'], (was) => ({ is(...args) { tick(); return apply(was, JSON, args); } }).is);
// The same map may be written a million times, and nothing of it: with a function the engine asks for the time on the way.
const write = (value, given, indent) => {
  tick();
  if (isArray(given)) throw new TypeError('`stringify` takes no list of keys: give it a function');
  return apply(stringify, JSON, [value, typeof given === 'function' ? given : (_, part) => part, indent]);
};
replace(JSON, ['stringify'], () => ({ is(value, given, indent) { return write(value, given, indent); } }).is);
// A key is read whole each time. What makes sets and maps of lists adds by these as well.
for (const { prototype } of [Map, Set]) {
  replace(prototype, ['get', 'has', 'set', 'add', 'delete', 'getOrInsert', 'getOrInsertComputed'], (was) => ({ is(...args) {
    if (typeof args[0] === 'string') charge(args[0].length / 4);
    return apply(was, this, args);
  } }).is);
}
for (const [name, Was] of [['Map', Map], ['Set', Set], ['WeakMap', WeakMap], ['WeakSet', WeakSet]]) {
  const Is = { [name]: function (items) {
    if (!new.target) throw new TypeError(`\`${name}\` needs \`new\``);
    if (isArray(items)) weighTexts(items, name);
    return construct(Was, [items], new.target);
  } }[name];
  defineProperty(Is, 'prototype', { value: Was.prototype, writable: false });
  if (Was.groupBy) put(Is, 'groupBy', Was.groupBy);
  put(Was.prototype, 'constructor', Is);
  put(globalThis, name, Is);
}

// Code from text, and ways to the functions above as they were.
const Code = function Function() { throw new TypeError('code from text is not run here'); };
Code.prototype = Function.prototype;
for (const made of [function () {}, function* () {}, async function () {}, async function* () {}]) {
  defineProperty(getPrototypeOf(made), 'constructor', { value: Code, writable: true, configurable: true });
}
put(globalThis, 'Function', Code);
for (const name of ['eval', 'BigInt', 'Proxy']) delete globalThis[name];
delete Error.prepareStackTrace;
delete Error.captureStackTrace;
// What is set there would be kept.
delete Error.stackTraceLimit;
// One review is judged like the next.
delete Math.random;

// What a rule may use.
const shown = (value) => {
  if (typeof value === 'string') return value;
  if (value instanceof Data) return value.toString();
  if (typeof value === 'object' && value !== null) return `${write(value)}`;
  return typeof value === 'symbol' ? 'a symbol' : `${value}`;
};
const print = (...values) => {
  let line = '';
  for (let i = 0; i < values.length && line.length < 512; i++) line += (i ? ' ' : '') + shown(values[i]);
  log(apply(toWellFormed, apply(cut, line, [0, 512]), []));
};
const console = { log: print, info: print, warn: print, error: print, debug: print };

class Data {
  #text;
  constructor(text = '') { this.#text = text instanceof Data ? text.#text : `${text}`; }
  get size() { return this.#text.length; }
  toString() { return this.#text; }
}
class Message {
  #body;
  constructor(head, body) {
    if (body === undefined && (typeof head === 'string' || head instanceof Data)) [head, body] = [{}, head];
    this.head = head ?? {};
    this.body = body;
  }
  get body() { return this.#body; }
  set body(body) { this.#body = body === undefined || body === null ? new Data() : new Data(body); }
}
put(JSON, 'decode', { decode(data) { return apply(parse, JSON, [`${data}`]); } }.decode);
put(JSON, 'encode', { encode(value) { return new Data(write(value)); } }.encode);
const os = { readFile(path) { return new Data(read(`${path}`)); } };

const warnings = [];
let app;
// The chain of a Pipy script. What connects it to the network is Envoy's.
const pipy = (variables = {}) => {
  if (app) throw new TypeError('`pipy` may be called once');
  app = [];
  for (const key of ownKeys(variables)) {
    if (key in globalThis) throw new TypeError(`the variable \`${nameOf(key)}\` is there already`);
    globalThis[key] = variables[key];
  }
  const filter = (apply_) => {
    if (typeof apply_ !== 'function') throw new TypeError('a filter needs a function');
    apply(push, app, [apply_]);
    return chain;
  };
  const same = () => chain;
  const steps = {
    __proto__: null,
    listen(port) {
      apply(push, warnings, [`\`listen(${+port})\`: Envoy listens, and has the certificates; its port and options are not used`]);
      return chain;
    },
    decodeHttpRequest: same,
    decodeHTTPRequest: same,
    encodeHttpResponse: same,
    encodeHTTPResponse: same,
    replaceMessage: (map) => filter((message) => {
      const made = map(message);
      if (!(made instanceof Message)) throw new TypeError('`replaceMessage` must give a `Message`');
      return made;
    }),
    handleMessage: (handle) => filter((message) => {
      handle(message);
      return message;
    }),
    replaceMessageBody: (map) => filter((message) => new Message(message.head, map(message.body))),
  };
  const chain = new Watched({}, {
    get(_, key) {
      if (!(key in steps)) throw new TypeError(`\`${nameOf(key)}\` of Pipy is not there`);
      return steps[key];
    },
  });
  return chain;
};

// What else Pipy has there is named where it is asked for, and is not taken for something that is empty.
for (const [name, owner, missing] of [
  ['os', os, ['env', 'list', 'path', 'readDir', 'stat', 'unlink', 'writeFile']],
  ['pipy', pipy, ['exec', 'exit', 'fork', 'list', 'load', 'restart', 'solve', 'thread', 'watch']],
]) {
  for (const key of missing) {
    defineProperty(owner, key, { get() { throw new TypeError(`\`${name}.${key}\` of Pipy is not there`); }, configurable: true });
  }
}
for (const [name, value] of [['console', console], ['Data', Data], ['Message', Message], ['os', os], ['pipy', pipy]]) {
  put(globalThis, name, value);
}

// What is new for each run of the script.
let module;
const begin = () => {
  spent = 0;
  app = undefined;
  warnings.length = 0;
  module = { exports: {} };
  put(globalThis, 'module', module);
  put(globalThis, 'exports', module.exports);
};
begin();

// Which function judges: `given` are the ways in which the file may have named it.
const find = (...given) => {
  apply(push, given, [module.exports, module.exports?.validate]);
  let validate;
  for (let i = 0; i < given.length; i++) {
    const one = typeof given[i] === 'object' ? given[i]?.validate : given[i];
    if (typeof one === 'function') {
      validate = one;
      break;
    }
  }
  if (!app) return validate && [false, validate];
  if (validate) throw new TypeError('there is both `pipy` and `validate`: which of them judges?');
  return [true, (text) => {
    const headers = { 'content-type': 'application/json' };
    let message = new Message({ method: 'POST', path: '/', protocol: 'HTTP/1.1', headers }, text);
    for (let i = 0; i < app.length; i++) message = app[i](message);
    return [+(message.head?.status ?? 200), message.body.toString()];
  }];
};
return { begin, find, write, warnings: () => warnings.join('\n') };
})
