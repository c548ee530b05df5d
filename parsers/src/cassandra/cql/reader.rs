//! What all statements are read with: tokens, names and objects.

use super::lexer::{Lexer, Token};
use super::script::{Record, Span};
use super::token::Tok;
use super::{Action, Kind, MAX_NESTING, MAX_OBJECTS, Script, SyntaxError};

/// A text that is being read: the token at hand, and the next one.
pub(super) struct Reader<'a, 's> {
    text: &'a str,
    lexer: Lexer<'a>,
    pub(super) token: Token,
    pub(super) next: Token,
    script: &'s mut Script,
    /// Where the objects of this statement begin.
    first: usize,
    /// The keyspace of what this statement is about, where it names one.
    home: Option<Span>,
    /// The object that this statement is about.
    main: usize,
}

pub(super) type Read<T = ()> = Result<T, SyntaxError>;

/// A name in the text, as it is written there.
#[derive(Clone, Copy)]
pub(super) struct Name {
    start: u32,
    end: u32,
    pub(super) tok: Tok,
}

/// A name, and the keyspace before it.
#[derive(Clone, Copy)]
pub(super) struct Path {
    pub(super) keyspace: Option<Name>,
    pub(super) name: Name,
}

impl<'a, 's> Reader<'a, 's> {
    pub(super) fn new(text: &'a str, script: &'s mut Script) -> Self {
        let mut lexer = Lexer::new(text.as_bytes());
        let token = lexer.take();
        let next = lexer.take();
        Self { text, lexer, token, next, script, first: 0, home: None, main: 0 }
    }

    pub(super) fn tok(&self) -> Tok {
        self.token.tok
    }

    #[inline]
    pub(super) fn advance(&mut self) {
        self.token = self.next;
        self.next = self.lexer.take();
    }

    /// Whether the token at hand is this one; if so it is taken.
    #[inline]
    pub(super) fn eat(&mut self, tok: Tok) -> bool {
        let found = self.tok() == tok;
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect(&mut self, tok: Tok) -> Read {
        if self.eat(tok) { Ok(()) } else { self.refuse() }
    }

    /// Two or more keywords in a row.
    pub(super) fn expect_all<const N: usize>(&mut self, toks: [Tok; N]) -> Read {
        toks.into_iter().try_for_each(|tok| self.expect(tok))
    }

    /// A token that no rule has here.
    pub(super) fn refuse<T>(&self) -> Read<T> {
        Err(SyntaxError {
            reason: match self.tok() {
                Tok::Bad => "characters that are no token, or a literal, name or comment that does not end",
                Tok::End => "the text ends inside a statement",
                _ => "a word or sign in a place where no statement has it",
            },
        })
    }

    /// `IF NOT EXISTS`, if it is there.
    pub(super) fn if_not_exists(&mut self) -> Read {
        if self.eat(Tok::If) { self.expect_all([Tok::Not, Tok::Exists]) } else { Ok(()) }
    }

    /// `IF EXISTS`, if it is there.
    pub(super) fn if_exists(&mut self) -> Read {
        if self.eat(Tok::If) { self.expect(Tok::Exists) } else { Ok(()) }
    }

    /// The token at hand as a name, whatever it is.
    pub(super) fn take_name(&mut self) -> Name {
        let Token { tok, start, end } = self.token;
        self.advance();
        Name { start, end, tok }
    }

    /// A word, a quoted name, or a keyword that is not reserved.
    pub(super) fn name(&mut self) -> Read<Name> {
        if self.tok().is_name() { Ok(self.take_name()) } else { self.refuse() }
    }

    /// The name of a column, which may be empty where an old table has such a one.
    pub(super) fn column(&mut self) -> Read {
        if self.eat(Tok::EmptyQuoted) { Ok(()) } else { self.name().map(drop) }
    }

    /// A column in a definition, or the field of a type.
    pub(super) fn field(&mut self) -> Read {
        self.name().map(drop)
    }

    /// `[keyspace.]name`
    pub(super) fn path(&mut self) -> Read<Path> {
        let name = self.name()?;
        if !self.eat(Tok::Dot) {
            return Ok(Path { keyspace: None, name });
        }
        Ok(Path { keyspace: Some(name), name: self.name()? })
    }

    /// `[keyspace.]function`
    pub(super) fn function_path(&mut self) -> Read<Path> {
        let first = self.tok();
        let is_alone = first.is_function_name() && self.next.tok != Tok::Dot;
        if !is_alone && !first.is_name() {
            return self.refuse();
        }
        let name = self.take_name();
        if is_alone {
            return Ok(Path { keyspace: None, name });
        }
        self.expect(Tok::Dot)?;
        if !self.tok().is_function_name() {
            return self.refuse();
        }
        Ok(Path { keyspace: Some(name), name: self.take_name() })
    }

    /// Elements between this token and that one, with commas, at least one of them.
    pub(super) fn list(&mut self, open: Tok, close: Tok, mut element: impl FnMut(&mut Self) -> Read) -> Read {
        self.expect(open)?;
        loop {
            element(self)?;
            if !self.eat(Tok::Comma) {
                return self.expect(close);
            }
        }
    }

    /// The end of the text, or of a statement that semicolons may follow.
    pub(super) fn finish(&mut self) -> Read {
        while self.eat(Tok::Semicolon) {}
        if self.tok() == Tok::End { Ok(()) } else { self.refuse() }
    }

    /// Begins a statement: what was named before belongs to the one before.
    pub(super) fn begin_statement(&mut self) {
        self.first = self.script.objects.len();
        self.main = self.first;
        self.home = None;
    }

    /// Ends a statement: what it names without a keyspace is in that of its main object, where that has one.
    pub(super) fn end_statement(&mut self, action: Action) -> Read {
        let Some(objects) = self.script.objects.get_mut(self.first..) else { return Ok(()) };
        for object in objects.iter_mut() {
            #[cfg(feature = "mutants")]
            let home = self.home.filter(|_| !super::mutants::is(super::mutants::Mutant::Home));
            #[cfg(not(feature = "mutants"))]
            let home = self.home;
            if object.is_at_home && object.keyspace.is_none() {
                object.keyspace = home;
            }
            let is_open = object.keyspace.is_none() && object.kind.needs_keyspace();
            // `DESCRIBE KEYSPACE` alone means that of the connection.
            let is_nameless = object.kind == Kind::Keyspace && object.name.is_none();
            self.script.needs_keyspace |= is_open || is_nameless;
        }
        if let Some(main) = self.main.checked_sub(self.first)
            && main < objects.len()
        {
            objects.swap(0, main);
        }
        let end = u32::try_from(self.script.objects.len()).unwrap_or(u32::MAX);
        self.script.statements.push((action, end));
        Ok(())
    }

    /// Takes back what a statement names.
    #[cfg(feature = "mutants")]
    pub(super) fn forget_statement(&mut self) {
        self.script.objects.truncate(self.first);
    }

    /// Whether the script is that of a batch.
    pub(super) fn mark_batch(&mut self) {
        self.script.is_batch = true;
    }

    /// What the statement is about, and whose keyspace is that of what it names without one.
    pub(super) fn main(&mut self, kind: Kind, path: Path) -> Read {
        self.main = self.script.objects.len();
        self.push(kind, path.keyspace, Some(path.name), false)?;
        self.home = self.script.objects.last().and_then(|object| object.keyspace);
        Ok(())
    }

    /// An object in the keyspace that it names, or else in that of the main one.
    pub(super) fn also(&mut self, kind: Kind, path: Path) -> Read {
        self.push(kind, path.keyspace, Some(path.name), true)
    }

    /// An object that is in no keyspace.
    pub(super) fn object(&mut self, kind: Kind, name: Option<Name>) -> Read {
        self.push(kind, None, name, false)
    }

    /// All objects of a kind, in a keyspace.
    pub(super) fn all_in(&mut self, kind: Kind, keyspace: Name) -> Read {
        self.push(kind, Some(keyspace), None, false)
    }

    /// A role, which keeps its case if it is quoted, or of an old statement that takes it as it stands.
    pub(super) fn verbatim(&mut self, kind: Kind, name: Name) -> Read {
        #[cfg(feature = "mutants")]
        if super::mutants::is(super::mutants::Mutant::UserCase) {
            return self.object(kind, Some(name));
        }
        let name = Name { tok: if name.tok == Tok::Ident { Tok::Bad } else { name.tok }, ..name };
        self.push(kind, None, Some(name), false)
    }

    /// A function that is called: one that Cassandra brings along is no object, for everybody may call it.
    pub(super) fn called(&mut self, path: Path) -> Read {
        #[cfg(feature = "mutants")]
        if super::mutants::is(super::mutants::Mutant::Functions) {
            return Ok(());
        }
        self.check_function_name(path.name)?;
        let is_native = match path.keyspace {
            Some(keyspace) => self.is_written(keyspace, "system"),
            None => super::natives::has(self.spelling(path.name), path.name.tok != Tok::Quoted),
        };
        if is_native { Ok(()) } else { self.also(Kind::Function, path) }
    }

    /// Cassandra does not fold a keyword that names a function, and not all versions have the same keywords.
    pub(super) fn check_function_name(&self, name: Name) -> Read {
        #[cfg(feature = "mutants")]
        if super::mutants::is(super::mutants::Mutant::KeywordCase) {
            return Ok(());
        }
        if name.tok.is_basic() && self.spelling(name).bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(SyntaxError { reason: "a function that is named by a keyword in upper case" });
        }
        Ok(())
    }

    /// Whether a name is this one, in lower case, which needs no quotes.
    fn is_written(&self, name: Name, wanted: &str) -> bool {
        let text = self.spelling(name);
        if name.tok == Tok::Quoted { text == wanted } else { text.eq_ignore_ascii_case(wanted) }
    }

    /// A name without its quotes.
    pub(super) fn spelling(&self, name: Name) -> &'a str {
        let cut = match name.tok {
            Tok::Quoted => 1,
            Tok::String if self.starts_with(name, "$$") => 2,
            Tok::String => 1,
            _ => 0,
        };
        let range = (name.start as usize).saturating_add(cut)..(name.end as usize).saturating_sub(cut);
        self.text.get(range).unwrap_or_default()
    }

    fn starts_with(&self, name: Name, prefix: &str) -> bool {
        self.text.get(name.start as usize..).is_some_and(|text| text.starts_with(prefix))
    }

    fn push(&mut self, kind: Kind, keyspace: Option<Name>, name: Option<Name>, is_at_home: bool) -> Read {
        if self.script.objects.len() >= MAX_OBJECTS {
            return Err(SyntaxError { reason: "more objects than a text may name" });
        }
        // Cassandra refuses to make such ones, and elsewhere the parts of a name must not run into each other.
        let is_plain =
            |name: Name| self.spelling(name).bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let must_be_plain = matches!(kind, Kind::Keyspace | Kind::Table | Kind::View | Kind::Any);
        if !keyspace.is_none_or(is_plain) || (must_be_plain && !name.is_none_or(is_plain)) {
            return Err(SyntaxError { reason: "a keyspace or table with a name that none can have" });
        }
        let keyspace = keyspace.map(|name| self.store(name));
        let name = name.map(|name| self.store(name));
        self.script.objects.push(Record { kind, keyspace, name, is_at_home });
        Ok(())
    }

    /// Copies a name as Cassandra folds it: to lower case unless it is quoted.
    fn store(&mut self, name: Name) -> Span {
        let text = self.spelling(name);
        let names = &mut self.script.names;
        let start = names.len();
        let quote = match name.tok {
            Tok::Quoted => Some("\""),
            Tok::String if !self.text.get(name.start as usize..).is_some_and(|text| text.starts_with('$')) => Some("'"),
            _ => None,
        };
        #[cfg(feature = "mutants")]
        let quote = quote.filter(|_| !super::mutants::is(super::mutants::Mutant::DoubledQuote));
        match quote {
            Some(quote) if text.contains(quote) => {
                // Quotes are doubled inside, so that every second one is left.
                let mut parts = text.split(quote);
                names.push_str(parts.next().unwrap_or_default());
                while let (Some(_), Some(part)) = (parts.next(), parts.next()) {
                    names.push_str(quote);
                    names.push_str(part);
                }
            }
            _ => names.push_str(text),
        }
        #[cfg(feature = "mutants")]
        if super::mutants::is(super::mutants::Mutant::QuotedCase) && name.tok == Tok::Quoted {
            names.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
        }
        #[cfg(feature = "mutants")]
        if super::mutants::is(super::mutants::Mutant::Case) {
            return Span::new(start, names.len());
        }
        if !matches!(name.tok, Tok::Quoted | Tok::String | Tok::Bad) {
            names.get_mut(start..).unwrap_or_default().make_ascii_lowercase();
        }
        Span::new(start, names.len())
    }
}

/// Brackets that are open: not more than [`MAX_NESTING`] of them.
pub(super) struct Stack<T> {
    items: [T; MAX_NESTING],
    len: usize,
}

impl<T: Copy> Stack<T> {
    pub(super) fn new(filler: T) -> Self {
        Self { items: [filler; MAX_NESTING], len: 0 }
    }

    pub(super) fn push(&mut self, item: T) -> Read {
        let Some(place) = self.items.get_mut(self.len) else {
            return Err(SyntaxError { reason: "brackets nested deeper than any sensible statement has them" });
        };
        *place = item;
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    pub(super) fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
    }

    pub(super) fn top(&self) -> Option<T> {
        self.items.get(self.len.checked_sub(1)?).copied()
    }

    /// Puts another item in the place of the last one.
    pub(super) fn turn(&mut self, item: T) {
        if let Some(place) = self.len.checked_sub(1).and_then(|at| self.items.get_mut(at)) {
            *place = item;
        }
    }
}
