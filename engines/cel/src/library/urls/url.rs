//! URLs, by the grammar of Go's `net/url`.

use std::net::IpAddr;

use super::escape::{EscapeError, Part, escape, is_valid, unescape};
use crate::library::quote::quote;

/// A URL, or an absolute path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Url {
    pub(crate) scheme: String,
    /// The host, and the port if there is one. What is no text in it is replaced.
    pub(crate) host: String,
    pub(crate) escaped_path: String,
    query: String,
    /// The whole, put together again: what decides whether two are the same.
    pub(crate) text: String,
}

impl Url {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// It is none: what is wrong, as Go says it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        check(text)?;
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let mut url = read(rest, false)?;
        if !fragment.is_empty() {
            url.text.push('#');
            url.text.push_str(&escaped(fragment, Part::Fragment)?);
        }
        Ok(url)
    }

    /// The host without its port and its brackets.
    pub(crate) fn hostname(&self) -> &str {
        let host = self.split_host().0;
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port; empty if there is none.
    pub(crate) fn port(&self) -> &str {
        self.split_host().1
    }

    /// The pairs of the query, in order. What cannot be read is left out, and so is all where there are more than 10,000.
    pub(crate) fn query(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let readable = self.query.split('&').count() <= MAX_PAIRS;
        let pairs = self.query.split('&').filter(move |pair| readable && !pair.is_empty() && !pair.contains(';'));
        pairs.filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let read =
                |text| unescape(text, Part::Query).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            Some((read(name)?, read(value)?))
        })
    }

    fn split_host(&self) -> (&str, &str) {
        match self.host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
            _ => (&self.host, ""),
        }
    }
}

/// Whether a text is a URL or an absolute path, as the format `uri` asks. A fragment is not looked for.
///
/// # Errors
///
/// What is wrong, as Go says it.
pub(crate) fn check(text: &str) -> Result<(), String> {
    read(text, true).map(drop)
}

/// What it says of a URL that cannot be read, around the reason.
pub(crate) fn explain(text: &str, reason: &str) -> String {
    format!("parse {}: {reason}", quote(text))
}

fn read(text: &str, absolute: bool) -> Result<Url, String> {
    if text.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    if text.is_empty() && absolute {
        return Err("empty url".to_owned());
    }
    if text == "*" {
        return Ok(Url { escaped_path: "*".to_owned(), text: "*".to_owned(), ..Url::default() });
    }
    let (scheme, rest) = split_scheme(text)?;
    let scheme = scheme.to_ascii_lowercase();
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    let mut url = Url { scheme, query: query.unwrap_or_default().to_owned(), ..Url::default() };
    if !url.scheme.is_empty() {
        url.text = format!("{}:", url.scheme);
    }
    if rest.starts_with('/') {
        read_hierarchy(&mut url, rest, absolute)?;
    } else if !url.scheme.is_empty() {
        url.text.push_str(rest);
    } else if absolute {
        return Err("invalid URI for request".to_owned());
    } else if rest.split('/').next().is_some_and(|first| first.contains(':')) {
        return Err("first path segment in URL cannot contain colon".to_owned());
    } else {
        url.escaped_path = escaped(rest, Part::Path)?;
        url.text.push_str(&url.escaped_path);
    }
    if let Some(query) = query {
        url.text.push('?');
        url.text.push_str(query);
    }
    Ok(url)
}

/// What starts with a slash: an authority, if there is one, and a path.
fn read_hierarchy(url: &mut Url, rest: &str, absolute: bool) -> Result<(), String> {
    let authority =
        rest.strip_prefix("//").filter(|_| !url.scheme.is_empty() || (!absolute && !rest.starts_with("///")));
    let Some(rest) = authority else {
        url.escaped_path = escaped(rest, Part::Path)?;
        url.text.push_str(&url.escaped_path);
        return Ok(());
    };
    let (authority, path) = rest.find('/').and_then(|slash| rest.split_at_checked(slash)).unwrap_or((rest, ""));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let host = read_host(&url.scheme, host)?;
    let user = user.map(read_user).transpose()?;
    url.escaped_path = escaped(path, Part::Path)?;
    if !host.is_empty() || !path.is_empty() || user.is_some() {
        url.text.push_str("//");
    }
    if let Some(user) = user {
        url.text.push_str(&user);
        url.text.push('@');
    }
    url.text.push_str(&escape(&host, Part::Host));
    url.text.push_str(&url.escaped_path);
    url.host = String::from_utf8_lossy(&host).into_owned();
    Ok(())
}

fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok(text.split_once(':').unwrap_or(("", text))),
            _ => break,
        }
    }
    Ok(("", text))
}

/// Checks who is named before the host; gives it as it is written in full.
fn read_user(user: &str) -> Result<String, String> {
    if !user.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(letter)) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    let rewrite =
        |part| unescape(part, Part::User).map(|bytes| escape(&bytes, Part::User)).map_err(EscapeError::message);
    match user.split_once(':') {
        None => rewrite(user),
        Some((name, password)) => Ok(format!("{}:{}", rewrite(name)?, rewrite(password)?)),
    }
}

fn read_host(scheme: &str, host: &str) -> Result<Vec<u8>, String> {
    match host.rfind('[') {
        Some(0) => return read_literal(host),
        Some(_) => return Err("invalid IP-literal".to_owned()),
        None => {}
    }
    // "enforce strict colons only for http and https URLs."
    let colon = if matches!(scheme, "http" | "https") { host.find(':') } else { host.rfind(':') };
    check_port(colon.and_then(|colon| host.get(colon..)).unwrap_or_default())?;
    unescape(host, Part::Host).map_err(EscapeError::message)
}

/// `[::1]:80`.
fn read_literal(host: &str) -> Result<Vec<u8>, String> {
    let (literal, port) = host.rsplit_once(']').ok_or_else(|| "missing ']' in host".to_owned())?;
    check_port(port)?;
    let literal = literal.strip_prefix('[').unwrap_or(literal);
    let (address, zone) = literal.find("%25").and_then(|at| literal.split_at_checked(at)).unwrap_or((literal, ""));
    let mut name = unescape(address, Part::Host).map_err(EscapeError::message)?;
    name.extend(unescape(zone, Part::Zone).map_err(EscapeError::message)?);
    let text = String::from_utf8_lossy(&name);
    match parse_zoned(&text) {
        Some(IpAddr::V6(_)) => Ok([b"[", name.as_slice(), b"]", port.as_bytes()].concat()),
        Some(IpAddr::V4(_)) => Err("invalid IP-literal".to_owned()),
        None => Err(format!("invalid host: ParseAddr({}): unable to parse IP", quote(&text))),
    }
}

fn parse_zoned(text: &str) -> Option<IpAddr> {
    let Some((address, zone)) = text.split_once('%') else { return text.parse().ok() };
    address.parse().ok().filter(|address: &IpAddr| address.is_ipv6() && !zone.is_empty())
}

fn check_port(port: &str) -> Result<(), String> {
    match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        None if port.is_empty() => Ok(()),
        _ => Err(format!("invalid port {} after host", quote(port))),
    }
}

/// A path or fragment as Go shows it: as it was written if nothing in that needs to be escaped.
fn escaped(text: &str, part: Part) -> Result<String, String> {
    let bytes = unescape(text, part).map_err(EscapeError::message)?;
    Ok(match bytes.as_slice() {
        b"*" if part == Part::Path => "*".to_owned(),
        _ if is_valid(text, part) => text.to_owned(),
        bytes => escape(bytes, part),
    })
}

/// "defaultMaxParams" of Go.
const MAX_PAIRS: usize = 10_000;
