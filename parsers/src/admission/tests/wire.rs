//! Bytes that are no request, or that two servers might read as two different ones.

use super::*;

/// The answer to what closes the connection. Nothing that follows is answered.
fn refused(request: &str) -> (Option<u16>, String) {
    let seen = ask(&(request.to_owned() + "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_eq!(seen.closed.as_deref(), Some("portcullis_parse_error"), "{request:?}");
    let codes = codes(&seen);
    assert!(codes.len() <= 1, "{request:?}: {codes:?}");
    assert!(seen.to_server.is_empty());
    (codes.first().copied(), seen.log[0]["reason"].as_str().unwrap().to_owned())
}

#[test]
fn heads_that_servers_read_differently_are_refused() {
    let body = "Content-Length: 4\r\n\r\n";
    for fields in [
        "Host: h\nA: b\r\n",
        "Host: h\rA: b\r\n",
        "Host: h\r\n\rA: b\r\n",
        "Host: h\r\nA: b\0c\r\n",
        "Host: h\r\nA: b\r\n c\r\n",
        "Host: h\r\nA: b\r\n\tc\r\n",
        "Host : h\r\n",
        "Host: h\r\nA : b\r\n",
        "Host: h\r\nA\t: b\r\n",
        "Host: h\r\n: b\r\n",
        "Host: h\r\nA b\r\n",
        "Host: h\r\nA(): b\r\n",
        "Host: h\r\nÄ: b\r\n",
        "Host: h\r\nA: b\x7f\r\n",
        "Host: h\r\nA: b\x01\r\n",
        "",
        "Host: h\r\nHost: h\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: u@b\r\n",
        " Host: h\r\n",
        "Host: h\r\nContent-Length: 4\r\n",
        "Host: h\r\nContent-Length: 5\r\n",
        "Host: h\r\ncontent-length: 4\r\n",
        "Host: h\r\nContent_Length: 5\r\n",
        "Host: h\r\nTransfer_Encoding: chunked\r\n",
        "Host: h\r\nContent_Encoding: gzip\r\n",
        "Host: h\r\nContent_type: application/json\r\n",
        "Host: h\r\nTransfer-Encoding: chunked\r\n",
        "Host: h\r\nTransfer-Encoding: identity\r\n",
        "Host: h\r\nContent-Type: a/b\r\nContent-Type: application/json\r\n",
    ] {
        let (code, _) = refused(&format!("POST /check HTTP/1.1\r\n{fields}{body}abcd"));
        assert!(matches!(code, Some(400 | 501)), "{fields:?}: {code:?}");
    }
    for length in ["+4", "-4", "0x4", "4 4", "4,4", "4, 4", "", "4;", "4.0", "\x0b4", "4\x0c", "\u{a0}4", "four", "4e0"]
    {
        let (code, _) = refused(&format!("POST /check HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\nabcd"));
        assert_eq!(code, Some(400), "{length:?}");
    }
    let chunked = "\r\nHost: h\r\n\r\n0\r\n\r\n";
    for (coding, status) in [
        ("Transfer-Encoding: Chunked", 501),
        ("Transfer-Encoding: xchunked", 501),
        ("Transfer-Encoding: chunked, chunked", 501),
        ("Transfer-Encoding: gzip, chunked", 501),
        ("Transfer-Encoding: chunked, identity", 501),
        ("Transfer-Encoding: \"chunked\"", 501),
        ("Transfer-Encoding: chunked;q=1", 501),
        ("Transfer-Encoding:", 501),
        ("Transfer-Encoding: \x0bchunked", 400),
        ("Transfer-Encoding : chunked", 400),
        ("Transfer-Encoding\x0b: chunked", 400),
        (" Transfer-Encoding: chunked", 400),
        ("Transfer-Encoding:\r\n chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", 400),
        ("Transfer-Encoding: x\r\nTransfer-Encoding: chunked", 501),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding\0: chunked", 400),
    ] {
        let (code, _) = refused(&format!("POST /check HTTP/1.1\r\n{coding}{chunked}"));
        assert_eq!(code, Some(status), "{coding:?}");
    }
    assert_eq!(refused("POST /check HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").0, Some(400));
}

#[test]
fn first_lines_are_a_method_a_path_and_a_version() {
    for (line, status) in [
        ("GET /healthz", 400),
        ("GET  /healthz HTTP/1.1", 400),
        ("GET /healthz  HTTP/1.1", 400),
        ("GET /healthz HTTP/1.1 ", 400),
        ("GET\t/healthz HTTP/1.1", 400),
        ("GET /heal thz HTTP/1.1", 400),
        (" GET /healthz HTTP/1.1", 400),
        ("GET http://h/healthz HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 400),
        ("CONNECT h:443 HTTP/1.1", 400),
        ("GET healthz HTTP/1.1", 400),
        ("GET /healthz#x HTTP/1.1", 400),
        ("GET /heal\\thz HTTP/1.1", 400),
        ("GET /healthz% HTTP/1.1", 400),
        ("GET /healthz%0 HTTP/1.1", 400),
        ("GET /healthz%gg HTTP/1.1", 400),
        ("GET /\u{e4} HTTP/1.1", 400),
        ("GET /healthz\x7f HTTP/1.1", 400),
        ("G(T /healthz HTTP/1.1", 400),
        ("GET /healthz http/1.1", 400),
        ("GET /healthz HTTP/1.10", 400),
        ("GET /healthz HTTP/1,1", 400),
        ("GET /healthz HTTPS/1.1", 400),
        ("GET /healthz HTTP/1.2", 505),
        ("GET /healthz HTTP/0.9", 505),
        ("GET /healthz HTTP/2.0", 505),
        ("GET /healthz HTTP/3.0", 505),
    ] {
        let (code, why) = refused(&format!("{line}\r\nHost: h\r\n\r\n"));
        assert_eq!(code, Some(status), "{line:?}: {why}");
    }
    assert_eq!(refused("\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").0, Some(400));
    assert_eq!(refused("\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").0, Some(400));
    assert_eq!(refused("\rGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").0, Some(400));
    // One end of a line too many is what old clients send behind a body.
    let old = ask("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((codes(&old), old.closed), (vec![200, 200], None));
    let (code, why) = refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(code == Some(505) && why.contains("alpn_protocols [http/1.1]"), "{why}");
    let (code, why) = refused("\x16\x03\x01\x02\0\x01\0");
    assert!(code.is_none() && why.contains("alpn_protocols [http/1.1]"), "{why}");
}

#[test]
fn chunks_are_as_the_standard_writes_them() {
    let whole = |chunks: &str| {
        format!(
            "POST /check HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        )
    };
    for good in [
        "0\r\n\r\n",
        "000\r\n\r\n",
        "2\r\n{}\r\n0\r\n\r\n",
        "0000000000000002\r\n{}\r\n0\r\nA: b\r\n\r\n",
        "2;a;b=c\r\n{}\r\n0;x\r\n\r\n",
    ] {
        let seen = ask(&(whole(good) + "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!((codes(&seen), seen.closed), (vec![400, 200], None), "{good:?}");
    }
    for bad in [
        "\r\n",
        "2\n{}\r\n0\r\n\r\n",
        "2\r{}\r\n0\r\n\r\n",
        "2\r\n{}\n0\r\n\r\n",
        "2\r\n{}\r0\r\n\r\n",
        "2\r\n{}0\r\n\r\n",
        "1\r\n{}\r\n0\r\n\r\n",
        "3\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "+2\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        " 2\r\n{}\r\n0\r\n\r\n",
        "2 \r\n{}\r\n0\r\n\r\n",
        "2\t\r\n{}\r\n0\r\n\r\n",
        "2_\r\n{}\r\n0\r\n\r\n",
        "g\r\n{}\r\n0\r\n\r\n",
        "00000000000000002\r\n{}\r\n0\r\n\r\n",
        "10000000000000002\r\n{}\r\n0\r\n\r\n",
        "2;\r\n{}\r\n0\r\n\r\n",
        "2;;a\r\n{}\r\n0\r\n\r\n",
        "2;=a\r\n{}\r\n0\r\n\r\n",
        "2;a=\r\n{}\r\n0\r\n\r\n",
        "2;a=b=c\r\n{}\r\n0\r\n\r\n",
        "2; a\r\n{}\r\n0\r\n\r\n",
        "2;a\n{}\r\n0\r\n\r\n",
        "2;a\0\r\n{}\r\n0\r\n\r\n",
        "2;a=\"\r\n{}\r\n0\r\n\r\n\"\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "0\r\nA: b\n\r\n",
        "0\r\nA : b\r\n\r\n",
        "0\r\nA\r\n\r\n",
        "0\r\n A: b\r\n\r\n",
        "0\r\nA: b\r\n c\r\n\r\n",
        "0\r\n: b\r\n\r\n",
        "0\r\nA: \x01\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\ntransfer-encoding: chunked\r\n\r\n",
        "0\r\nHost: h\r\n\r\n",
        "0\r\nContent-Encoding: gzip\r\n\r\n",
        "0\r\nauthorization: Bearer beep\r\n\r\n",
        "0\r\nGET /healthz HTTP/1.1\r\n\r\n",
    ] {
        let (code, why) = refused(&whole(bad));
        assert_eq!(code, Some(400), "{bad:?}: {why}");
    }
    let extensions = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(17 << 10));
    assert_eq!(refused(&whole(&extensions)).0, Some(400));
    let trailers = format!("0\r\nA: {}\r\n\r\n", "b".repeat(9 << 10));
    assert_eq!(refused(&whole(&trailers)).0, Some(431));
}
