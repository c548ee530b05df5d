//! Fuzzed bytes as a script: who sends what, in which order, under which policy.
//!
//! The first byte chooses policy and configuration, the second seeds cuts and what the server answers. What follows is sent by
//! the client, up to a mark (0xfe) and a letter:
//!
//! | letter | meaning |
//! |---|---|
//! | `c`, `s` | what follows is sent by the client, by the server |
//! | `C`, `S` | the client, the server closes its side |
//! | `F`, `f` | the client's send buffer is full, and is no longer |
//! | `r` and a byte | what was sent since the last mark is sent so many times more |
//! | 0xfe | the byte 0xfe |
//!
//! Anything else after a mark stands for itself.

/// Bytes of a script when all repetitions are written out: enough to fill every queue of a parser.
const MAX_BYTES: usize = 32 << 10;

/// Bytes up to which a client's are sent one by one. Larger scripts repeat themselves, and would take too long.
const MAX_BYTEWISE: usize = 2 << 10;

/// Repetitions take more places than this only to be slow.
const MAX_STEPS: usize = 512;

pub(super) const MARK: u8 = 0xfe;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Client(Vec<u8>),
    Server(Vec<u8>),
    ClientEnd,
    ServerEnd,
    ClientFull(bool),
}

#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) settings: u8,
    pub(super) seed: u8,
    pub(super) steps: Vec<Step>,
}

impl Script {
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let (&[settings, seed], rest) = data.split_first_chunk()?;
        Some(Self { settings, seed, steps: read_steps(rest) })
    }

    /// All that the client sends.
    pub(super) fn client(&self) -> Vec<u8> {
        let sent =
            self.steps.iter().filter_map(|step| if let Step::Client(bytes) = step { Some(&bytes[..]) } else { None });
        sent.collect::<Vec<_>>().concat()
    }

    /// Whether there is time to send every byte for itself.
    pub(super) fn is_short(&self) -> bool {
        self.client().len() <= MAX_BYTEWISE
    }
}

fn read_steps(data: &[u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut chunk = Vec::new();
    let mut of_server = false;
    let mut total = 0;
    let mut bytes = data.iter().copied();
    let close = |chunk: &mut Vec<u8>, of_server: bool, steps: &mut Vec<Step>| {
        let bytes = std::mem::take(chunk);
        if !bytes.is_empty() {
            steps.push(if of_server { Step::Server(bytes) } else { Step::Client(bytes) });
        }
    };
    while let Some(byte) = bytes.next() {
        if steps.len() >= MAX_STEPS || total >= MAX_BYTES {
            break;
        }
        total += 1;
        let letter = if byte == MARK { bytes.next() } else { None };
        let Some(letter) = letter else {
            chunk.push(byte);
            continue;
        };
        let step = match letter {
            b'c' | b's' => None,
            b'C' => Some(Step::ClientEnd),
            b'S' => Some(Step::ServerEnd),
            b'F' | b'f' => Some(Step::ClientFull(letter == b'F')),
            b'r' => {
                let times = usize::from(bytes.next().unwrap_or(0));
                let room = (MAX_BYTES - total) / chunk.len().max(1);
                let more = chunk.repeat(times.min(room));
                total += more.len();
                chunk.extend(more);
                continue;
            }
            MARK => {
                chunk.push(MARK);
                continue;
            }
            other => {
                chunk.extend([MARK, other]);
                continue;
            }
        };
        close(&mut chunk, of_server, &mut steps);
        match letter {
            b'c' => of_server = false,
            b's' => {
                of_server = true;
                // Where the server answers by itself, this is its cue.
                steps.push(Step::Server(Vec::new()));
            }
            _ => steps.extend(step),
        }
    }
    close(&mut chunk, of_server, &mut steps);
    without_afterlife(steps)
}

/// Who has closed its side sends nothing more.
fn without_afterlife(mut steps: Vec<Step>) -> Vec<Step> {
    let (mut client, mut server) = (true, true);
    steps.retain(|step| match step {
        Step::Client(_) => client,
        Step::Server(_) => server,
        Step::ClientEnd => std::mem::take(&mut client),
        Step::ServerEnd => std::mem::take(&mut server),
        Step::ClientFull(_) => true,
    });
    steps
}

/// Writes a script that [`Script::read`] reads as these steps.
pub(super) fn write(settings: u8, seed: u8, steps: &[Step]) -> Vec<u8> {
    let mut data = vec![settings, seed];
    for step in steps {
        match step {
            Step::Client(bytes) | Step::Server(bytes) => {
                data.extend([MARK, if matches!(step, Step::Client(_)) { b'c' } else { b's' }]);
                for &byte in bytes {
                    data.extend(std::iter::repeat_n(byte, if byte == MARK { 2 } else { 1 }));
                }
            }
            Step::ClientEnd => data.extend([MARK, b'C']),
            Step::ServerEnd => data.extend([MARK, b'S']),
            Step::ClientFull(full) => data.extend([MARK, if *full { b'F' } else { b'f' }]),
        }
    }
    data
}
