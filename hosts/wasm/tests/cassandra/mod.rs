//! What a Cassandra would say to OPTIONS, and where that stands in segments.

/// OPTIONS, an envelope of nine bytes.
pub(crate) type Question = [u8; 9];

pub(crate) fn is_question(bytes: &Question) -> bool {
    matches!(bytes, [3..=5, 0, _, _, 5, 0, 0, 0, 0])
}

/// SUPPORTED, with nothing in it.
pub(crate) fn answer(question: &Question) -> Vec<u8> {
    let [version, _, s0, s1, ..] = *question;
    vec![0x80 | version, 0, s0, s1, 6, 0, 0, 0, 2, 0, 0]
}

/// Envelopes outside of segments, sorted; what is none is left as it is.
pub(crate) fn sorted(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut envelopes = Vec::new();
    while let Some(head) = bytes.first_chunk::<9>()
        && let Some((envelope, rest)) =
            bytes.split_at_checked(9 + u32::from_be_bytes(*head.last_chunk().unwrap()) as usize)
    {
        envelopes.push(envelope);
        bytes = rest;
    }
    envelopes.sort_unstable();
    envelopes.push(bytes);
    envelopes
}

/// Where a server is in its replies.
#[derive(Default)]
pub(crate) struct Replies {
    /// Whether envelopes come in segments, and then, whether these may be compressed.
    pub(crate) segments: Option<bool>,
    /// What has come of the envelope or segment under way.
    begun: Vec<u8>,
    /// Bytes of it that are not kept.
    left: usize,
    /// The last segment was one of several of a reply.
    continued: bool,
}

impl Replies {
    pub(crate) fn is_between_replies(&self) -> bool {
        self.begun.is_empty() && self.left == 0 && !self.continued
    }

    /// Takes what a server says, to a client that has sent so much.
    pub(crate) fn say(&mut self, mut bytes: &[u8], sent: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let now = self.left.min(bytes.len());
                self.left -= now;
                bytes = &bytes[now..];
                continue;
            }
            self.begun.push(bytes[0]);
            bytes = &bytes[1..];
            let head = match self.segments {
                None => 9,
                Some(false) => 6,
                Some(true) => 8,
            };
            if self.begun.len() < head {
                continue;
            }
            let begun = std::mem::take(&mut self.begun);
            if let Some(lz4) = self.segments {
                let mut number = [0; 8];
                number[..head - 3].copy_from_slice(&begun[..head - 3]);
                let number = u64::from_le_bytes(number);
                self.left = (number & 0x1_ffff) as usize + 4;
                // The last one of several cannot be told by itself: scenarios end there.
                self.continued = number >> (if lz4 { 34 } else { 17 }) & 1 == 0;
            } else {
                self.left = u32::from_be_bytes(*begun.last_chunk().unwrap()) as usize;
                if begun[0] == 0x85 && matches!(begun[4], 2 | 3) {
                    self.segments = Some(sent.windows(3).any(|three| three == b"lz4"));
                }
            }
        }
    }
}

/// The length of the segment in front, and its payload, if that is not compressed.
pub(crate) fn payload(bytes: &[u8], lz4: bool) -> Option<(usize, &[u8])> {
    let header = if lz4 { 8 } else { 6 };
    let mut number = [0; 8];
    number[..header - 3].copy_from_slice(bytes.get(..header - 3)?);
    let number = u64::from_le_bytes(number);
    let compressed = lz4 && number >> 17 & 0x1_ffff != 0;
    let len = usize::try_from(number & 0x1_ffff).ok()?;
    let payload = bytes.get(header..header + len)?;
    (!compressed).then_some((header + len + 4, payload))
}

/// If there are requests that stand in for others in the segment in front: its length, they, and the rest of its payload.
pub(crate) fn take_questions(bytes: &[u8], lz4: bool) -> Option<(usize, Vec<Question>, Vec<u8>)> {
    let (len, mut rest) = payload(bytes, lz4)?;
    let (mut questions, mut kept) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let head: &Question = rest.first_chunk()?;
        let (envelope, others) = rest.split_at_checked(9 + u32::from_be_bytes(*head.last_chunk()?) as usize)?;
        if is_question(head) {
            questions.push(*head);
        } else {
            kept.extend_from_slice(envelope);
        }
        rest = others;
    }
    (!questions.is_empty()).then_some((len, questions, kept))
}

/// A segment that holds all of its envelopes, and is not compressed.
pub(crate) fn segment(lz4: bool, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u64;
    let number = if lz4 { len | 1 << 34 } else { len | 1 << 17 }.to_le_bytes();
    let mut bytes = number[..if lz4 { 5 } else { 3 }].to_vec();
    let crc = bytes.iter().fold(0x0087_5060_u32, |crc, &byte| {
        (0..8).fold(
            crc ^ u32::from(byte) << 16,
            |crc, _| if crc & 0x0080_0000 == 0 { crc << 1 } else { crc << 1 ^ 0x0197_4f0b },
        ) & 0x00ff_ffff
    });
    bytes.extend_from_slice(&crc.to_le_bytes()[..3]);
    bytes.extend_from_slice(payload);
    let mut sum = crc32fast::Hasher::new();
    sum.update(&[0xfa, 0x2d, 0x55, 0xca]);
    sum.update(payload);
    bytes.extend_from_slice(&sum.finalize().to_le_bytes());
    bytes
}
