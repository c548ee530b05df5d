//! The exported hooks, driven by a small Envoy that is not always kind.

mod common;

use common::{listen, listen_with};
use portcullis_envoy_mock::{Listener, State, log_lines};
use serde_json::json;

#[test]
fn asks_for_the_version_of_the_abi() {
    // The mock has none of the callbacks that came after 1.38.
    assert_eq!(Listener::version(), "v0.1.0");
    assert_eq!(portcullis_envoy::capabilities().losses().count(), 1);
}

#[test]
fn what_is_allowed_passes_and_what_is_denied_is_answered() {
    let listener = listen();
    let connection = listener.connect();
    connection.client(b"ask 1\nkill\nask 2\n").server(b"one\ntwo\n");
    assert_eq!(connection.to_server(), b"ask 1\nask 2\n");
    assert_eq!(connection.to_client(), b"no\none\ntwo\n");
    connection.finish();
    for (name, count) in [("forwarded.requests", 2), ("denied.requests", 1), ("audit.requests", 0), ("errors", 0)] {
        assert_eq!(listener.metric(&format!("chat.{name}")), count, "{name}");
    }
    assert_eq!(listener.metric("chat.connections"), 1);
    assert_eq!(listener.metric("chat.connections_active"), 0);
    assert_eq!(listener.metric("chat.policy_generation"), 1);
}

#[test]
fn the_last_denial_shows_in_the_metadata() {
    let listener = listen();
    let connection = listener.connect();
    connection.client(b"ask 1\n");
    assert!(connection.metadata().is_empty());
    connection.client(b"kill\n");
    assert_eq!(connection.metadata()["portcullis.verdict"], "denied");
    assert_eq!(connection.metadata()["portcullis.rule"], "no rule matches");
    connection.client(b"shun\n");
    assert_eq!(connection.metadata()["portcullis.rule"], "not a request of the protocol");
    connection.finish();
}

#[test]
fn frames_are_found_across_slices_and_events() {
    let listener = listen();
    let connection = listener.connect();
    let slices: Vec<&[u8]> = b"ask 1\nkill\nput 2\nask".chunks(1).collect();
    connection.client_pieces(&slices).client(b" 3\npu").server_pieces(&[b"o", b"ne", b"\nth"]).server(b"ree\n");
    assert_eq!(connection.to_server(), b"ask 1\nput 2\nask 3\n");
    assert_eq!(connection.to_client(), b"no\none\nthree\n");
    connection.finish();
    assert_eq!(listener.metric("chat.held_bytes"), 0);
}

#[test]
fn a_value_passes_ahead() {
    let listener = listen();
    let connection = listener.connect();
    connection.client(b"put 0\nsize 300000\nabc");
    for _ in 0..3 {
        let block = vec![b'v'; 99_999];
        connection.client_pieces(&block.chunks(16_384).collect::<Vec<_>>());
    }
    connection.client(b"kill\n");
    assert_eq!(connection.to_server().len(), 6 + 12 + 300_000);
    assert_eq!(connection.to_client(), b"no\n");
    connection.finish();
}

#[test]
fn the_end_of_a_side_is_sent_on_alone() {
    let listener = listen();
    let connection = listener.connect();
    connection.client_last(b"ask 1\nkill\n");
    assert!(connection.server_was_told_end());
    assert!(!connection.client_was_told_end());
    connection.server(b"one\n").server_last(b"");
    assert!(connection.client_was_told_end());
    assert_eq!(connection.to_server(), b"ask 1\n");
    assert_eq!(connection.to_client(), b"no\none\n");
    connection.finish();
}

#[test]
fn an_end_after_nothing_that_passes_is_sent_on() {
    let listener = listen();
    for last in [&b""[..], b"kill\n", b"pu", b"ask\n"] {
        let connection = listener.connect();
        connection.client(b"put 1\n").client_last(last);
        assert!(connection.server_was_told_end(), "after {last:?}");
        // What was not whole is gone: it can never be judged.
        let expected = if last == b"ask\n" { &b"put 1\nask\n"[..] } else { b"put 1\n" };
        assert_eq!(connection.to_server(), expected);
        connection.finish();
    }
}

#[test]
fn a_job_holds_the_requests_behind_it_and_their_end() {
    let listener = listen();
    let connection = listener.connect();
    connection.client_last(b"put 1\nwait 2\nput 3\n");
    // The job may be done already; if not, nothing after it has moved.
    if !connection.server_was_told_end() {
        connection.wait();
    }
    assert_eq!(connection.to_server(), b"put 1\nwait 2\nput 3\n");
    assert!(connection.server_was_told_end());
    assert!(!connection.reading_stopped());
    connection.finish();
}

#[test]
fn a_job_that_outlives_its_connection_harms_nobody() {
    let listener = listen();
    for _ in 0..50 {
        let connection = listener.connect();
        connection.client(b"wait 1\n");
        connection.finish();
    }
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let listener = listen();
    let connection = listener.connect();
    // The watermark hook runs inside the injection that fills the buffer.
    connection.stop_client_reading(100).client(b"say 150\n");
    assert!(connection.reading_stopped());
    // What Envoy had read already waits in its place.
    connection.client(b"say 1\nput 1\n");
    assert_eq!(connection.to_client().len(), 150);
    assert_eq!(connection.to_server(), b"");
    connection.let_client_read();
    assert!(!connection.reading_stopped());
    assert_eq!(connection.to_client().len(), 151);
    assert_eq!(connection.to_server(), b"put 1\n");
    connection.finish();
}

#[test]
fn requests_behind_a_full_buffer_wait_within_one_event() {
    let listener = listen();
    let connection = listener.connect();
    connection.stop_client_reading(100).client(b"ask\n").server(&[b"r".repeat(200), b"\n".to_vec()].concat());
    assert!(connection.reading_stopped());
    connection.let_client_read().client(b"ask\n").server(b"two\n");
    assert!(!connection.reading_stopped());
    assert_eq!(connection.to_server(), b"ask\nask\n");
    connection.finish();
}

#[test]
fn more_answers_than_one_event_should_give_follow_in_the_next() {
    let listener = listen();
    let connection = listener.connect();
    connection.client(&b"say 4000\n".repeat(100));
    assert_eq!(connection.to_client().len(), 400_000);
    assert!(!connection.reading_stopped());
    connection.finish();
}

#[test]
fn a_client_that_does_not_read_is_not_answered_further() {
    let listener = listen();
    let connection = listener.connect();
    connection.stop_client_reading(100).client(&b"say 4000\n".repeat(100)).run();
    // One event's worth, however often the event loop turns.
    assert!(connection.to_client().len() < 200_000, "{}", connection.to_client().len());
    assert!(connection.reading_stopped());
    connection.let_client_read();
    assert_eq!(connection.to_client().len(), 400_000);
    connection.finish();
}

#[test]
fn a_parse_error_waits_for_replies_that_are_owed() {
    let listener = listen();
    let connection = listener.connect();
    connection.client(b"ask 1\nask 2\nbad\nask 3\n").server(b"one\n");
    assert_eq!(connection.closed_with(), None);
    connection.server(b"two\n");
    assert_eq!(connection.closed_with().as_deref(), Some("portcullis_parse_error"));
    assert_eq!(connection.to_server(), b"ask 1\nask 2\n");
    assert_eq!(connection.to_client(), b"one\ntwo\nbad\n");
    assert_eq!(connection.state(), State::Closed);
    connection.finish();
    assert_eq!(listener.metric("chat.errors"), 1);
}

#[test]
fn what_was_passed_reaches_the_server_before_the_close() {
    let listener = listen();
    let connection = listener.connect();
    // Nothing is owed, so nothing says that the server has it.
    connection.stubborn().client(b"put 1\nput 2\nbad\n");
    assert_eq!(connection.to_server(), b"put 1\nput 2\n");
    assert_eq!(connection.to_client(), b"bad\n");
    // Neither side gets anything through any more.
    connection.client(b"put 3\n").client_last(b"put 4\n");
    assert!(connection.server_was_told_end());
    assert!(!connection.client_was_told_end());
    connection.server(b"surprise\n");
    assert_eq!((connection.closed_with(), connection.state()), (None, State::Open));
    connection.server_last(b"");
    assert_eq!(connection.closed_with().as_deref(), Some("portcullis_parse_error"));
    assert_eq!(connection.to_server(), b"put 1\nput 2\n");
    assert_eq!(connection.to_client(), b"bad\n");
    connection.finish();
}

#[test]
fn a_client_that_goes_on_sending_is_read_from_until_it_ends() {
    let listener = listen();
    let connection = listener.connect();
    connection.stubborn().stop_client_reading(2).client(b"bad\n");
    // It knows the end, but closing now would reset the connection with its last words on the way.
    assert!(connection.client_was_told_end());
    assert!(!connection.reading_stopped());
    connection.client(&vec![b'z'; 100_000]).client(b"put 1\n");
    assert_eq!(connection.closed_with(), None);
    connection.client_last(b"put 2\n");
    assert_eq!(connection.closed_with().as_deref(), Some("portcullis_parse_error"));
    assert_eq!(connection.state(), State::Closing);
    connection.let_client_read();
    assert_eq!((connection.to_client(), connection.to_server()), (b"bad\n".to_vec(), Vec::new()));
    connection.finish();
}

#[test]
fn a_client_that_never_stops_sending_is_cut_off() {
    let listener = listen();
    let connection = listener.connect();
    connection.stubborn().client(b"bad\n");
    let megabyte = vec![b'z'; 1 << 20];
    for _ in 0..16 {
        connection.client(&megabyte);
    }
    assert_eq!(connection.state(), State::Open);
    connection.client(&megabyte);
    assert_eq!(connection.closed_with().as_deref(), Some("portcullis_parse_error"));
    connection.finish();
}

#[test]
fn a_client_that_falls_silent_is_closed_after_a_time() {
    let listener = listen();
    let connection = listener.connect();
    connection.stubborn().client(b"bad\n");
    assert_eq!(connection.closed_with(), None);
    connection.wait();
    assert_eq!(connection.closed_with().as_deref(), Some("portcullis_parse_error"));
    connection.finish();
}

#[test]
fn an_error_behind_bytes_that_all_pass_does_not_overtake_them() {
    let listener = listen();
    let connection = listener.connect();
    connection.client(b"put 1\nlast\n").client_last(b"").server_last(b"");
    assert_eq!(connection.to_server(), b"put 1\nlast\n");
    assert_eq!(connection.closed_with().as_deref(), Some("portcullis_parse_error"));
    connection.finish();
}

#[test]
fn a_connection_that_breaks_while_we_write_is_left_alone() {
    let listener = listen();
    for request in [&b"wait 1\nkill\n"[..], b"kill\nput 1\n", b"put 1\nbad\n", b"bad\n"] {
        let connection = listener.connect();
        connection.break_on_injection().client(request);
        // A job, or the client's silence, may still be awaited.
        if connection.state() == State::Open {
            connection.wait();
        }
        assert_eq!(connection.state(), State::Closed, "{request:?}");
        connection.finish();
    }
    assert_eq!(listener.metric("chat.connections_active"), 0);
}

#[test]
fn a_server_that_does_not_close_delays_the_close_for_a_time_only() {
    let listener = listen();
    let connection = listener.connect();
    connection.stubborn().client(b"put 1\nbad\n").client_last(b"");
    assert_eq!(connection.closed_with(), None);
    connection.wait();
    assert_eq!(connection.closed_with().as_deref(), Some("portcullis_parse_error"));
    connection.finish();
}

#[test]
fn garbage_at_once_is_closed_at_once() {
    let listener = listen();
    let connection = listener.connect();
    connection.client(b"bad\n");
    assert_eq!(connection.state(), State::Closed);
    assert_eq!(connection.to_client(), b"bad\n");
    connection.finish();
}

#[test]
fn a_close_flushes_what_the_client_has_not_read() {
    let listener = listen();
    let connection = listener.connect();
    connection.stop_client_reading(5).client(b"say 10\nbad\n");
    assert_eq!(connection.state(), State::Closing);
    connection.client(b"put 1\n").server(b"one\n").let_client_read();
    assert_eq!(connection.state(), State::Closed);
    assert_eq!(connection.to_client(), b"xxxxxxxxxxbad\n");
    connection.finish();
}

#[test]
fn an_unfinished_frame_times_out() {
    let listener = listen_with(json!({"limits": {"frameTimeoutSeconds": 1}}));
    let connection = listener.connect();
    connection.client(b"put and no more").wait();
    assert_eq!(connection.closed_with().as_deref(), Some("portcullis_timeout"));
    connection.finish();
    assert_eq!(listener.metric("chat.errors"), 1);
}

#[test]
fn a_panic_costs_one_connection() {
    let listener = listen();
    let (other, connection) = (listener.connect(), listener.connect());
    connection.client(b"panic\n");
    assert_eq!(connection.closed_with().as_deref(), Some("portcullis_panic"));
    assert_eq!(connection.to_server(), b"");
    connection.finish();
    other.client(b"ask\n");
    assert_eq!(other.to_server(), b"ask\n");
    other.finish();
    assert_eq!(listener.metric("chat.panics"), 1);
    assert!(log_lines("panic at").iter().any(|line| line.contains("common/mod.rs") && line.contains("told to")));
}

#[test]
fn a_panic_in_a_destructor_is_counted() {
    let listener = listen();
    for end in 0..3 {
        let connection = listener.connect();
        connection.client(b"bomb\n");
        match end {
            0 => _ = connection.hang_up(),
            1 => _ = connection.server(b"one\n").client(b"bad\n"),
            _ => {}
        }
        connection.finish();
    }
    assert_eq!(listener.metric("chat.panics"), 3);
    assert_eq!(listener.metric("chat.connections_active"), 0);
}

#[test]
fn a_hook_within_a_hook_lets_nothing_pass() {
    let listener = listen();
    // From within the injection of a denial, of bytes after a reply, and from within a close.
    for events in [&[&b"kill\n"[..]][..], &[b"put 1\nbad\n"], &[b"bad\n"]] {
        let connection = listener.connect();
        connection.reenter();
        for event in events {
            connection.client(event);
        }
        assert!(connection.closed_with().is_some());
        let seen = [connection.to_server(), connection.to_client()].concat();
        assert!(!String::from_utf8(seen).unwrap().contains("stowaway"));
        connection.hang_up();
    }
}

#[test]
fn a_buffer_that_cannot_be_seen_closes_the_connection() {
    let listener = listen();
    let connection = listener.connect();
    connection.hide_buffers().client(b"put 1\n");
    assert_eq!(connection.closed_with().as_deref(), Some("portcullis_no_buffer"));
    assert_eq!(connection.to_server(), b"");
    connection.finish();
}

#[test]
fn a_connection_that_is_gone_is_left_alone() {
    let listener = listen();
    let connection = listener.connect();
    connection.stop_client_reading(10).client(b"say 100\nwait 1\n").hang_up().let_client_read();
    connection.finish();
    assert_eq!(listener.metric("chat.held_bytes"), 0);
}

#[test]
fn null_pointers_are_refused() {
    let (null, nobody) = (std::ptr::null(), std::ptr::null_mut());
    // SAFETY: null is what these tell from a pointer.
    unsafe {
        assert!(common::envoy_dynamic_module_on_network_filter_new(null, nobody).is_null());
        assert_eq!(common::envoy_dynamic_module_on_network_filter_new_connection(nobody, null), 1);
        assert_eq!(common::envoy_dynamic_module_on_network_filter_read(nobody, null, 3, 0), 1);
        assert_eq!(common::envoy_dynamic_module_on_network_filter_write(nobody, null, 0, 1), 1);
        common::envoy_dynamic_module_on_network_filter_event(nobody, null, 0);
        common::envoy_dynamic_module_on_network_filter_scheduled(nobody, null, 1);
        common::envoy_dynamic_module_on_network_filter_destroy(null);
        common::envoy_dynamic_module_on_network_filter_config_destroy(null);
    }
}

#[test]
fn nothing_at_all_may_happen() {
    let listener = listen();
    listener.connect().finish();
    assert_eq!(listener.metric("chat.connections"), 1);
    assert_eq!(listener.metric("chat.connections_active"), 0);
}
