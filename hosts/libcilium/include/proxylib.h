/* The C ABI of proxylib, as Cilium's Envoy calls it. Made from the sources of portcullis-libcilium. */
/* SPDX-License-Identifier: Apache-2.0 */


#ifndef PORTCULLIS_PROXYLIB_H
#define PORTCULLIS_PROXYLIB_H

#include <stdint.h>

/*
 Operations of one call at most, whatever room there is.
 */
#define MAX_OPS 16

/*
 What a call came to. After any but `Ok` the connection must be closed.
 */
enum FilterResult
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /*
   Done.
   */
  FILTER_RESULT_OK = 0,
  /*
   The protocol refuses the connection.
   */
  FILTER_RESULT_POLICY_DROP = 1,
  /*
   The connection must be closed: for its bytes, for a fault of its parser, or for slices that cannot be.
   */
  FILTER_RESULT_PARSER_ERROR = 2,
  /*
   No protocol has this name.
   */
  FILTER_RESULT_UNKNOWN_PARSER = 3,
  /*
   No connection has this number.
   */
  FILTER_RESULT_UNKNOWN_CONNECTION = 4,
  /*
   The destination is not `host:port` or `[host]:port`.
   */
  FILTER_RESULT_INVALID_ADDRESS = 5,
  /*
   No open instance has this number.
   */
  FILTER_RESULT_INVALID_INSTANCE = 6,
  /*
   The contract was broken: a second call for a connection while one is running. Or a fault of the library.
   */
  FILTER_RESULT_UNKNOWN_ERROR = 7,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum FilterResult FilterResult;
#else
typedef uint32_t FilterResult;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 What is to be done with the first of the bytes that were handed over and no earlier operation has dealt with.
 */
enum FilterOpType
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint64_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /*
   `n_bytes` more are needed before the next call. Last in its call.
   */
  FILTER_OP_TYPE_MORE = 0,
  /*
   `n_bytes` pass; more than there are only as the last operation of its call: the rest passes as it arrives.
   */
  FILTER_OP_TYPE_PASS = 1,
  /*
   `n_bytes` are dropped; more than there are only as the last operation of its call.
   */
  FILTER_OP_TYPE_DROP = 2,
  /*
   `n_bytes` of the inject buffer of this direction go out.
   */
  FILTER_OP_TYPE_INJECT = 3,
  /*
   The connection must be closed. `n_bytes` is a `FilterOpError`. Last in its call.
   */
  FILTER_OP_TYPE_ERROR = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum FilterOpType FilterOpType;
#else
typedef uint64_t FilterOpType;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 What `n_bytes` says for `Error`.
 */
enum FilterOpError
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint64_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /*
   An operation of a length that cannot be.
   */
  FILTER_OP_ERROR_INVALID_OP_LENGTH = 1,
  /*
   Bytes that are not what the protocol allows.
   */
  FILTER_OP_ERROR_INVALID_FRAME_TYPE = 2,
  /*
   A frame that is too large.
   */
  FILTER_OP_ERROR_INVALID_FRAME_LENGTH = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum FilterOpError FilterOpError;
#else
typedef uint64_t FilterOpError;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/*
 A slice: `len` elements are there, and there is room for `cap`.
 */
typedef struct GoSlice {
  /*
   The first element; may be null if `len` is 0.
   */
  uint8_t *data;
  /*
   Elements.
   */
  int64_t len;
  /*
   Elements that there is room for, from `data`.
   */
  int64_t cap;
} GoSlice;

/*
 A string by value: not ended by NUL, owned by the caller, good for the call.
 */
typedef struct GoString {
  /*
   The first byte; may be null if `n` is 0.
   */
  const uint8_t *p;
  /*
   Bytes.
   */
  int64_t n;
} GoString;

/*
 One of the `params` of `OpenModule`.
 */
typedef struct KeyValue {
  /*
   `access-log-path`, `xds-path` or `node-id`.
   */
  struct GoString key;
  /*
   Its value.
   */
  struct GoString value;
} KeyValue;

/*
 One operation.
 */
typedef struct FilterOp {
  /*
   A `FilterOpType`.
   */
  uint64_t op;
  /*
   Above 0.
   */
  int64_t n_bytes;
} FilterOp;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 Opens an instance, or once more the one that is open with equal parameters.

 `params` are `KeyValue`s, at most one of each key counts: the last. They are copied. `access-log-path` is the
 SOCK_SEQPACKET socket that takes `cilium.LogEntry`s, `xds-path` the gRPC socket that policies come from, both
 of which need not exist yet; an empty `node-id` is equal to that of any instance. Waits for the first
 policies, 500 ms at most.

 With `debug` other than 0, what developers want to know is written to standard error from now on.

 Returns the number of the instance, or 0 for parameters that are unknown or cannot be. Numbers count from 1
 and are not used again.
 */
uint64_t OpenModule(struct GoSlice params, uint8_t debug);

/*
 Closes an instance: to be called as often as it was opened. The last time ends its threads before it returns.
 Its connections live on with the policies that it had. Unknown numbers do nothing.
 */
void CloseModule(uint64_t module_id);

/*
 Opens a connection. A connection that has the number already is closed, where the new one is let in.

 `ingress` is not 0 for a connection to the endpoint that `policy_name` names. `dst_addr` is `host:port` or
 `[host]:port`. Strings are copied. `orig_inject` and `reply_inject` are slices of bytes (usually of 1024); the
 headers, wherever the host moves them, must stay good until `Close` or until the number is given away again,
 and so must what they point to. During calls bytes are added at `data + len`, and never beyond `cap`. Either
 may be null: then nothing can be injected, and a connection that has to is closed.

 Returns, looked at in this order: InvalidInstance, UnknownParser, InvalidAddress, PolicyDrop, Ok.
 */
FilterResult OnNewConnection(uint64_t module_id,
                             struct GoString proto,
                             uint64_t connection_id,
                             uint8_t ingress,
                             uint32_t src_id,
                             uint32_t dst_id,
                             struct GoString src_addr,
                             struct GoString dst_addr,
                             struct GoString policy_name,
                             struct GoSlice *orig_inject,
                             struct GoSlice *reply_inject);

/*
 Judges the bytes of one direction: replies where `reply` is not 0.

 `data` is a slice of slices of bytes: all that came in this direction and no operation has dealt with, in any
 number of pieces; null is none. `end_stream` is not 0 when no more will come. `ops` is an empty slice of
 `FilterOp`s with room for 16; operations are added at its end, 16 at most, and never beyond `cap`. They are to
 be applied in their order. If there are 16, or the inject buffer of this direction was filled up to `cap`, and
 the last one is neither MORE nor beyond the bytes that there were: call again with what is left.

 After a call for requests that has left bytes in `reply_inject`, those are to be sent at the next end of a reply
 frame, and replies are to be called for, without data if there is none: more may be injected there.

 All calls for a connection come from one thread at a time, those of different connections from any.

 After any result but Ok the connection must be closed, whatever the operations: ParserError (one ERROR is the
 last operation, if there was room), also for slices that cannot be; UnknownConnection; UnknownError while another call for
 the connection is running.
 */
FilterResult OnData(uint64_t connection_id, uint8_t reply, uint8_t end_stream, const struct GoSlice *data, struct GoSlice *ops);

/*
 Closes a connection: its inject buffers are not touched again. Waits for a call that is running for it in
 another thread. Unknown numbers do nothing.
 */
void Close(uint64_t connection_id);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PORTCULLIS_PROXYLIB_H */
