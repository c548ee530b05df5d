//! Statements on the schema: `CREATE`, `ALTER` and `DROP` of all but roles.

use super::reader::{Path, Read, Reader};
use super::token::Tok;
use super::{Action, Kind, SyntaxError};

impl Reader<'_, '_> {
    /// Behind `CREATE`.
    pub(super) fn create(&mut self) -> Read<Action> {
        let replaces = self.eat(Tok::Or);
        if replaces {
            self.expect(Tok::Replace)?;
            if !matches!(self.tok(), Tok::Function | Tok::Aggregate) {
                return self.refuse();
            }
        }
        let tok = self.tok();
        self.advance();
        Ok(match tok {
            // `SCHEMA` is the older word; versions since 4.0 refuse it by mistake.
            Tok::Keyspace | Tok::Schema => {
                self.if_not_exists()?;
                self.keyspace()?;
                self.expect(Tok::With)?;
                self.properties()?;
                Action::CreateKeyspace
            }
            Tok::Table => {
                self.create_table()?;
                Action::CreateTable
            }
            Tok::Custom => {
                self.expect(Tok::Index)?;
                self.create_index()?;
                Action::CreateIndex
            }
            Tok::Index => {
                self.create_index()?;
                Action::CreateIndex
            }
            Tok::Materialized => {
                self.create_view()?;
                Action::CreateMaterializedView
            }
            Tok::Type => {
                self.if_not_exists()?;
                self.type_path()?;
                self.list_with_gaps(|reader| {
                    reader.field()?;
                    reader.data_type()
                })?;
                Action::CreateType
            }
            Tok::Function => {
                self.create_function()?;
                Action::CreateFunction
            }
            Tok::Aggregate => {
                self.create_aggregate()?;
                Action::CreateAggregate
            }
            Tok::Trigger => {
                self.if_not_exists()?;
                self.trigger()?;
                self.expect_all([Tok::Using, Tok::String])?;
                Action::CreateTrigger
            }
            Tok::Role => {
                self.if_not_exists()?;
                self.role_with_options()?;
                Action::CreateRole
            }
            Tok::User => {
                self.if_not_exists()?;
                self.user_with_options()?;
                Action::CreateUser
            }
            _ => return Err(UNKNOWN),
        })
    }

    /// Behind `ALTER`.
    pub(super) fn alter(&mut self) -> Read<Action> {
        let tok = self.tok();
        self.advance();
        Ok(match tok {
            Tok::Keyspace | Tok::Schema => {
                self.if_exists()?;
                self.keyspace()?;
                self.expect(Tok::With)?;
                self.properties()?;
                Action::AlterKeyspace
            }
            Tok::Table => {
                self.if_exists()?;
                self.table()?;
                self.alter_table()?;
                Action::AlterTable
            }
            Tok::Materialized => {
                self.expect(Tok::View)?;
                self.if_exists()?;
                self.view()?;
                self.expect(Tok::With)?;
                self.properties()?;
                Action::AlterMaterializedView
            }
            Tok::Type => {
                self.if_exists()?;
                self.type_path()?;
                self.alter_type()?;
                Action::AlterType
            }
            Tok::Role => {
                self.if_exists()?;
                self.role_with_options()?;
                Action::AlterRole
            }
            Tok::User => {
                self.if_exists()?;
                self.user_with_options()?;
                Action::AlterUser
            }
            _ => return Err(UNKNOWN),
        })
    }

    /// Behind `DROP`.
    pub(super) fn drop(&mut self) -> Read<Action> {
        let tok = self.tok();
        self.advance();
        if tok == Tok::Materialized {
            self.expect(Tok::View)?;
        }
        self.if_exists()?;
        Ok(match tok {
            Tok::Keyspace | Tok::Schema => {
                self.keyspace()?;
                Action::DropKeyspace
            }
            Tok::Table => {
                self.table()?;
                Action::DropTable
            }
            Tok::Index => {
                let path = self.path()?;
                self.main(Kind::Index, path)?;
                Action::DropIndex
            }
            Tok::Materialized => {
                self.view()?;
                Action::DropMaterializedView
            }
            Tok::Type => {
                self.type_path()?;
                Action::DropType
            }
            Tok::Function => {
                self.function(Kind::Function)?;
                self.optional_argument_types()?;
                Action::DropFunction
            }
            Tok::Aggregate => {
                self.function(Kind::Aggregate)?;
                self.optional_argument_types()?;
                Action::DropAggregate
            }
            Tok::Trigger => {
                self.trigger()?;
                Action::DropTrigger
            }
            Tok::Role => {
                self.role()?;
                Action::DropRole
            }
            Tok::User => {
                self.user(Kind::Role)?;
                Action::DropUser
            }
            Tok::Identity => {
                self.user(Kind::Identity)?;
                Action::DropIdentity
            }
            _ => return Err(UNKNOWN),
        })
    }

    pub(super) fn view(&mut self) -> Read {
        let path = self.path()?;
        self.main(Kind::View, path)
    }

    pub(super) fn type_path(&mut self) -> Read {
        let path = self.path()?;
        self.check_type_name(path.name)?;
        self.main(Kind::Type, path)
    }

    pub(super) fn function(&mut self, kind: Kind) -> Read {
        let path = self.function_path()?;
        self.check_function_name(path.name)?;
        self.main(kind, path)
    }

    fn optional_argument_types(&mut self) -> Read {
        if self.tok() == Tok::Open { self.argument_types() } else { Ok(()) }
    }

    /// `trigger ON table`
    fn trigger(&mut self) -> Read {
        let name = self.name()?;
        self.also(Kind::Trigger, Path { keyspace: None, name })?;
        self.expect(Tok::On)?;
        self.table()
    }

    /// Elements in parentheses with commas, behind which there may be nothing.
    pub(super) fn list_with_gaps(&mut self, mut element: impl FnMut(&mut Self) -> Read) -> Read {
        self.expect(Tok::Open)?;
        element(self)?;
        while self.eat(Tok::Comma) {
            if !matches!(self.tok(), Tok::Comma | Tok::Close) {
                element(self)?;
            }
        }
        self.expect(Tok::Close)
    }

    pub(super) fn properties(&mut self) -> Read {
        loop {
            self.property()?;
            if !self.eat(Tok::And) {
                return Ok(());
            }
        }
    }

    /// `name = value`, in which there is nothing but constants: Cassandra refuses all other values, so none names anything.
    pub(super) fn property(&mut self) -> Read {
        self.name()?;
        self.expect(Tok::Equal)?;
        if self.tok() == Tok::OpenBrace {
            return self.constants();
        }
        let tok = self.tok();
        if !tok.is_constant() && !tok.is_unreserved() {
            return self.refuse();
        }
        self.advance();
        Ok(())
    }

    /// `{key: value, ..}`, all of them constants.
    pub(super) fn constants(&mut self) -> Read {
        if self.next.tok == Tok::CloseBrace {
            return self.expect_all([Tok::OpenBrace, Tok::CloseBrace]);
        }
        self.list(Tok::OpenBrace, Tok::CloseBrace, |reader| {
            reader.constant()?;
            reader.expect(Tok::Colon)?;
            reader.constant()
        })
    }

    fn constant(&mut self) -> Read {
        if !self.tok().is_constant() {
            return self.refuse();
        }
        self.advance();
        Ok(())
    }

    /// Behind `CREATE [CUSTOM] INDEX`. The index is in the keyspace of its table.
    fn create_index(&mut self) -> Read {
        self.if_not_exists()?;
        if self.tok() != Tok::On {
            let name = self.name()?;
            self.also(Kind::Index, Path { keyspace: None, name })?;
        }
        self.expect(Tok::On)?;
        self.table()?;
        if self.tok() == Tok::Open && self.next.tok == Tok::Close {
            self.advance();
            self.advance();
        } else {
            self.list(Tok::Open, Tok::Close, Self::index_target)?;
        }
        if self.eat(Tok::Using) {
            self.expect(Tok::String)?;
        }
        if self.eat(Tok::With) { self.properties() } else { Ok(()) }
    }

    /// A column, or a part of the collections in it.
    fn index_target(&mut self) -> Read {
        let is_part = match self.tok() {
            Tok::Values | Tok::Keys => self.next.tok == Tok::Open,
            Tok::Entries | Tok::Full => true,
            _ => false,
        };
        if !is_part {
            return self.column();
        }
        self.advance();
        self.expect(Tok::Open)?;
        self.column()?;
        self.expect(Tok::Close)
    }

    /// Behind `CREATE MATERIALIZED`. The table is in the keyspace of the view, unless it says another one.
    fn create_view(&mut self) -> Read {
        self.expect(Tok::View)?;
        self.if_not_exists()?;
        self.view()?;
        self.expect_all([Tok::As, Tok::Select])?;
        self.selectors()?;
        self.expect(Tok::From)?;
        let table = self.path()?;
        #[cfg(feature = "mutants")]
        if !super::mutants::is(super::mutants::Mutant::BaseTable) {
            self.also(Kind::Table, table)?;
        }
        #[cfg(not(feature = "mutants"))]
        self.also(Kind::Table, table)?;
        if self.eat(Tok::Where) {
            self.conditions()?;
        }
        self.primary_key()?;
        self.table_properties(false)
    }

    fn create_function(&mut self) -> Read {
        self.if_not_exists()?;
        self.function(Kind::Function)?;
        if self.tok() == Tok::Open && self.next.tok == Tok::Close {
            self.advance();
            self.advance();
        } else {
            self.list(Tok::Open, Tok::Close, |reader| {
                reader.name()?;
                reader.data_type()
            })?;
        }
        if self.eat(Tok::Returns) {
            self.expect(Tok::Null)?;
        } else {
            self.expect(Tok::Called)?;
        }
        self.expect_all([Tok::On, Tok::Null, Tok::Input, Tok::Returns])?;
        self.data_type()?;
        self.expect_all([Tok::Language, Tok::Ident, Tok::As, Tok::String])
    }

    /// Behind `CREATE AGGREGATE`. Its functions are in its keyspace.
    fn create_aggregate(&mut self) -> Read {
        self.if_not_exists()?;
        self.function(Kind::Aggregate)?;
        self.argument_types()?;
        self.expect(Tok::Sfunc)?;
        self.own_function()?;
        self.expect(Tok::Stype)?;
        self.data_type()?;
        if self.eat(Tok::Finalfunc) {
            self.own_function()?;
        }
        if self.eat(Tok::Initcond) { self.term() } else { Ok(()) }
    }

    fn own_function(&mut self) -> Read {
        if !self.tok().is_function_name() {
            return self.refuse();
        }
        let name = self.take_name();
        self.check_function_name(name)?;
        self.also(Kind::Function, Path { keyspace: None, name })
    }

    /// `[IF EXISTS] name TO name [AND ..]`
    pub(super) fn renames(&mut self) -> Read {
        self.if_exists()?;
        loop {
            self.field()?;
            self.expect(Tok::To)?;
            self.field()?;
            if !self.eat(Tok::And) {
                return Ok(());
            }
        }
    }

    fn alter_type(&mut self) -> Read {
        let tok = self.tok();
        self.advance();
        match tok {
            Tok::Alter => {
                self.field()?;
                self.expect(Tok::Type)?;
                self.data_type()
            }
            Tok::Add => {
                self.if_not_exists()?;
                self.field()?;
                self.data_type()
            }
            Tok::Rename => self.renames(),
            _ => Err(UNKNOWN),
        }
    }
}

/// A statement of which this reader does not know what it does.
pub(super) const UNKNOWN: SyntaxError = SyntaxError { reason: "a kind of statement that is not known" };
