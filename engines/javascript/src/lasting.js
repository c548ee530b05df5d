// Makes an engine last for more than one review: nothing that one review does may be seen by the next.
//
// The script is a function that is run anew for each review, so that all it makes is new. What is there before it, from
// `Object.prototype` to what the prelude gives, is found by going from one object to the next, and frozen. What must stay open is
// put back: the global object, and the prototypes of maps and errors, for there `it.name = ...` would be refused on all that
// inherits from them.
(function (prelude) {
'use strict';

const MAX_GLOBALS = 256;

const { begin, find } = prelude;

const { apply, ownKeys, getOwnPropertyDescriptor, defineProperty, deleteProperty, getPrototypeOf, isExtensible, preventExtensions } = Reflect;
const { is } = Object;
const { push } = Array.prototype;
const { has, add } = Set.prototype;

const NEW = ['module', 'exports'];

// Where to begin: what no name leads to is reached from a value of its kind.
const roots = () => {
  const iterator = (value) => value[Symbol.iterator]();
  const list = [1].values();
  return [
    globalThis,
    function () {}, function* () {}, async function () {}, async function* () {}, () => {}, class {},
    (function* () {})(), (async function* () {})(),
    list, iterator(''), iterator(new Map()), iterator(new Set()), 'a'.matchAll(/a/g),
    list.map(() => 1), Iterator.from({ next() {} }), Iterator.from([1]),
    Iterator.concat?.([1]), Iterator.zip?.([[1]]), Iterator.zipKeyed?.({ a: [1] }),
    {}, [], /a/, new Error(), Symbol.iterator, 0, '', true,
    (function () { return arguments; })(), getOwnPropertyDescriptor((function () { return arguments; })(), 'callee'),
  ];
};

const isObject = (value) => (typeof value === 'object' && value !== null) || typeof value === 'function';

// All objects that are there, each with what it was like.
const entries = [];
const survey = () => {
  const seen = new Set();
  const queue = roots();
  for (let i = 0; i < queue.length; i++) {
    const object = Object(queue[i]);
    if (queue[i] === undefined || apply(has, seen, [object])) continue;
    apply(add, seen, [object]);
    const proto = getPrototypeOf(object);
    const keys = ownKeys(object);
    const made = [];
    for (let k = 0; k < keys.length; k++) {
      const property = getOwnPropertyDescriptor(object, keys[k]);
      apply(push, made, [property]);
      for (const next of [property.value, property.get, property.set]) if (isObject(next)) apply(push, queue, [next]);
    }
    if (proto !== null) apply(push, queue, [proto]);
    apply(push, entries, [{ object, proto, keys, made, extensible: isExtensible(object) }]);
  }
};

const isSame = (a, b) => is(a.value, b.value) && a.get === b.get && a.set === b.set
  && a.writable === b.writable && a.enumerable === b.enumerable && a.configurable === b.configurable;

// Whether the script has left what was there as it was. It may add globals.
const isUntouched = () => {
  for (let i = 0; i < entries.length; i++) {
    const { object, proto, keys, made, extensible } = entries[i];
    if (getPrototypeOf(object) !== proto || isExtensible(object) !== extensible) return false;
    if (object !== globalThis && ownKeys(object).length !== keys.length) return false;
    for (let k = 0; k < keys.length; k++) {
      if (object === globalThis && NEW.includes(keys[k])) continue;
      const now = getOwnPropertyDescriptor(object, keys[k]);
      if (now === undefined || !isSame(now, made[k])) return false;
    }
  }
  return true;
};

const open = [];
const known = { __proto__: null };
const settle = () => {
  if (!isUntouched()) return false;
  for (let i = 0; i < entries.length; i++) {
    const { object, proto, keys, made } = entries[i];
    const isOpen = object === Object.prototype || object === Error.prototype || proto === Error.prototype;
    for (let k = 0; k < keys.length; k++) {
      if (object === globalThis) {
        if (NEW.includes(keys[k])) continue;
        known[keys[k]] = true;
      }
      const property = { configurable: false };
      if ('value' in made[k]) {
        if (isOpen && made[k].writable) apply(push, open, [{ object, key: keys[k], value: made[k].value }]);
        else property.writable = false;
      }
      if (!defineProperty(object, keys[k], property)) return false;
    }
    if (object !== globalThis && !preventExtensions(object)) return false;
  }
  return end();
};

const start = (run) => {
  begin();
  return find(...run());
};

const globalProto = getPrototypeOf(globalThis);
// Puts back what a review may have changed. What cannot be put back is told: the engine is thrown away.
const end = () => {
  if (getPrototypeOf(globalThis) !== globalProto || !isExtensible(globalThis)) return false;
  const keys = ownKeys(globalThis);
  if (keys.length > MAX_GLOBALS) return false;
  for (let i = 0; i < keys.length; i++) {
    if (!(keys[i] in known) && !deleteProperty(globalThis, keys[i])) return false;
  }
  for (let i = 0; i < open.length; i++) {
    const { object, key, value } = open[i];
    // Throws where it was made read-only.
    object[key] = value;
  }
  begin();
  return true;
};

return { survey, settle, start, end };
})
