//! What a parser author writes, and its type-erased faces.

use std::sync::Arc;

use portcullis_policy::{DocumentCompiler, RuleCompiler, RuleSet, TypedCompiler};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::context::{Call, Context};
use crate::input::Input;
use crate::meta::Meta;
use crate::verdict::{OnData, ParseError, Verdict};

/// A protocol: a unit struct with this trait, in one file. See `parsers/src/r2d2.rs` for the tutorial.
pub trait Protocol: Send + Sync + 'static {
    /// The name in policies (`l7proto`) and listeners: lower case, unique in a registry.
    const NAME: &'static str;
    /// What a listener may say of the protocol: limits, modes, server version. [`NoConfig`] where there is nothing to say.
    type Config: DeserializeOwned + Default + Send + Sync + 'static;
    /// What all connections of a listener share. `()` where there is nothing.
    type Shared: Default + Send + Sync + 'static;
    /// The parser of one connection.
    type Parser: Parser;
    /// The request that stands in for a denied one where a host cannot answer by itself ([`Context::can_answer`]): its name for
    /// the docs. Without one a denial closes the connection there, if the server owes no reply.
    const STAND_IN: Option<&'static str> = None;
    /// Whether its bytes are HTTP/1.1, one request for each reply: a host's filter for HTTP can speak it then, too.
    const IS_HTTP: bool = false;

    /// What compiles the documents that the protocol brings along beside policies, if it has any.
    fn documents(&self) -> Option<&'static dyn DocumentCompiler> {
        None
    }

    /// Makes the parser of a new connection. `None` refuses the connection.
    fn open(&self, meta: &Meta, config: &Self::Config, shared: &Arc<Self::Shared>) -> Option<Self::Parser>;
}

/// The state of a protocol on one connection.
pub trait Parser: Send + 'static {
    /// The rules that requests of this protocol are judged by.
    type Rules: RuleSet;

    /// Looks at the undecided bytes of one direction and says what is to be done with the first of them.
    ///
    /// # Errors
    /// The bytes are not what the protocol allows. The connection closes once the replies still owed are delivered.
    fn on_data<'c>(&mut self, cx: &mut Context<'c, Self::Rules>, input: Input<'_>) -> OnData<'c>;

    /// Whether replies to requests that passed are still to come. A connection that must close waits for them, for a time.
    fn owes_replies(&self) -> bool {
        false
    }

    /// Bytes of answers that are kept until it is their turn. They count against what the connections of a listener may hold:
    /// see [`Limits::held_bytes`](crate::Limits::held_bytes).
    fn kept_answers(&self) -> usize {
        0
    }
}

/// For protocols that a listener cannot configure.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// A protocol with its types erased, as a registry lists it.
pub trait ErasedProtocol: Send + Sync + 'static {
    /// The name in policies and listeners.
    fn name(&self) -> &'static str;
    /// The compiler for `l7` items.
    fn rules(&self) -> &dyn RuleCompiler;
    /// What compiles its documents, if it has any.
    fn documents(&self) -> Option<&'static dyn DocumentCompiler> {
        None
    }
    /// See [`Protocol::STAND_IN`].
    fn stand_in(&self) -> Option<&'static str> {
        None
    }
    /// See [`Protocol::IS_HTTP`].
    fn is_http(&self) -> bool {
        false
    }
    /// Reads what a listener says of the protocol; `null` says nothing.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    fn listen(&'static self, config: &serde_json::Value) -> Result<Box<dyn Listen>, serde_json::Error>;
}

/// A protocol as one listener has configured it.
pub trait Listen: Send + Sync {
    /// Makes the parser of a new connection. `None` refuses the connection.
    fn open(&self, meta: &Meta) -> Option<Box<dyn ErasedParser>>;
}

/// A parser with its types erased.
pub trait ErasedParser: Send {
    #[doc(hidden)]
    fn on_data<'c>(&mut self, call: &'c mut Call<'c>, input: Input<'_>) -> Result<Verdict<'c>, ParseError>;
    #[doc(hidden)]
    fn owes_replies(&self) -> bool;
    #[doc(hidden)]
    fn kept_answers(&self) -> usize;
}

impl<P: Protocol> ErasedProtocol for P {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn rules(&self) -> &dyn RuleCompiler {
        const { &TypedCompiler::<<P::Parser as Parser>::Rules>::new() }
    }

    fn documents(&self) -> Option<&'static dyn DocumentCompiler> {
        Protocol::documents(self)
    }

    fn stand_in(&self) -> Option<&'static str> {
        P::STAND_IN
    }

    fn is_http(&self) -> bool {
        P::IS_HTTP
    }

    fn listen(&'static self, config: &serde_json::Value) -> Result<Box<dyn Listen>, serde_json::Error> {
        let config = if config.is_null() { P::Config::default() } else { P::Config::deserialize(config)? };
        Ok(Box::new(Listener { protocol: self, config, shared: Arc::default() }))
    }
}

impl<T: Parser> ErasedParser for T {
    fn on_data<'c>(&mut self, call: &'c mut Call<'c>, input: Input<'_>) -> Result<Verdict<'c>, ParseError> {
        Parser::on_data(self, &mut Context::new(call), input)
    }

    fn owes_replies(&self) -> bool {
        Parser::owes_replies(self)
    }

    fn kept_answers(&self) -> usize {
        Parser::kept_answers(self)
    }
}

struct Listener<P: Protocol> {
    protocol: &'static P,
    config: P::Config,
    shared: Arc<P::Shared>,
}

impl<P: Protocol> Listen for Listener<P> {
    fn open(&self, meta: &Meta) -> Option<Box<dyn ErasedParser>> {
        let parser = self.protocol.open(meta, &self.config, &self.shared)?;
        Some(Box::new(parser))
    }
}
