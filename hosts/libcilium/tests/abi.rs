//! The exported functions as hosts call them that do not keep to the contract, and as many threads do.

mod common;

use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{
    Close, CloseModule, Connection, Module, NULL, OnData, OnNewConnection, OpenModule, Route, next_id, open, slice,
    string,
};
use portcullis_libcilium::FilterResult::{
    InvalidAddress, InvalidInstance, Ok as Done, ParserError, UnknownConnection, UnknownParser,
};
use portcullis_libcilium::{FilterOp, FilterOpType, FilterResult, GoSlice, GoString, KeyValue};

fn r2d2(commands: &[&str]) -> String {
    let items: Vec<_> = commands.iter().map(|cmd| format!(r#"{{"cmd": "{cmd}"}}"#)).collect();
    format!(
        r#"{{"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {{"name": "p"}}, "spec": {{
            "endpointSelector": {{}},
            "ingress": [{{"toPorts": [{{"ports": [{{"port": "80"}}], "rules": {{"l7proto": "r2d2", "l7": [{}]}}}}]}}]
        }}}}"#,
        items.join(",")
    )
}

/// An instance in which READ is allowed and nothing else.
fn reads_only() -> Module {
    let module = Module::open(|_| {});
    module.enforce("10.0.0.2", &r2d2(&["READ"]), "r2d2").unwrap();
    module
}

fn new_connection(module: u64, id: u64, route: Route<'_>) -> FilterResult {
    // SAFETY: the strings live; there are no buffers.
    unsafe {
        OnNewConnection(
            module,
            string(route.protocol),
            id,
            u8::from(route.ingress),
            1,
            2,
            string("10.0.0.1:1"),
            string(route.destination),
            string(route.policy_name),
            NULL,
            NULL,
        )
    }
}

/// Calls for one direction with whatever slices, and returns the operations too.
fn on_data(id: u64, reply: bool, data: *const GoSlice, room: usize) -> (FilterResult, Vec<FilterOp>) {
    let mut ops = vec![FilterOp { op: 0, n_bytes: 0 }; room.max(1)];
    let mut list = GoSlice { data: ops.as_mut_ptr().cast(), len: 0, cap: room as i64 };
    // SAFETY: the list has the room it says; of the data, each test says that.
    let result = unsafe { OnData(id, u8::from(reply), 0, data, &raw mut list) };
    ops.truncate(usize::try_from(list.len).unwrap());
    (result, ops)
}

fn op(op: FilterOpType, n_bytes: i64) -> FilterOp {
    FilterOp { op: op as u64, n_bytes }
}

#[test]
fn instances_are_shared_by_equal_parameters_and_counted() {
    let first = open(&[("node-id", "shared"), ("xds-path", "")]);
    assert_ne!(first, 0);
    assert_eq!(open(&[("node-id", "other"), ("node-id", "shared")]), first, "of two, the last counts");
    assert_eq!(new_connection(first, next_id(), Route::to("r2d2")), Done);
    for _ in 0..2 {
        // SAFETY: there is nothing to keep to.
        unsafe { CloseModule(first) };
    }
    assert_eq!(new_connection(first, next_id(), Route::to("r2d2")), InvalidInstance);
    let second = open(&[("node-id", "shared")]);
    assert!(second > first, "numbers are not used again");
    // SAFETY: as above.
    unsafe {
        CloseModule(second);
        CloseModule(second);
        CloseModule(0);
        CloseModule(u64::MAX);
    }
}

#[test]
fn parameters_that_cannot_be_are_refused() {
    assert_eq!(open(&[("node-id", "x"), ("colour", "red")]), 0);
    assert_eq!(open(&[("", "")]), 0);
    let pair = KeyValue { key: string("node-id"), value: string("y") };
    let bytes = [0xff_u8];
    let not_text = KeyValue { value: GoString { p: bytes.as_ptr(), n: 1 }, ..pair };
    for params in [
        GoSlice { data: ptr::null_mut(), len: 1, cap: 1 },
        GoSlice { len: -1, ..slice(&[pair]) },
        GoSlice { len: 1, cap: 0, ..slice(&[pair]) },
        GoSlice { len: i64::MAX, cap: i64::MAX, ..slice(&[pair]) },
        slice(&[not_text]),
    ] {
        // SAFETY: what could be read beyond the pair is refused by its length.
        assert_eq!(unsafe { OpenModule(params, 0) }, 0, "{params:?}");
    }
}

#[test]
fn a_new_connection_is_looked_at_in_order() {
    let module = reads_only();
    let nobody = Route { protocol: "nobody", destination: "nowhere", ..Route::to("") };
    assert_eq!(new_connection(0, next_id(), nobody), InvalidInstance);
    assert_eq!(new_connection(module.id, next_id(), nobody), UnknownParser);
    assert_eq!(new_connection(module.id, next_id(), Route { protocol: "r2d2", ..nobody }), InvalidAddress);
    for destination in ["", "10.0.0.2", "10.0.0.2:0", "10.0.0.2:x", "::1:80", "10.0.0.2:4294967296"] {
        assert_eq!(new_connection(module.id, next_id(), Route { destination, ..Route::to("r2d2") }), InvalidAddress);
    }
    let id = next_id();
    for destination in ["10.0.0.2:80", "[::1]:80", "name:80", "10.0.0.2:4294967295"] {
        assert_eq!(new_connection(module.id, id, Route { destination, ..Route::to("r2d2") }), Done);
    }
    // A refused one leaves the one that has its number.
    assert_eq!(new_connection(module.id, id, nobody), UnknownParser);
    assert_eq!(on_data(id, false, ptr::null(), 16).0, Done);
    // SAFETY: there is nothing to keep to.
    unsafe { Close(id) };
    assert_eq!(on_data(id, false, ptr::null(), 16).0, UnknownConnection);
}

#[test]
fn slices_that_cannot_be_close_the_connection() {
    let module = reads_only();
    let bytes = b"READ x\r\n";
    let whole = slice(bytes);
    let good = [whole];
    let outer = slice(&good);
    for (what, outer, inner) in [
        ("negative", GoSlice { len: -1, ..outer }, whole),
        ("more than there is room", GoSlice { cap: 0, ..outer }, whole),
        ("null", GoSlice { data: ptr::null_mut(), ..outer }, whole),
        ("negative piece", outer, GoSlice { len: -8, ..whole }),
        ("piece over its room", outer, GoSlice { cap: 7, ..whole }),
        ("null piece", outer, GoSlice { data: ptr::null_mut(), ..whole }),
        ("endless piece", outer, GoSlice { len: i64::MAX, cap: i64::MAX, ..whole }),
    ] {
        let id = next_id();
        assert_eq!(new_connection(module.id, id, Route::to("r2d2")), Done);
        let pieces = [inner, inner];
        let outer = if outer.data == slice(&good).data {
            GoSlice { data: pieces.as_ptr().cast_mut().cast(), ..outer }
        } else {
            outer
        };
        let outer = if outer.len == 1 { GoSlice { len: 2, cap: outer.cap * 2, ..outer } } else { outer };
        assert_eq!(on_data(id, false, &raw const outer, 16).0, ParserError, "{what}");
        // SAFETY: there is nothing to keep to.
        unsafe { Close(id) };
    }
    let id = next_id();
    assert_eq!(new_connection(module.id, id, Route::to("r2d2")), Done);
    // SAFETY: null slices are nothing.
    assert_eq!(unsafe { OnData(id, 0, 0, &raw const outer, ptr::null_mut()) }, ParserError);
    assert_eq!(on_data(id, false, &raw const outer, 0), (Done, vec![]), "no room: nothing is decided");
    assert_eq!(on_data(id, false, ptr::null(), 16), (Done, vec![op(FilterOpType::More, 1)]));
    let empty = [slice::<u8>(&[]), GoSlice { data: ptr::null_mut(), len: 0, cap: 0 }, whole];
    let data = slice(&empty);
    let (result, ops) = on_data(id, false, &raw const data, 1);
    assert_eq!((result, ops), (Done, vec![op(FilterOpType::Pass, 8)]));
    // SAFETY: there is nothing to keep to.
    unsafe { Close(id) };
}

#[test]
fn ten_thousand_denials_in_one_event_are_all_answered_in_order() {
    let module = reads_only();
    for pieces in [1, 7, 1000, 10_000] {
        let mut connection = Connection::open(module.id, Route::to("r2d2")).unwrap();
        let requests = b"HALT\r\n".repeat(10_000);
        let parts: Vec<&[u8]> = requests.chunks(requests.len().div_ceil(pieces)).collect();
        connection.client(&parts, false);
        assert!(!connection.closed);
        assert_eq!(connection.to_client, b"ERROR\r\n".repeat(10_000), "{pieces} pieces");
        connection.client(&[b"READ x\r\n"], false);
        connection.server(&[b"OK\r\n"], false);
        assert_eq!(connection.to_server, b"READ x\r\n");
        assert!(connection.to_client.ends_with(b"ERROR\r\nOK\r\n"));
    }
}

#[test]
fn denials_are_answered_although_a_reply_was_looked_for_before() {
    let module = reads_only();
    let mut connection = Connection::open(module.id, Route::to("r2d2")).unwrap();
    // Replies are called for without data, and the parser waits for a byte.
    connection.client(&[b"HALT\r\n"], false);
    connection.server(&[], false);
    connection.client(&[&b"HALT\r\n".repeat(1000)], false);
    assert_eq!(connection.to_client, b"ERROR\r\n".repeat(1001));
}

#[test]
fn a_line_passes_in_single_bytes_whether_as_events_or_as_pieces() {
    let module = reads_only();
    let mut connection = Connection::open(module.id, Route::to("r2d2")).unwrap();
    let line = [b"READ ".as_slice(), &[b'x'; 4000], b"\r\n"].concat();
    for byte in line.chunks(1) {
        connection.client(&[byte], false);
    }
    assert_eq!(connection.to_server, line);
    // In one event of single bytes too.
    let pieces: Vec<&[u8]> = line.chunks(1).collect();
    connection.client(&pieces, false);
    assert_eq!(connection.to_server.len(), 2 * line.len());
}

#[test]
fn what_an_event_has_passed_survives_what_comes_after_it() {
    let module = reads_only();
    let mut connection = Connection::open(module.id, Route::to("r2d2")).unwrap();
    let line = [b"READ a\r\nHALT\r\n".as_slice(), &[b'x'; 5000]].concat();
    connection.client(&[&line], false);
    assert!(!connection.closed);
    assert_eq!(connection.to_server, b"READ a\r\n");
    connection.client(&[b"READ b\r\n"], false);
    assert_eq!(connection.to_server, b"READ a\r\n", "nothing passes after the fault");
    connection.server(&[b"OK\r\n"], false);
    assert_eq!(connection.to_client, b"OK\r\nERROR\r\nERROR\r\n", "the reply, the denial, the error");
    assert!(!connection.closed);
    connection.client(&[b"READ c\r\n"], false);
    assert!(connection.closed);
    assert_eq!(connection.to_server, b"READ a\r\n");
}

#[test]
fn a_fault_without_anything_to_lose_fails_at_once() {
    let module = Module::open(|_| {});
    for (protocol, bytes) in [("test.panicker", "PANIC\n"), ("test.lineparser", "what?\n")] {
        let id = next_id();
        assert_eq!(new_connection(module.id, id, Route::to(protocol)), Done);
        let pieces = [slice(bytes.as_bytes())];
        let data = slice(&pieces);
        let (result, ops) = on_data(id, false, &raw const data, 16);
        assert_eq!((result, ops.len(), ops[0].op), (ParserError, 1, FilterOpType::Error as u64));
        assert_eq!(on_data(id, false, &raw const data, 16).0, ParserError, "it stays failed");
        assert_eq!(on_data(id, true, &raw const data, 16).0, ParserError);
        // SAFETY: there is nothing to keep to.
        unsafe { Close(id) };
    }
}

#[test]
fn nothing_is_injected_where_there_is_no_buffer() {
    let module = reads_only();
    let id = next_id();
    assert_eq!(new_connection(module.id, id, Route::to("r2d2")), Done);
    let pieces = [slice(b"HALT\r\n")];
    let data = slice(&pieces);
    assert_eq!(on_data(id, false, &raw const data, 16).0, Done);
    assert_eq!(on_data(id, true, ptr::null(), 16).0, ParserError);
    // SAFETY: there is nothing to keep to.
    unsafe { Close(id) };
}

#[test]
fn connections_outlive_their_instance() {
    let module = reads_only();
    let mut connection = Connection::open(module.id, Route::to("r2d2")).unwrap();
    drop(module);
    connection.client(&[b"READ x\r\nHALT\r\n"], false);
    connection.server(&[b"OK\r\n"], false);
    assert_eq!(connection.to_server, b"READ x\r\n");
    assert_eq!(connection.to_client, b"OK\r\nERROR\r\n");
}

#[test]
fn a_number_that_is_used_again_is_another_connection() {
    let module = reads_only();
    let id = next_id();
    let mut first = Connection::open_as(id, module.id, Route::to("r2d2")).unwrap();
    first.client(&[b"READ unfinished"], false);
    let mut second = Connection::open_as(id, module.id, Route::to("r2d2")).unwrap();
    second.client(&[b"HALT\r\n"], false);
    assert_eq!(second.to_client, b"ERROR\r\n");
    assert_eq!(first.to_client, b"");
    // Its number is the other's now.
    first.closed = true;
}

#[test]
fn a_client_that_never_reads_is_closed_in_the_end() {
    let module = Module::open(|_| {});
    let policy = r2d2(&["READ"]).replace("r2d2", "test.headerparser").replace("cmd", "prefix");
    module.enforce("10.0.0.2", &policy, "test.headerparser").unwrap();
    let id = next_id();
    // A buffer that nobody ever empties.
    let mut memory = [0_u8; 1024];
    let mut header = GoSlice { data: memory.as_mut_ptr(), len: 0, cap: 1024 };
    // SAFETY: all of it lives until the connection is closed.
    let opened = unsafe {
        let (protocol, to, name) = (string("test.headerparser"), string("10.0.0.2:80"), string("10.0.0.2"));
        OnNewConnection(module.id, protocol, id, 1, 1, 2, string(""), to, name, NULL, &raw mut header)
    };
    assert_eq!(opened, Done);
    let line = [&[b'x'; 1000][..], b"\n"].concat();
    let pieces = [slice(&line)];
    let data = slice(&pieces);
    let answered = (0..1000).take_while(|_| on_data(id, false, &raw const data, 16).0 == Done).count();
    assert!((30..200).contains(&answered), "{answered}");
    assert_eq!(header.len, 1024);
    // SAFETY: there is nothing to keep to.
    unsafe { Close(id) };
}

#[test]
fn ten_thousand_servers_are_forgotten_again() {
    let module = reads_only();
    for server in 0..10_000 {
        let destination = format!("10.1.{}.{}:80", server / 256, server % 256);
        let id = next_id();
        assert_eq!(new_connection(module.id, id, Route { destination: &destination, ..Route::to("r2d2") }), Done);
        // SAFETY: there is nothing to keep to.
        unsafe { Close(id) };
    }
    let kept = portcullis_libcilium::overrides::sites();
    assert!(kept < 3000, "{kept}");
}

#[test]
fn threads_that_break_the_contract_break_nothing_else() {
    let module = reads_only();
    let stop = AtomicBool::new(false);
    let (module, stop) = (&module, &stop);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            scope.spawn(move || {
                let mut dice = thread + 1;
                while !stop.load(Ordering::Relaxed) {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let id = u64::MAX - (dice >> 33) % 8;
                    let pieces = [slice(b"READ x\r\nHA")];
                    let data = slice(&pieces);
                    match (dice >> 40) % 8 {
                        0 => _ = new_connection(module.id, id, Route::to("r2d2")),
                        // SAFETY: there is nothing to keep to.
                        1 => unsafe { Close(id) },
                        n => _ = on_data(id, n == 2, &raw const data, 16),
                    }
                }
            });
        }
        scope.spawn(move || {
            for _ in 0..200 {
                let id = open(&[("node-id", "threads")]);
                assert_eq!(new_connection(id, u64::MAX - 9, Route::to("r2d2")), Done);
                // SAFETY: there is nothing to keep to.
                unsafe { CloseModule(id) };
            }
        });
        // Whoever keeps to it is served all the while.
        for _ in 0..2000 {
            let mut connection = Connection::open(module.id, Route::to("r2d2")).unwrap();
            connection.client(&[b"READ x\r\n"], false);
            connection.server(&[b"OK\r\n"], false);
            assert_eq!((&*connection.to_server, &*connection.to_client), (&b"READ x\r\n"[..], &b"OK\r\n"[..]));
        }
        stop.store(true, Ordering::Relaxed);
    });
    for n in 0..10 {
        // SAFETY: there is nothing to keep to.
        unsafe { Close(u64::MAX - n) };
    }
}
