//! Sends a stream and reads what comes back, to the end of the connection.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// A connection that is neither closed nor has anything to say for so long hangs.
const HUNG: Duration = Duration::from_secs(8);

/// A watcher that has nothing more to say for so long is left alone.
const WATCHED: Duration = Duration::from_millis(300);

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// All bytes.
    pub(super) bytes: Vec<u8>,
    /// Whether the connection was not closed in time after the client had closed its side.
    pub(super) hung: bool,
}

/// How a stream is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// One piece after the other.
    Fast,
    /// After each piece whatever comes back is awaited, until nothing has come for so long.
    Patient(Duration),
}

/// Sends pieces and closes the client's side; reads until the other side is closed.
///
/// `watches` says that the server may never close.
pub(super) fn play(stream: &TcpStream, pieces: &[Vec<u8>], pace: Pace, watches: bool) -> Reply {
    let mut reply = Reply::default();
    thread::scope(|scope| {
        match pace {
            Pace::Fast => {
                // On a thread of its own, so that neither side waits for the other to read.
                scope.spawn(|| {
                    send(stream, pieces);
                    end(stream);
                });
            }
            Pace::Patient(pause) => {
                for piece in pieces {
                    send(stream, std::slice::from_ref(piece));
                    if read(stream, pause, &mut reply) == Ended::Closed {
                        break;
                    }
                }
                end(stream);
            }
        }
        if read(stream, if watches { WATCHED } else { HUNG }, &mut reply) == Ended::Silent {
            reply.hung = !watches;
            // The writer may hang as well.
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
    reply
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Closed,
    Silent,
}

fn send(mut stream: &TcpStream, pieces: &[Vec<u8>]) {
    for piece in pieces {
        // The other side may have closed: what it said before is all there is.
        if stream.write_all(piece).is_err() {
            return;
        }
    }
}

fn end(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
}

/// Reads until the other side closes, or nothing came for `silence`.
fn read(mut stream: &TcpStream, silence: Duration, reply: &mut Reply) -> Ended {
    let mut buffer = [0; 1 << 14];
    let mut last = Instant::now();
    if stream.set_read_timeout(Some(silence)).is_err() {
        return Ended::Closed;
    }
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ended::Closed,
            Ok(count) => {
                reply.bytes.extend_from_slice(&buffer[..count]);
                last = Instant::now();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if last.elapsed() >= silence {
                    return Ended::Silent;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Ended::Closed,
        }
    }
}
