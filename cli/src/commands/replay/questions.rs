//! What parsers ask servers on their own. The server of a capture was never asked: here are its answers.

/// The answer to a question of a parser among what it sent to the server in `bytes`.
pub(super) fn answer(protocol: &str, bytes: &[u8]) -> Option<&'static [u8]> {
    let questions = QUESTIONS.iter().filter(|(asks, ..)| *asks == protocol);
    let found =
        questions.filter_map(|(_, question, answer)| memchr::memmem::rfind(bytes, question).map(|at| (at, answer)));
    found.max_by_key(|(at, _)| *at).map(|(_, answer)| *answer)
}

/// The protocol, the question, and what a server says.
const QUESTIONS: &[(&str, &[u8], &[u8])] = &[
    // The end of replies to quiet commands (docs/memcache.md, "Replies").
    ("memcache", b"mn\r\n", b"MN\r\n"),
    // Whether the server reads binary: `version`, with line feeds for an opaque.
    (
        "memcache",
        b"\x80\x0b\0\0\0\0\0\0\0\0\0\0\n\n\n\n\0\0\0\0\0\0\0\0",
        b"\x81\x0b\0\0\0\0\0\0\0\0\0\0\n\n\n\n\0\0\0\0\0\0\0\0",
    ),
];
