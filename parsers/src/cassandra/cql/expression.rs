//! Terms and selectors: values, functions, casts, collections, and arithmetic with them.
//!
//! They nest, and are read without recursion: [`Stack`] holds the brackets that are open.

use super::reader::{Name, Path, Read, Reader, Stack};
use super::token::Tok;
use super::{Kind, SyntaxError};

/// What an expression is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Values: no column is named in them.
    Term,
    /// A value that is assigned, which may be `column + value` or `value + column`.
    Assignment,
    /// What a `SELECT` computes from columns.
    Selector,
}

/// A bracket that is open, and what may stand in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    /// `f(..)`
    Arguments,
    /// `(..)`, which is a type if nothing but its name is in it.
    Tuple,
    List,
    /// `{`, of which nobody knows yet what it is.
    Brace,
    Set,
    MapKey,
    MapValue,
    /// `{field: value}` among terms.
    Fields,
    /// `column[..]`, with terms in it.
    Subscript,
    /// `column[..` behind two dots.
    SubscriptEnd,
    /// `CAST(.. AS type)`
    Cast,
    /// `WRITETIME(column)`
    Column,
}

struct Expression {
    mode: Mode,
    brackets: Stack<(Bracket, Mode)>,
    /// Behind an opening parenthesis and nothing else: what is there may be a type.
    opened: bool,
    /// The name that is alone behind an opening parenthesis.
    lone: Option<Lone>,
    /// No sign may stand here.
    unsigned: bool,
    /// Whether a column may stand here that is assigned from.
    column: Column,
}

/// Where a column may stand in what is assigned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    /// At the beginning, if something is added to it.
    First,
    /// Behind a plus, if nothing follows.
    Last,
    Never,
}

/// What is alone between parentheses.
#[derive(Clone, Copy)]
enum Lone {
    Path(Path),
    /// The class of a type, or just a string.
    Class,
}

/// Whether an expression goes on.
enum Then {
    Operand,
    Rest,
    End,
}

impl Reader<'_, '_> {
    pub(super) fn term(&mut self) -> Read {
        self.expression(Mode::Term)
    }

    #[inline]
    pub(super) fn expression(&mut self, mode: Mode) -> Read {
        // Most expressions are a column, a marker or a constant.
        let tok = self.tok();
        let is_whole = tok.is_constant() || tok == Tok::Question || (mode == Mode::Selector && tok.is_name());
        let goes_on = matches!(
            self.next.tok,
            Tok::Open | Tok::OpenSquare | Tok::Dot | Tok::Plus | Tok::Minus | Tok::Star | Tok::Slash | Tok::Percent
        );
        if is_whole && !goes_on {
            self.advance();
            return Ok(());
        }
        self.long_expression(mode)
    }

    fn long_expression(&mut self, mode: Mode) -> Read {
        let brackets = Stack::new((Bracket::Tuple, mode));
        let mut state =
            Expression { mode, brackets, opened: false, lone: None, unsigned: false, column: Column::First };
        let mut then = Then::Operand;
        loop {
            then = match then {
                Then::Operand => self.operand(&mut state)?,
                Then::Rest => self.rest(&mut state)?,
                Then::End => return Ok(()),
            }
        }
    }

    /// A value, or the bracket that one begins with.
    fn operand(&mut self, state: &mut Expression) -> Read<Then> {
        let opened = std::mem::take(&mut state.opened);
        let unsigned = std::mem::take(&mut state.unsigned);
        let mode = state.inner_mode();
        let column = std::mem::replace(&mut state.column, Column::Never);
        state.lone = None;
        match self.tok() {
            tok if tok.is_constant() => {
                self.advance();
                state.lone = (opened && tok == Tok::String).then_some(Lone::Class);
            }
            Tok::Null | Tok::Question => self.advance(),
            Tok::Colon => {
                self.advance();
                self.name()?;
            }
            Tok::Minus if !unsigned => {
                self.advance();
                state.unsigned = mode != Mode::Selector;
                return Ok(Then::Operand);
            }
            Tok::Open => {
                self.advance();
                return state.open(Bracket::Tuple, mode);
            }
            Tok::OpenSquare => {
                self.advance();
                if !self.eat(Tok::CloseSquare) {
                    return state.open(Bracket::List, mode);
                }
            }
            Tok::OpenBrace => {
                self.advance();
                if self.eat(Tok::CloseBrace) {
                    return Ok(Then::Rest);
                }
                if mode == Mode::Selector || !(self.tok().is_name() && self.next.tok == Tok::Colon) {
                    return state.open(Bracket::Brace, mode);
                }
                self.advance();
                self.advance();
                return state.open(Bracket::Fields, mode);
            }
            Tok::Map | Tok::List | Tok::Set | Tok::Tuple | Tok::Frozen | Tok::Vector
                if opened && self.next.tok == Tok::Less =>
            {
                state.close();
                self.data_type()?;
                self.expect(Tok::Close)?;
                state.unsigned = true;
                return Ok(Then::Operand);
            }
            Tok::Cast if self.next.tok == Tok::Open => {
                self.advance();
                self.advance();
                return state.open(Bracket::Cast, mode);
            }
            Tok::Token if self.next.tok == Tok::Open => {
                let name = self.take_name();
                return self.arguments(Path { keyspace: None, name }, state);
            }
            Tok::EmptyQuoted if mode == Mode::Assignment => {
                self.advance();
                return self.assigned_column(column);
            }
            tok if tok.is_name() => return self.named(state, opened, column),
            _ => return self.refuse(),
        }
        Ok(Then::Rest)
    }

    /// What begins with a name: a function, a column, a type.
    fn named(&mut self, state: &mut Expression, opened: bool, column: Column) -> Read<Then> {
        let mode = state.inner_mode();
        let first = self.take_name();
        let mut path = Path { keyspace: None, name: first };
        match self.tok() {
            Tok::Open if first.tok.is_function_name() => {
                if first.tok == Tok::Count && self.next.tok == Tok::Star && mode == Mode::Selector {
                    self.advance();
                    self.advance();
                    self.expect(Tok::Close)?;
                    return Ok(Then::Rest);
                }
                return self.arguments(path, state);
            }
            Tok::Open
                if matches!(first.tok, Tok::Writetime | Tok::Maxwritetime | Tok::Ttl) && mode == Mode::Selector =>
            {
                self.advance();
                self.name()?;
                state.open(Bracket::Column, mode)?;
                state.opened = false;
                return Ok(Then::Rest);
            }
            Tok::Dot if self.next.tok.is_name() || self.next.tok == Tok::Token => {
                self.advance();
                let second = self.take_name();
                path = Path { keyspace: Some(first), name: second };
                if self.tok() == Tok::Open && second.tok.is_function_name() {
                    return self.arguments(path, state);
                }
                if second.tok == Tok::Token {
                    return self.refuse();
                }
            }
            _ => {}
        }
        if opened {
            state.lone = Some(Lone::Path(path));
        }
        match mode {
            Mode::Selector => Ok(Then::Rest),
            // What is alone between parentheses can only be a type.
            _ if opened && self.tok() == Tok::Close => Ok(Then::Rest),
            Mode::Assignment if path.keyspace.is_none() => self.assigned_column(column),
            _ => self.refuse(),
        }
    }

    /// What follows the column in `column + value`; behind `value + column` there is nothing.
    fn assigned_column(&mut self, column: Column) -> Read<Then> {
        match (column, self.tok()) {
            (Column::First, Tok::Plus | Tok::Minus) => {
                self.advance();
                self.term()?;
            }
            // `column -1`, in which the sign belongs to the number.
            (Column::First, Tok::Integer) => self.advance(),
            (Column::Last, _) => {}
            _ => return self.refuse(),
        }
        Ok(Then::End)
    }

    /// The call of a function, up to its first argument.
    fn arguments(&mut self, path: Path, state: &mut Expression) -> Read<Then> {
        self.called(path)?;
        self.expect(Tok::Open)?;
        if self.eat(Tok::Close) {
            return Ok(Then::Rest);
        }
        let mode = state.inner_mode();
        state.open(Bracket::Arguments, mode).map(|_| {
            state.opened = false;
            Then::Operand
        })
    }

    /// What follows a value: an operator, a part of it, the end of a bracket.
    fn rest(&mut self, state: &mut Expression) -> Read<Then> {
        let top = state.brackets.top();
        let bracket = top.map(|(bracket, _)| bracket);
        let mode = state.inner_mode();
        let lone = state.lone.take();
        match self.tok() {
            Tok::Dot if mode == Mode::Selector => {
                self.advance();
                self.field()?;
                Ok(Then::Rest)
            }
            Tok::OpenSquare if mode == Mode::Selector => {
                self.advance();
                state.open(Bracket::Subscript, Mode::Term)?;
                state.opened = false;
                if self.eat(Tok::Range) {
                    state.brackets.turn((Bracket::SubscriptEnd, Mode::Term));
                }
                Ok(Then::Operand)
            }
            Tok::Range if bracket == Some(Bracket::Subscript) => {
                self.advance();
                state.brackets.turn((Bracket::SubscriptEnd, Mode::Term));
                Ok(if self.tok() == Tok::CloseSquare { Then::Rest } else { Then::Operand })
            }
            Tok::Plus | Tok::Minus | Tok::Star | Tok::Slash | Tok::Percent => {
                // The grammar has none of them in the casts of terms.
                if bracket == Some(Bracket::Column) || (bracket == Some(Bracket::Cast) && mode != Mode::Selector) {
                    return self.refuse();
                }
                let is_last = bracket.is_none() && self.eat(Tok::Plus);
                if is_last {
                    state.column = Column::Last;
                } else {
                    self.advance();
                }
                Ok(Then::Operand)
            }
            Tok::As if bracket == Some(Bracket::Cast) => {
                self.advance();
                if !self.tok().is_native_type() {
                    return self.refuse();
                }
                self.advance();
                self.expect(Tok::Close)?;
                state.close();
                Ok(Then::Rest)
            }
            tok => match (bracket, tok) {
                (None, _) => Ok(Then::End),
                (Some(Bracket::Arguments | Bracket::Tuple | Bracket::List | Bracket::Set), Tok::Comma) => {
                    self.advance();
                    Ok(Then::Operand)
                }
                (Some(Bracket::Brace), Tok::Comma) => {
                    self.advance();
                    state.brackets.turn((Bracket::Set, mode));
                    Ok(Then::Operand)
                }
                (Some(Bracket::MapValue), Tok::Comma) => {
                    self.advance();
                    state.brackets.turn((Bracket::MapKey, mode));
                    Ok(Then::Operand)
                }
                (Some(Bracket::Fields), Tok::Comma) => {
                    self.advance();
                    self.field()?;
                    self.expect(Tok::Colon)?;
                    Ok(Then::Operand)
                }
                (Some(Bracket::Brace | Bracket::MapKey), Tok::Colon) => {
                    self.advance();
                    state.brackets.turn((Bracket::MapValue, mode));
                    Ok(Then::Operand)
                }
                (Some(Bracket::Tuple), Tok::Close) => {
                    self.advance();
                    state.close();
                    self.parenthesis(state, lone)
                }
                (Some(Bracket::Arguments | Bracket::Column), Tok::Close)
                | (Some(Bracket::List | Bracket::Subscript | Bracket::SubscriptEnd), Tok::CloseSquare)
                | (Some(Bracket::Brace | Bracket::Set | Bracket::MapValue | Bracket::Fields), Tok::CloseBrace) => {
                    self.advance();
                    state.close();
                    Ok(Then::Rest)
                }
                _ => self.refuse(),
            },
        }
    }

    /// Behind parentheses: what is alone in them is a type if a value follows.
    fn parenthesis(&mut self, state: &mut Expression, lone: Option<Lone>) -> Read<Then> {
        let Some(lone) = lone else { return Ok(Then::Rest) };
        let mode = state.inner_mode();
        let casts = match self.tok() {
            tok if tok.is_constant() => true,
            Tok::Null | Tok::Question | Tok::Open | Tok::OpenSquare | Tok::OpenBrace => true,
            // `{(a) :b}` may be a cast of a marker or a key and its value.
            Tok::Colon => match state.brackets.top() {
                Some((Bracket::Brace | Bracket::MapKey, _)) => return DOUBTFUL,
                _ => true,
            },
            tok if mode == Mode::Selector => match tok {
                Tok::Token => true,
                Tok::As => false,
                Tok::Per if self.next.tok == Tok::Partition => false,
                tok if tok.is_unreserved() => return DOUBTFUL,
                tok => tok.is_name(),
            },
            Tok::Token | Tok::Cast => true,
            tok => tok.is_name() && matches!(self.next.tok, Tok::Open | Tok::Dot),
        };
        match lone {
            Lone::Path(_) if !casts && mode != Mode::Selector => self.refuse(),
            _ if !casts => Ok(Then::Rest),
            Lone::Path(path) => {
                self.used_type(path)?;
                state.unsigned = true;
                Ok(Then::Operand)
            }
            Lone::Class => {
                self.object(Kind::CustomType, None)?;
                state.unsigned = true;
                Ok(Then::Operand)
            }
        }
    }
}

impl Expression {
    /// The mode inside the brackets that are open.
    fn inner_mode(&self) -> Mode {
        match self.brackets.top() {
            Some((_, mode)) => mode,
            None => self.mode,
        }
    }

    fn open(&mut self, bracket: Bracket, mode: Mode) -> Read<Then> {
        // A column is assigned to only outside of all brackets.
        let mode = if mode == Mode::Assignment { Mode::Term } else { mode };
        self.brackets.push((bracket, mode))?;
        self.opened = bracket == Bracket::Tuple;
        Ok(Then::Operand)
    }

    fn close(&mut self) {
        self.brackets.pop();
    }
}

/// What may be read in two ways.
const DOUBTFUL: Read<Then> =
    Err(SyntaxError { reason: "parentheses of which it is not certain whether they are a cast" });

/// A type as it is named in a cast.
impl Reader<'_, '_> {
    fn used_type(&mut self, path: Path) -> Read {
        let Path { keyspace, name } = path;
        #[cfg(feature = "mutants")]
        if super::mutants::is(super::mutants::Mutant::Casts) {
            return Ok(());
        }
        if keyspace.is_none() && name.tok.is_native_type() {
            return Ok(());
        }
        self.type_name(keyspace, name)
    }

    /// Checks that a user-defined type may be called so.
    pub(super) fn type_name(&mut self, keyspace: Option<Name>, name: Name) -> Read {
        self.check_type_name(name)?;
        self.also(Kind::Type, Path { keyspace, name })
    }

    pub(super) fn check_type_name(&self, name: Name) -> Read {
        let is_allowed = matches!(name.tok, Tok::Ident | Tok::Quoted | Tok::Key) || name.tok.is_basic();
        let text = self.spelling(name);
        if !is_allowed || (name.tok == Tok::Ident && RESERVED_TYPES.iter().any(|word| text.eq_ignore_ascii_case(word)))
        {
            return Err(SyntaxError { reason: "a type with a name that none can have" });
        }
        Ok(())
    }
}

/// Names that Cassandra keeps for types to come (`Parser.g`, `reservedTypeNames`; it has `date` there, too, which is a type).
const RESERVED_TYPES: [&str; 6] = ["byte", "complex", "enum", "interval", "macaddr", "bitstring"];
