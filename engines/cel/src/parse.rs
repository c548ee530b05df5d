//! Reads the syntax of an expression, within limits: the parser recurses, and an expression may come from anybody.

use std::panic::AssertUnwindSafe;

use cel::IdedExpr;
use cel::common::ast::SourceInfo;
use cel::{Env, ParseErrors};

use crate::error::Fault;
use crate::limits;

/// The stack of the thread that reads and checks an expression: ten times what [`limits::MAX_DEPTH`] takes when built without
/// optimization. It is memory only where it is used.
const STACK: usize = 64 << 20;
/// Brackets within each other, as for the API server.
const MAX_BRACKETS: u16 = 250;

/// An expression as it is written.
pub(crate) struct Source<'s> {
    text: &'s str,
    info: SourceInfo,
}

impl Source<'_> {
    /// What is wrong with a node of the tree.
    pub(crate) fn fault(&self, id: u64, message: &str) -> Fault {
        // The parser counts bytes.
        let offset = self.info.offset_for(id).map_or(0, |(start, _)| start as usize);
        let before = self.text.char_indices().take_while(|(at, _)| *at < offset).count();
        let (line, column) = place(self.text, before);
        Fault { line, column, message: message.to_owned() }
    }
}

/// Line and column of a character, both from 1.
pub(crate) fn place(text: &str, offset: usize) -> (u32, u32) {
    let mut line = 1_u32;
    let mut column = 1_u32;
    for character in text.chars().take(offset) {
        if character == '\n' {
            line = line.saturating_add(1);
            column = 1;
        } else {
            column = column.saturating_add(1);
        }
    }
    (line, column)
}

/// Reads an expression and hands its tree on, on a thread with a stack of its own.
///
/// # Errors
///
/// It is none, or goes beyond a limit; or what the function says.
pub(crate) fn read<T: Send>(
    text: &str,
    then: impl FnOnce(&IdedExpr, &Source<'_>) -> Result<T, Fault> + Send,
) -> Result<T, Fault> {
    limits::check(text)?;
    let work = || {
        // Macros are expanded while the tree is checked.
        let parser = Env::default().parser().max_recursion_depth(MAX_BRACKETS);
        let (tree, info) = parser.parse_with_source_info(text).map_err(|errors| describe(&errors))?;
        then(&tree, &Source { text, info })
    };
    let guarded = || std::panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(broken()));
    std::thread::scope(|scope| match std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, guarded) {
        Ok(thread) => thread.join().unwrap_or_else(|_| Err(broken())),
        Err(error) => {
            let message = format!("there is no thread to read the expression on: {error}");
            Err(Fault { line: 1, column: 1, message })
        }
    })
}

fn broken() -> Fault {
    Fault { line: 1, column: 1, message: "the expression cannot be read; write it in another way".to_owned() }
}

/// The first error has the place, all have their say.
fn describe(errors: &ParseErrors) -> Fault {
    let place = |at: isize| u32::try_from(at).unwrap_or(0).max(1);
    let (line, column) = errors.errors.first().map_or((1, 1), |first| (place(first.pos.0), place(first.pos.1)));
    let mut message = String::new();
    for error in errors.errors.iter().take(MAX_ERRORS) {
        if !message.is_empty() {
            message.push_str("; ");
        }
        let text = if error.msg == "UNKNOWN" { "Syntax error" } else { error.msg.as_str() };
        for character in text.chars().take(MAX_MESSAGE) {
            match character.is_control() {
                true => message.extend(character.escape_default()),
                false => message.push(character),
            }
        }
    }
    Fault { line, column, message }
}

/// How many errors of one expression are told.
const MAX_ERRORS: usize = 3;
/// Characters of an error that are told: the parser quotes what it did not understand.
const MAX_MESSAGE: usize = 300;
