//! One record, borrowed from its line.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

/// One record. What newer versions may add is not looked at.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record<'a> {
    pub(crate) v: u32,
    #[serde(borrow)]
    time: Text<'a>,
    pub(crate) verdict: Verdict,
    #[serde(borrow)]
    pub(crate) protocol: Text<'a>,
    #[serde(borrow)]
    pub(crate) direction: Text<'a>,
    #[serde(default, borrow)]
    pub(crate) source: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub(crate) destination: Option<Text<'a>>,
    pub(crate) port: u16,
    #[serde(borrow)]
    pub(crate) remote: Remote<'a>,
    #[serde(default)]
    pub(crate) generation: u64,
    #[serde(default, borrow)]
    pub(crate) rule: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub(crate) reason: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub(crate) fields: Members<'a>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Forwarded,
    Audit,
    Denied,
    Reply,
    Error,
}

/// The other side of a connection.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remote<'a> {
    #[serde(default, borrow)]
    pub(crate) known_by: Option<Text<'a>>,
    /// The name in its certificate.
    #[serde(default, borrow)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub(crate) labels: Members<'a>,
}

/// The members of an object, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    List(Vec<Cow<'a, str>>),
    Number(u64),
}

/// A text, borrowed if nothing in it is escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a>(Cow<'a, str>);

impl Record<'_> {
    /// When it was; nothing if that cannot be read.
    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.time.parse().ok()
    }

    /// The other side for people: the name in its certificate, its labels, or its address.
    pub(crate) fn who(&self) -> String {
        if let Some(name) = &self.remote.name {
            return name.to_string();
        }
        let labels: Vec<_> = self.remote.labels.texts().map(|(key, value)| join(key, value)).collect();
        let labels = labels.join(",");
        let unknown = self.remote.known_by.as_deref() == Some("nothing");
        match self.peer_address() {
            Some(address) if unknown || labels.is_empty() => format!("{} ({labels})", address_of(address)),
            _ => labels,
        }
    }

    /// The address and port of the other side.
    pub(crate) fn peer_address(&self) -> Option<&str> {
        let peer = if &*self.direction == "egress" { &self.destination } else { &self.source };
        peer.as_deref()
    }

    /// What was asked for: the first field, which is the command.
    pub(crate) fn command(&self) -> &str {
        match self.fields.0.first() {
            Some((_, Value::Text(command))) => command,
            _ => "",
        }
    }
}

/// An address without its port.
pub(crate) fn address_of(socket: &str) -> &str {
    let address = socket.rsplit_once(':').map_or(socket, |(address, _)| address);
    address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address)
}

fn join(key: &str, value: &str) -> String {
    if value.is_empty() { key.to_owned() } else { format!("{key}={value}") }
}

impl<'a> Members<'a> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// Those members that are texts.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter_map(|(name, value)| match value {
            Value::Text(text) => Some((name, &**text)),
            Value::List(_) | Value::Number(_) => None,
        })
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(Anything)? {
            Value::Text(text) => Ok(Self(text)),
            Value::List(_) | Value::Number(_) => Err(de::Error::custom("wanted a text")),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a list of texts or a number")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(Text(text)) = items.next_element()? {
            list.push(text);
        }
        Ok(Value::List(list))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Text(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
