//! What a host can do, and what it cannot.

/// What a host can do for the datapath and its parsers. What it cannot is lost to the operator, or done another way; each
/// field says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The host's name.
    pub host: &'static str,
    /// A connection can be called back when a job is done. Else jobs run in place, and hold up the worker.
    pub can_wake: bool,
    /// Unfinished frames, and replies that are owed, time out. Else the proxy's idle timeout has to do.
    pub deadlines: bool,
    /// A denial can be answered in the event whose bytes are all dropped. Else it goes out with the next bytes that pass, in
    /// either direction.
    pub reply_while_dropping: bool,
    /// The end of each direction is seen and sent on alone. Else a half-closed connection is a closed one.
    pub half_close: bool,
    /// Bytes that pass whole are not copied.
    pub zero_copy: bool,
    /// The host says when the client does not read, and can stop reading from it. Else only what waits to be injected is
    /// bounded.
    pub back_pressure: bool,
    /// Bytes that can be injected in one call of the parser, if that is bounded. The rest follows in later calls.
    pub max_inject: Option<usize>,
    /// A panic is caught and costs one connection. Else it costs the whole sandbox of the host.
    pub catches_panics: bool,
    /// What was judged and passed reaches the server before the connection is closed. Else it may be lost with the close.
    pub orderly_close: bool,
    /// The reason of a close is told to the proxy's own access log.
    pub tells_reason: bool,
    /// Metrics are up to date without traffic. Else they are when the next connection opens or closes.
    pub idle_metrics: bool,
}
