//! memcached: the text protocol with its meta commands, and the binary protocol.
//!
//! Framing is memcached's own, not that of its documents; where versions of it read the same bytes in different ways, the
//! request is refused. `docs/memcache.md` has the tables.

mod binary;
mod commands;
#[cfg(feature = "mutants")]
pub mod mutants;
mod request;
mod rule;
mod rules;
#[cfg(test)]
mod tests;
mod text;
mod turns;

use std::sync::Arc;

use portcullis_proxylib::{Context, Direction, Input, Meta, OnData, ParseError, Parser, Protocol, Verdict};
use serde::Deserialize;

use self::binary::Binary;
pub use self::request::Request;
pub use self::rule::Rule;
pub use self::rules::Rules;
use self::text::Text;

/// The protocol.
pub struct Memcache;

impl Protocol for Memcache {
    const NAME: &'static str = "memcache";
    type Config = Config;
    type Shared = ();
    type Parser = MemcacheParser;
    const STAND_IN: Option<&'static str> = Some("`mn` (`version` for servers before 1.6.10), binary `version`");

    fn open(&self, _meta: &Meta, config: &Config, _shared: &Arc<()>) -> Option<MemcacheParser> {
        Some(MemcacheParser(Spoken::Unknown(config.clone())))
    }
}

/// What a listener may say of the servers behind it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// The oldest memcached behind the listener.
    pub(crate) server: ServerVersion,
    /// Whether the servers want credentials in text (`memcached -Y`), so that nothing else passes before they are accepted.
    pub(crate) authentication: bool,
}

/// `">=1.6.10"`: the oldest version that may be behind a listener.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub(crate) struct ServerVersion([u16; 3]);

impl ServerVersion {
    /// Whether meta commands are read as they are today (`ms` had another form before).
    pub(crate) fn has_meta(self) -> bool {
        self >= Self([1, 6, 10])
    }
}

impl Default for ServerVersion {
    fn default() -> Self {
        Self([1, 6, 10])
    }
}

impl TryFrom<String> for ServerVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`server: {text}`: write the oldest version of memcached, as in `>=1.6.10`");
        let mut version = [0; 3];
        let mut numbers = text.strip_prefix(">=").ok_or_else(wrong)?.trim_start().split('.');
        for place in &mut version {
            let number = numbers.next().filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
            *place = number.and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
        }
        // What 1.4.0 and later read alike was looked at; nothing older was.
        if numbers.next().is_some() || version < [1, 4, 0] {
            return Err(wrong());
        }
        Ok(Self(version))
    }
}

/// The parser of one connection.
pub struct MemcacheParser(Spoken);

/// Which protocol is spoken: the client's first byte says so, for good.
enum Spoken {
    Unknown(Config),
    Text(Text),
    Binary(Binary),
}

impl Parser for MemcacheParser {
    type Rules = Rules;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>) -> OnData<'c> {
        if let Spoken::Unknown(config) = &self.0 {
            self.0 = match (cx.direction(), input.first()) {
                (_, None) => return Ok(Verdict::More(1)),
                // Exactly this byte makes the server speak binary; any other one is text. So is what it says unasked.
                (Direction::Orig, Some(&binary::MAGIC)) => Spoken::Binary(Binary::default()),
                (Direction::Orig, Some(_)) => Spoken::Text(Text::new(config)),
                (Direction::Reply, Some(_)) => return Text::new(config).on_data(cx, input),
            };
        }
        match &mut self.0 {
            Spoken::Unknown(_) => Err(ParseError::new("no byte says which protocol is spoken")),
            Spoken::Text(text) => text.on_data(cx, input),
            Spoken::Binary(binary) => binary.on_data(cx, input),
        }
    }

    fn owes_replies(&self) -> bool {
        match &self.0 {
            Spoken::Unknown(_) => false,
            Spoken::Text(text) => text.owes_replies(),
            Spoken::Binary(binary) => binary.owes_replies(),
        }
    }

    fn kept_answers(&self) -> usize {
        match &self.0 {
            Spoken::Unknown(_) => 0,
            Spoken::Text(text) => text.kept_answers(),
            Spoken::Binary(binary) => binary.kept_answers(),
        }
    }
}
