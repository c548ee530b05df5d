//! Protobuf and text, written into a buffer of fixed size: the data path allocates nothing, and checks for room once.

use std::fmt;

use arrayvec::ArrayVec;

/// A buffer that is written from its front. What does not fit is left out: who writes keeps account of the room.
pub(super) struct Sheet {
    bytes: Box<[u8]>,
    len: usize,
}

impl Sheet {
    pub(super) fn new(size: usize) -> Self {
        Self { bytes: vec![0; size].into_boxed_slice(), len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn written(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Takes back all but the first `len` bytes.
    pub(super) fn cut_to(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Writes over what was written before.
    pub(super) fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    /// A varint field, unless it is zero, which its absence says.
    pub(super) fn number(&mut self, tag: &[u8], mut value: u64) {
        if value == 0 {
            return;
        }
        self.put(tag);
        let Some(place) = self.bytes.get_mut(self.len..self.len + MAX_VARINT) else { return };
        for byte in place {
            self.len += 1;
            if value < 0x80 {
                *byte = value as u8;
                break;
            }
            *byte = value as u8 | 0x80;
            value >>= 7;
        }
    }

    /// A member of a `map<string, string>` that is field 2, in one go. Returns whether it was that simple: short, and with a
    /// value that stands as it is.
    pub(super) fn pair(&mut self, name: &str, value: &[u8]) -> bool {
        let len = 4 + name.len() + value.len();
        if len >= 0x80 || !is_plain(value) {
            return false;
        }
        let Some(place) = self.bytes.get_mut(self.len..self.len + 2 + len) else { return false };
        let (head, rest) = place.split_at_mut(4);
        let (key, rest) = rest.split_at_mut(name.len());
        let (middle, text) = rest.split_at_mut(2);
        head.copy_from_slice(&[2 << 3 | 2, len as u8, 1 << 3 | 2, name.len() as u8]);
        key.copy_from_slice(name.as_bytes());
        middle.copy_from_slice(&[2 << 3 | 2, value.len() as u8]);
        text.copy_from_slice(value);
        self.len += 2 + len;
        true
    }

    /// A length-delimited field of less than 16 KiB.
    #[inline]
    pub(super) fn delimited<T>(&mut self, tag: &[u8], write: impl FnOnce(&mut Self) -> T) -> T {
        self.put(tag);
        // The length of nearly all that is logged takes one byte.
        self.byte(0);
        let start = self.len;
        let result = write(self);
        let len = self.len - start;
        if len < 0x80 {
            self.overwrite(start - 1, &[len as u8]);
        } else {
            self.byte(0);
            self.bytes.copy_within(start..start + len, start + 1);
            self.overwrite(start - 1, &[len as u8 | 0x80, (len >> 7) as u8]);
        }
        result
    }

    /// Text in at most `room` bytes; says whether all of it is there. What is cut ends in three dots.
    ///
    /// Readable UTF-8 stands as it is. A backslash is doubled, bytes that are no UTF-8 and control characters become `\x1b`,
    /// characters that reorder or hide text `\u{202e}`: a terminal shows what was sent, and nothing that is only written like
    /// it looks the same.
    pub(super) fn text(&mut self, value: &[u8], room: usize) -> bool {
        if value.len() <= room && is_plain(value) {
            self.put(value);
            return true;
        }
        let end = self.len + room;
        // Where the text can end so that the dots have room.
        let mut last = self.len;
        let mut put = |piece: &[u8]| {
            if self.len + piece.len() > end {
                self.cut_to(last);
                self.put(CUT);
                return false;
            }
            self.put(piece);
            if self.len + CUT.len() <= end {
                last = self.len;
            }
            true
        };
        for chunk in value.utf8_chunks() {
            for character in chunk.valid().chars() {
                let fits = match character {
                    '\\' => put(br"\\"),
                    '\0'..='\x1f' | '\x7f' => put(&escape_byte(character as u8)),
                    _ if hides(character) => put(&escape_character(character)),
                    _ => put(character.encode_utf8(&mut [0; 4]).as_bytes()),
                };
                if !fits {
                    return false;
                }
            }
            if !chunk.invalid().iter().all(|&byte| put(&escape_byte(byte))) {
                return false;
            }
        }
        true
    }

    pub(super) fn decimal(&mut self, mut number: u64) {
        let mut digits = [0_u8; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.put(&digits[start..]);
    }
}

/// For what is formatted once for many records.
impl fmt::Write for Sheet {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

/// Whether a text is ASCII that needs no escape. All of it is looked at, eight or more bytes at a time.
fn is_plain(text: &[u8]) -> bool {
    text.iter().fold(true, |plain, &byte| plain & (byte.wrapping_sub(b' ') <= b'~' - b' ') & (byte != b'\\'))
}

/// Control characters beyond ASCII, and those that are invisible or change the direction of what follows.
const fn hides(character: char) -> bool {
    matches!(
        character,
        '\u{80}'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn escape_byte(byte: u8) -> [u8; 4] {
    let digit = |of: u8| HEX.get(usize::from(of)).copied().unwrap_or_default();
    [b'\\', b'x', digit(byte >> 4), digit(byte & 15)]
}

/// `\u{202e}`.
fn escape_character(character: char) -> ArrayVec<u8, 12> {
    character.escape_unicode().map(|of| of as u8).collect()
}

/// What stands for the part of a text that was cut.
const CUT: &[u8] = b"...";

/// Bytes of a number at most.
const MAX_VARINT: usize = 10;

const HEX: &[u8; 16] = b"0123456789abcdef";
