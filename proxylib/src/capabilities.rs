//! What a host can do, and what it cannot.

/// What a host can do for the datapath and its parsers. What it cannot is lost to the operator, or done another way: each
/// field says which, and [`losses`](Self::losses) says it to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a table of what is there and what is not")]
pub struct Capabilities {
    /// The host's name.
    pub host: &'static str,
    /// A connection can be called back when a job is done. Else jobs run in place, and hold up the worker.
    pub can_wake: bool,
    /// Unfinished frames, and replies that are owed, time out. Else the proxy's idle timeout has to do.
    pub deadlines: bool,
    /// A denial can be answered in the event whose bytes are all dropped. Else another request stands in for the denied one,
    /// if the protocol has such a thing, and the answer takes the place of the server's; if not, the connection closes.
    pub reply_while_dropping: bool,
    /// The end of each direction is seen, and sent on alone. Else a half-closed connection is a closed one.
    pub half_close: bool,
    /// Bytes that pass whole are not copied.
    pub zero_copy: bool,
    /// The host says when the client does not read, and can stop reading from it. Else only what waits to be injected is
    /// bounded.
    pub back_pressure: bool,
    /// Bytes that can be injected in one call of the parser, where that is bounded. The rest follows in later calls.
    pub max_inject: Option<usize>,
    /// A panic is caught and costs one connection. Else it costs the whole sandbox of the host.
    pub catches_panics: bool,
    /// What was judged and passed reaches the server before the connection is closed. Else it may be lost with the close.
    pub orderly_close: bool,
    /// The reason of a close is told to the proxy's own access log. Else it is in ours alone.
    pub tells_reason: bool,
    /// Metrics are up to date without traffic. Else they are when the next connection opens or closes.
    pub idle_metrics: bool,
}

impl Capabilities {
    /// A host of this name that can do everything; take away what it cannot.
    pub const fn all(host: &'static str) -> Self {
        Self {
            host,
            can_wake: true,
            deadlines: true,
            reply_while_dropping: true,
            half_close: true,
            zero_copy: true,
            back_pressure: true,
            max_inject: None,
            catches_panics: true,
            orderly_close: true,
            tells_reason: true,
            idle_metrics: true,
        }
    }

    /// What an operator goes without, each as the second half of a sentence.
    pub fn losses(self) -> impl Iterator<Item = &'static str> {
        let lacks = [
            (self.can_wake, "a long judgement holds up all connections of its worker"),
            (self.deadlines, "an unfinished request is not timed out; set an idle timeout"),
            (
                self.reply_while_dropping,
                "a denial is answered in the place of a reply; where the protocol has none to ask for, the connection closes",
            ),
            (self.half_close, "a connection that one side has closed is closed for both"),
            (self.back_pressure, "a client that does not read is read from all the same"),
            (self.catches_panics, "a parser that panics takes all connections of its worker with it"),
            (self.orderly_close, "requests that passed just before a close may not reach the server"),
            (self.tells_reason, "only the access log of Portcullis says why it closed a connection"),
            (self.idle_metrics, "metrics may be out of date until the next connection opens or closes"),
        ];
        lacks.into_iter().filter(|(has, _)| !has).map(|(_, loss)| loss)
    }
}
