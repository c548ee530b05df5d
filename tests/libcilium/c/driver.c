/* Drives a proxylib library as Cilium's Envoy does, and as no host should. Written from proxylib.h alone.
 *
 *     driver LIBRARY [THREADS]
 *
 * Prints one line for each case; the exit status is the number of those that failed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxylib.h"

enum { INJECT = 1024, ROOM = 16 };

static __typeof__(&OpenModule) open_module;
static __typeof__(&CloseModule) close_module;
static __typeof__(&OnNewConnection) on_new_connection;
static __typeof__(&OnData) on_data;
static __typeof__(&Close) close_connection;

static int passed, failed;

static void check(bool ok, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("%s ", ok ? "ok    " : "FAILED");
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
  *(ok ? &passed : &failed) += 1;
}

static GoString string(const char *text) { return (GoString){.p = (const uint8_t *)text, .n = (int64_t)strlen(text)}; }

static GoSlice slice(const void *data, int64_t len) {
  return (GoSlice){.data = (uint8_t *)(uintptr_t)data, .len = len, .cap = len};
}

static uint64_t open_node(const char *node) {
  KeyValue params[] = {{string("node-id"), string(node)}};
  return open_module(slice(params, 1), 0);
}

/* One direction of a connection, as Envoy keeps it. */
struct way {
  uint8_t *buffer; /* undecided, of exactly `len` bytes so that a checker sees every byte too far */
  int64_t len, need, pass, drop;
  GoSlice inject;
  uint8_t *memory;
};

struct connection {
  uint64_t id;
  struct way ways[2];
  uint8_t *out[2]; /* to the server, to the client */
  int64_t out_len[2];
  bool closed;
};

static void append(uint8_t **to, int64_t *len, const void *from, int64_t n) {
  if (n == 0) return;
  uint8_t *grown = malloc((size_t)(*len + n));
  if (*len > 0) memcpy(grown, *to, (size_t)*len);
  memcpy(grown + *len, from, (size_t)n);
  free(*to);
  *to = grown;
  *len += n;
}

static void cut(struct way *way, int64_t n) {
  uint8_t *rest = NULL;
  int64_t len = 0;
  append(&rest, &len, way->buffer + n, way->len - n);
  free(way->buffer);
  way->buffer = rest;
  way->len = len;
}

static void reset_inject(struct way *way) { way->inject = (GoSlice){.data = way->memory, .len = 0, .cap = INJECT}; }

static FilterResult connect_to(struct connection *c, uint64_t module, uint64_t id, const char *proto) {
  memset(c, 0, sizeof *c);
  c->id = id;
  for (int i = 0; i < 2; i++) {
    c->ways[i].memory = malloc(INJECT);
    reset_inject(&c->ways[i]);
  }
  return on_new_connection(module, string(proto), id, 1, 1001, 1002, string("10.0.0.1:34567"), string("10.0.0.2:80"),
                           string("10.0.0.2"), &c->ways[0].inject, &c->ways[1].inject);
}

static void end(struct connection *c) {
  close_connection(c->id);
  for (int i = 0; i < 2; i++) {
    free(c->ways[i].buffer);
    free(c->ways[i].memory);
    free(c->out[i]);
  }
  memset(c, 0, sizeof *c);
}

/* The loop of the contract, the input in pieces of `step` bytes. Output is lost where it fails. */
static bool io(struct connection *c, int reply, const void *data, int64_t len, int64_t step, uint8_t end_stream) {
  struct way *way = &c->ways[reply];
  uint8_t *output = NULL;
  int64_t out = 0;
  bool ok = false;
  if (way->pass > len) {
    way->pass -= len;
    append(&c->out[reply], &c->out_len[reply], data, len);
    return true;
  }
  if (way->drop > len) {
    way->drop -= len;
    return true;
  }
  append(&way->buffer, &way->len, data, len);
  if (way->drop > 0) cut(way, way->drop);
  if (way->pass > 0) {
    append(&output, &out, way->buffer, way->pass);
    cut(way, way->pass);
  }
  way->drop = way->pass = 0;
  append(&output, &out, way->inject.data, way->inject.len);
  reset_inject(way);
  ok = way->len < way->need;
  for (bool again = !ok; again;) {
    way->need = 0;
    FilterOp *ops = malloc(ROOM * sizeof *ops);
    GoSlice list = {.data = (uint8_t *)ops, .len = 0, .cap = ROOM};
    int64_t pieces = (way->len + step - 1) / step;
    GoSlice *parts = malloc((size_t)(pieces + 1) * sizeof *parts);
    for (int64_t i = 0; i < pieces; i++) {
      int64_t n = i + 1 < pieces ? step : way->len - i * step;
      parts[i] = slice(way->buffer + i * step, n);
    }
    GoSlice input = slice(parts, pieces);
    FilterResult result = on_data(c->id, (uint8_t)reply, end_stream, &input, &list);
    bool last = false;
    ok = result == FILTER_RESULT_OK && list.len <= ROOM && list.cap == ROOM;
    for (int64_t i = 0; ok && i < list.len; i++) {
      int64_t n = ops[i].n_bytes, now = n < way->len ? n : way->len;
      ok = n > 0 && !last;
      if (!ok) break;
      switch (ops[i].op) {
        case FILTER_OP_TYPE_MORE:
          way->need = way->len + n;
          last = true;
          break;
        case FILTER_OP_TYPE_PASS:
          append(&output, &out, way->buffer, now);
          cut(way, now);
          way->pass = n - now;
          last = n > now;
          break;
        case FILTER_OP_TYPE_DROP:
          cut(way, now);
          way->drop = n - now;
          last = n > now;
          break;
        case FILTER_OP_TYPE_INJECT:
          ok = n <= way->inject.len;
          if (ok) {
            append(&output, &out, way->inject.data, n);
            way->inject.data += n;
            way->inject.len -= n;
          }
          break;
        default:
          ok = false;
      }
    }
    ok = ok && way->inject.len == 0;
    again = ok && !last && (list.len == ROOM || way->inject.data >= way->memory + INJECT);
    reset_inject(way);
    free(parts);
    free(ops);
  }
  if (ok) append(&c->out[reply], &c->out_len[reply], output, out);
  free(output);
  return ok;
}

static void client(struct connection *c, const void *data, int64_t len, int64_t step) {
  if (c->closed) return;
  if (!io(c, 0, data, len, step, 0) || (c->ways[1].inject.len > 0 && !io(c, 1, "", 0, 1, 0))) {
    c->closed = true;
    close_connection(c->id);
  }
}

static void server(struct connection *c, const void *data, int64_t len, int64_t step) {
  if (!c->closed && !io(c, 1, data, len, step, 0)) {
    c->closed = true;
    close_connection(c->id);
  }
}

static bool saw(struct connection *c, int way, const char *bytes, int64_t times) {
  int64_t len = (int64_t)strlen(bytes);
  if (c->out_len[way] != len * times) return false;
  for (int64_t i = 0; i < times; i++)
    if (memcmp(c->out[way] + i * len, bytes, (size_t)len) != 0) return false;
  return true;
}

static char *repeat(const char *text, int64_t times) {
  size_t len = strlen(text);
  char *all = malloc(len * (size_t)times + 1);
  for (int64_t i = 0; i < times; i++) memcpy(all + (size_t)i * len, text, len);
  all[len * (size_t)times] = 0;
  return all;
}

static void modules(void) {
  uint64_t a = open_node("c-a"), b = open_node("c-a"), other = open_node("c-b");
  check(a != 0 && a == b && other != a, "equal parameters share an instance");
  KeyValue any = {string("xds-path"), string("")};
  uint64_t shared = open_module(slice(&any, 1), 0);
  check(shared == a || shared == other, "an empty node id is equal to any");
  close_module(shared);
  KeyValue twice[] = {{string("node-id"), string("x")}, {string("node-id"), string("c-b")}};
  check(open_module(slice(twice, 2), 0) == other, "of a repeated parameter the last counts");
  close_module(other);
  KeyValue unknown = {string("colour"), string("red")};
  check(open_module(slice(&unknown, 1), 0) == 0, "an unknown parameter is refused");
  KeyValue nothing = {{NULL, 0}, {NULL, 0}};
  check(open_module(slice(&nothing, 1), 0) == 0, "a parameter without a name is refused");
  check(open_module((GoSlice){NULL, 3, 3}, 0) == 0, "null parameters are refused");
  check(open_module((GoSlice){(uint8_t *)&any, -1, 1}, 0) == 0, "a negative number of parameters is refused");
  check(open_module((GoSlice){(uint8_t *)&any, 1, 0}, 0) == 0, "parameters without room are refused");
  uint64_t none = open_module((GoSlice){NULL, 0, 0}, 0);
  check(none != 0, "no parameters will do");
  close_module(none);
  KeyValue sockets[] = {{string("access-log-path"), string("/nonexistent/log")}, {string("xds-path"), string("/nonexistent/xds")}};
  uint64_t lost = open_module(slice(sockets, 2), 0);
  check(lost != 0, "sockets need not exist");
  close_module(lost);
  close_module(a);
  close_module(a);
  close_module(other);
  close_module(a);
  close_module(0);
  close_module(UINT64_MAX);
  struct connection c;
  check(connect_to(&c, a, 1, "test.passer") == FILTER_RESULT_INVALID_INSTANCE, "a closed instance takes no connections");
  end(&c);
}

static void addresses(uint64_t module) {
  static const struct { const char *proto, *to; FilterResult result; } cases[] = {
      {"nobody", "10.0.0.2:80", FILTER_RESULT_UNKNOWN_PARSER}, {"", "10.0.0.2:80", FILTER_RESULT_UNKNOWN_PARSER},
      {"nobody", "nowhere", FILTER_RESULT_UNKNOWN_PARSER},     {"r2d2", "", FILTER_RESULT_INVALID_ADDRESS},
      {"r2d2", "10.0.0.2", FILTER_RESULT_INVALID_ADDRESS},     {"r2d2", "10.0.0.2:", FILTER_RESULT_INVALID_ADDRESS},
      {"r2d2", "10.0.0.2:0", FILTER_RESULT_INVALID_ADDRESS},   {"r2d2", "::1:80", FILTER_RESULT_INVALID_ADDRESS},
      {"r2d2", "10.0.0.2:-1", FILTER_RESULT_INVALID_ADDRESS},  {"r2d2", "10.0.0.2:80", FILTER_RESULT_OK},
      {"r2d2", "[::1]:80", FILTER_RESULT_OK},                  {"memcache", "[::1]:80", FILTER_RESULT_OK},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    FilterResult result = on_new_connection(module, string(cases[i].proto), 7, 0, 1, 2, string("not an address"),
                                            string(cases[i].to), string("x"), NULL, NULL);
    check(result == cases[i].result, "`%s` to `%s`: %d", cases[i].proto, cases[i].to, (int)result);
    close_connection(7);
  }
  GoString null = {NULL, 0}, wrong = {NULL, 5}, negative = {(const uint8_t *)"x", -1};
  FilterResult a = on_new_connection(module, null, 7, 0, 1, 2, null, null, null, NULL, NULL);
  FilterResult b = on_new_connection(module, wrong, 7, 0, 1, 2, wrong, wrong, wrong, NULL, NULL);
  FilterResult d = on_new_connection(module, negative, 7, 0, 1, 2, negative, negative, negative, NULL, NULL);
  check(a == FILTER_RESULT_UNKNOWN_PARSER && b == a && d == a, "strings that cannot be are empty");
  char *large = repeat("x", 1 << 20);
  FilterResult e = on_new_connection(module, string("r2d2"), 7, 0, 1, 2, string(large), string("x:1"), string(large), NULL, NULL);
  check(e == FILTER_RESULT_OK, "a megabyte of name");
  free(large);
  close_connection(7);
}

static void lines(uint64_t module) {
  struct connection c;
  check(connect_to(&c, module, 100, "test.lineparser") == FILTER_RESULT_OK, "a connection");
  for (int64_t step = 1; step <= 64; step *= 8) client(&c, "PASS 1\nDROP 2\nPASS 3\n", 21, step);
  check(saw(&c, 0, "PASS 1\nPASS 3\n", 3), "lines pass and are dropped in pieces of any size");
  for (const char *byte = "PASS 4\n"; *byte != 0; byte++) client(&c, byte, 1, 1);
  check(c.out_len[0] == 3 * 14 + 7, "a line passes in single bytes");
  end(&c);

  check(connect_to(&c, module, 101, "r2d2") == FILTER_RESULT_OK, "a connection");
  char *denied = repeat("HALT\r\n", 10000);
  client(&c, denied, 60000, 60000);
  check(saw(&c, 1, "ERROR\r\n", 10000), "10,000 denials in one event are answered");
  client(&c, denied, 6000, 1);
  check(saw(&c, 1, "ERROR\r\n", 11000), "1,000 denials in 6,000 pieces are answered");
  check(c.out_len[0] == 0, "none of them passes");
  free(denied);
  server(&c, "HI\r\n", 4, 1);
  check(c.out_len[1] == 77004 && !c.closed, "a reply passes");
  end(&c);

  check(connect_to(&c, module, 102, "test.lineparser") == FILTER_RESULT_OK, "a connection");
  char *injected = repeat("INJECT 4\n", 2000);
  client(&c, injected, 18000, 500);
  check(saw(&c, 1, "INJECT 4\n", 2000), "2,000 lines are injected into the replies");
  server(&c, injected, 18000, 500);
  client(&c, "PASS\n", 5, 5);
  check(c.out_len[0] == 18005, "2,000 lines are injected into the requests");
  free(injected);
  client(&c, "PASS\nwhat?\n", 11, 11);
  check(!c.closed && c.out_len[0] == 18010, "what an event passes survives a fault after it");
  client(&c, "PASS\n", 5, 5);
  check(c.closed && c.out_len[0] == 18010, "and then the connection closes");
  end(&c);

  check(connect_to(&c, module, 103, "test.blockparser") == FILTER_RESULT_OK, "a connection");
  char *block = malloc(100000);
  memset(block, 'x', 100000);
  memcpy(block, "100000:PASS", 11);
  client(&c, block, 50, 50);
  client(&c, block + 50, 99950, 1000);
  check(c.out_len[0] == 100000, "a block passes ahead");
  memcpy(block, "100000:INSERT", 13);
  client(&c, block, 100000, 10);
  check(c.out_len[0] == 200000, "a block is inserted");
  memcpy(block, "900000000:DROP", 14);
  client(&c, block, 100000, 100000);
  client(&c, block, 100000, 100000);
  check(!c.closed && c.out_len[0] == 200000, "a block is dropped ahead");
  free(block);
  end(&c);

  check(connect_to(&c, module, 104, "test.panicker") == FILTER_RESULT_OK, "a connection");
  client(&c, "PANIC\n", 6, 6);
  check(c.closed, "a parser that panics costs its connection");
  end(&c);
  check(connect_to(&c, module, 105, "test.panicker") == FILTER_RESULT_OK, "a connection");
  client(&c, "PANIC-ON-DROP\n", 14, 14);
  end(&c);
}

static FilterResult call(uint64_t id, GoSlice *data, GoSlice *ops) { return on_data(id, 0, 0, data, ops); }

static void bad_slices(uint64_t module) {
  struct connection c;
  FilterOp ops[ROOM];
  uint8_t bytes[] = "PASS\n";
  GoSlice good = slice(bytes, 5), data = slice(&good, 1);
  GoSlice room = {(uint8_t *)ops, 0, ROOM}, list = room;
  check(call(0, &data, &list) == FILTER_RESULT_UNKNOWN_CONNECTION && call(UINT64_MAX, NULL, NULL) == FILTER_RESULT_UNKNOWN_CONNECTION,
        "unknown connections");
  GoSlice outer[] = {{NULL, 1, 1}, {(uint8_t *)&good, -1, 1}, {(uint8_t *)&good, 1, 0}, {(uint8_t *)&good, 1, -1}};
  for (size_t i = 0; i < sizeof outer / sizeof *outer; i++) {
    connect_to(&c, module, 200, "test.lineparser");
    list = room;
    check(call(200, &outer[i], &list) == FILTER_RESULT_PARSER_ERROR, "data that cannot be, %zu", i);
    end(&c);
  }
  GoSlice inner[] = {{NULL, 1, 1}, {bytes, -1, 5}, {bytes, 5, 4}, {bytes, 5, -5}, {bytes, INT64_MAX, INT64_MAX}};
  for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
    connect_to(&c, module, 200, "test.lineparser");
    GoSlice two[] = {inner[i], inner[i]}, both = slice(two, 2);
    list = room;
    check(call(200, &both, &list) == FILTER_RESULT_PARSER_ERROR, "pieces that cannot be, %zu", i);
    end(&c);
  }
  connect_to(&c, module, 200, "test.lineparser");
  check(call(200, &data, NULL) == FILTER_RESULT_PARSER_ERROR, "no operations");
  GoSlice full[] = {{(uint8_t *)ops, 0, 0}, {(uint8_t *)ops, 3, 3}, {NULL, 0, 0}};
  for (size_t i = 0; i < sizeof full / sizeof *full; i++) {
    list = full[i];
    check(call(200, &data, &list) == FILTER_RESULT_OK && list.len == full[i].len, "no room for operations, %zu", i);
  }
  GoSlice odd[] = {{(uint8_t *)ops, 2, 1}, {(uint8_t *)ops, -1, 16}, {NULL, 0, 16}, {(uint8_t *)ops, INT64_MIN, INT64_MAX}};
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
    list = odd[i];
    check(call(200, &data, &list) == FILTER_RESULT_PARSER_ERROR, "operations that cannot be, %zu", i);
  }
  list = (GoSlice){(uint8_t *)ops, 2, 3};
  check(call(200, &data, &list) == FILTER_RESULT_OK && list.len == 3 && ops[2].op == FILTER_OP_TYPE_PASS, "room for one operation");
  list = room;
  check(call(200, NULL, &list) == FILTER_RESULT_OK, "null is no data");
  GoSlice empty[] = {{NULL, 0, 0}, {bytes, 0, 0}, good};
  GoSlice with_empty = slice(empty, 3);
  list = room;
  check(call(200, &with_empty, &list) == FILTER_RESULT_OK && list.len >= 1, "empty pieces");
  GoSlice *many = calloc(10000, sizeof *many);
  for (int i = 0; i < 10000; i++) many[i] = slice(bytes + 4, 1);
  memcpy(many, &good, sizeof good);
  GoSlice all = slice(many, 10000);
  list = room;
  check(call(200, &all, &list) == FILTER_RESULT_PARSER_ERROR || list.len >= 1, "10,000 pieces");
  free(many);
  end(&c);

  static const int64_t caps[][2] = {{0, 0}, {5, 4}, {-1, 10}, {0, -1}, {1020, 1024}, {1024, 1024}};
  for (size_t i = 0; i < sizeof caps / sizeof *caps; i++) {
    connect_to(&c, module, 200, "test.lineparser");
    c.ways[1].inject.len = caps[i][0];
    c.ways[1].inject.cap = caps[i][1];
    GoSlice line = slice("INJECT\n", 7), lines = slice(&line, 1);
    list = room;
    call(200, &lines, &list);
    check(c.ways[1].inject.len <= caps[i][1] || c.ways[1].inject.len == caps[i][0], "an inject buffer of %ld of %ld", (long)caps[i][0],
          (long)caps[i][1]);
    list = room;
    on_data(200, 1, 1, NULL, &list);
    end(&c);
  }
}

struct worker {
  uint64_t module, seed;
  int rounds;
  bool ok;
};

/* Keeps to the contract, each thread with connections of its own. */
static void *orderly(void *argument) {
  struct worker *worker = argument;
  worker->ok = true;
  for (int i = 0; i < worker->rounds; i++) {
    struct connection c;
    worker->ok &= connect_to(&c, worker->module, worker->seed * 1000000 + (uint64_t)i % 50, "test.lineparser") == FILTER_RESULT_OK;
    client(&c, "PASS 1\nINJECT 2\nDROP 3\n", 23, 1 + i % 23);
    server(&c, "PASS 4\n", 7, 7);
    worker->ok &= saw(&c, 0, "PASS 1\n", 1) && c.out_len[1] == 16;
    end(&c);
  }
  return NULL;
}

/* Does not: the same few connections from all threads, without inject buffers that could be written from two. */
static void *unruly(void *argument) {
  struct worker *worker = argument;
  uint64_t dice = worker->seed;
  for (int i = 0; i < worker->rounds; i++) {
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    uint64_t id = 900 + (dice >> 33) % 4;
    FilterOp ops[ROOM];
    uint8_t bytes[] = "PASS\nDROP\nINJ";
    GoSlice piece = slice(bytes, 13), data = slice(&piece, 1), list = {(uint8_t *)ops, 0, ROOM};
    switch ((dice >> 40) % 8) {
      case 0:
        on_new_connection(worker->module, string("test.lineparser"), id, 1, 1, 2, string(""), string("x:1"), string(""), NULL, NULL);
        break;
      case 1:
        close_connection(id);
        break;
      case 2: {
        uint64_t module = open_node("unruly");
        on_new_connection(module, string("r2d2"), id, 1, 1, 2, string(""), string("x:1"), string(""), NULL, NULL);
        close_module(module);
        break;
      }
      default:
        on_data(id, (dice >> 50) % 2 == 0, 0, &data, &list);
    }
  }
  return NULL;
}

static void threads(uint64_t module, int count, int rounds) {
  pthread_t running[64];
  struct worker workers[64];
  for (int i = 0; i < 2 * count; i++) {
    workers[i] = (struct worker){.module = module, .seed = (uint64_t)i + 1, .rounds = rounds};
    pthread_create(&running[i], NULL, i % 2 == 0 ? orderly : unruly, &workers[i]);
  }
  bool ok = true;
  for (int i = 0; i < 2 * count; i++) {
    pthread_join(running[i], NULL);
    ok &= i % 2 == 1 || workers[i].ok;
  }
  check(ok, "%d threads that keep to the contract beside %d that do not", count, count);
  for (uint64_t id = 900; id < 904; id++) close_connection(id);
}

int main(int count, char **arguments) {
  if (count < 2) {
    fprintf(stderr, "usage: driver LIBRARY [THREADS [ROUNDS]]\n");
    return 99;
  }
  void *library = dlopen(arguments[1], RTLD_NOW);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 99;
  }
  *(void **)&open_module = dlsym(library, "OpenModule");
  *(void **)&close_module = dlsym(library, "CloseModule");
  *(void **)&on_new_connection = dlsym(library, "OnNewConnection");
  *(void **)&on_data = dlsym(library, "OnData");
  *(void **)&close_connection = dlsym(library, "Close");
  if (!open_module || !close_module || !on_new_connection || !on_data || !close_connection) {
    fprintf(stderr, "an exported function is missing\n");
    return 99;
  }
  modules();
  uint64_t module = open_node("driver");
  check(module != 0, "an instance");
  addresses(module);
  lines(module);
  bad_slices(module);
  threads(module, count > 2 ? atoi(arguments[2]) : 2, count > 3 ? atoi(arguments[3]) : 500);
  close_module(module);
  check(dlclose(library) == 0, "the library is unloaded");
  printf("driver: %d passed, %d failed\n", passed, failed);
  return failed > 98 ? 98 : failed;
}
