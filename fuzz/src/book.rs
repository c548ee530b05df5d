//! Another reader of HTTP/1.1 requests, slow and strict, written after RFC 9112 alone and of a whole stream at once. It shares no
//! code with the parser; what the parser takes for a request must be one here, to the byte.

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) method: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// Where it ends in the stream.
    pub(super) end: usize,
}

/// What a stream holds: the requests up to the first that is not whole or not one.
pub(super) fn by_the_book(stream: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(request) = (Book { stream, at }).request() {
        at = request.end;
        found.push(request);
    }
    found
}

struct Book<'a> {
    stream: &'a [u8],
    at: usize,
}

impl<'a> Book<'a> {
    /// A line without its end: no control characters but the tab.
    fn line(&mut self) -> Option<&'a [u8]> {
        let rest = &self.stream[self.at..];
        let end = (0..rest.len().checked_sub(1)?).find(|&at| &rest[at..at + 2] == b"\r\n")?;
        let line = &rest[..end];
        self.at += end + 2;
        line.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)).then_some(line)
    }

    fn request(mut self) -> Option<Found> {
        let mut line = self.line()?;
        if line.is_empty() {
            line = self.line()?;
        }
        let words: Vec<_> = line.split(|&byte| byte == b' ').collect();
        let [method, target, version] = words[..] else { return None };
        let token = |text: &[u8]| {
            !text.is_empty()
                && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
        };
        let modern = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            _ => return None,
        };
        if !token(method) || !target.starts_with(b"/") || !target.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let (mut lengths, mut codings, mut hosts) = (Vec::new(), Vec::new(), 0);
        for (name, value) in self.fields(token)? {
            match &*name {
                "content-length" => lengths.push(value),
                "transfer-encoding" => codings.push(value),
                "host" => hosts += 1,
                _ => {}
            }
        }
        if hosts > 1 || (hosts == 0 && modern) {
            return None;
        }
        let body = match (&lengths[..], &codings[..]) {
            ([], []) => Vec::new(),
            ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
                let end = self.at.checked_add(length.parse().ok()?)?;
                let body = self.stream.get(self.at..end)?.to_vec();
                self.at = end;
                body
            }
            ([], [coding]) if modern && coding.eq_ignore_ascii_case("chunked") => self.chunks(token)?,
            _ => return None,
        };
        Some(Found { method: method.to_vec(), target: target.to_vec(), body, end: self.at })
    }

    fn fields(&mut self, token: impl Fn(&[u8]) -> bool) -> Option<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Some(fields);
            }
            let colon = line.iter().position(|&byte| byte == b':')?;
            let name = &line[..colon];
            if !token(name) {
                return None;
            }
            let value: String = line[colon + 1..].iter().map(|&byte| char::from(byte)).collect();
            let value = value.trim_matches([' ', '\t']).to_owned();
            fields.push((String::from_utf8(name.to_ascii_lowercase()).ok()?, value));
        }
    }

    fn chunks(&mut self, token: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let digits: String =
                line.iter().take_while(|byte| byte.is_ascii_hexdigit()).map(|&b| char::from(b)).collect();
            if !matches!(line.get(digits.len()), None | Some(b';')) {
                return None;
            }
            let size = usize::try_from(u128::from_str_radix(&digits, 16).ok()?).ok()?;
            if size == 0 {
                self.fields(token)?;
                return Some(body);
            }
            let end = self.at.checked_add(size)?;
            body.extend_from_slice(self.stream.get(self.at..end)?);
            self.at = end;
            if self.stream.get(end..end.checked_add(2)?)? != b"\r\n" {
                return None;
            }
            self.at += 2;
        }
    }
}
