//! Statements on roles and what they may do, and `DESCRIBE`.

use super::reader::{Path, Read, Reader};
use super::token::Tok;
use super::{Action, Kind};

impl Reader<'_, '_> {
    /// The name of a role, which may be a string.
    pub(super) fn role(&mut self) -> Read {
        if self.tok() != Tok::String && !self.tok().is_name() {
            return self.refuse();
        }
        let name = self.take_name();
        self.object(Kind::Role, Some(name))
    }

    /// The name of a user or an identity, which is not folded at all, and is neither quoted nor a keyword.
    pub(super) fn user(&mut self, kind: Kind) -> Read {
        if !matches!(self.tok(), Tok::String | Tok::Ident) {
            return self.refuse();
        }
        let name = self.take_name();
        self.verbatim(kind, name)
    }

    pub(super) fn role_with_options(&mut self) -> Read {
        self.role()?;
        if !self.eat(Tok::With) {
            return Ok(());
        }
        loop {
            self.role_option()?;
            if !self.eat(Tok::And) {
                return Ok(());
            }
        }
    }

    fn role_option(&mut self) -> Read {
        let tok = self.tok();
        self.advance();
        match tok {
            Tok::Password => self.expect_all([Tok::Equal, Tok::String]),
            Tok::Hashed => self.expect_all([Tok::Password, Tok::Equal, Tok::String]),
            Tok::Generated => self.expect(Tok::Password),
            Tok::Superuser | Tok::Login => self.expect_all([Tok::Equal, Tok::Boolean]),
            Tok::Options => {
                self.expect(Tok::Equal)?;
                self.constants()
            }
            Tok::Access => {
                let what = if self.eat(Tok::To) {
                    Tok::Datacenters
                } else {
                    self.expect(Tok::From)?;
                    Tok::Cidrs
                };
                if self.eat(Tok::All) {
                    return self.expect(what);
                }
                self.expect(what)?;
                self.list(Tok::OpenBrace, Tok::CloseBrace, |reader| reader.expect(Tok::String))
            }
            _ => self.refuse(),
        }
    }

    pub(super) fn user_with_options(&mut self) -> Read {
        self.user(Kind::Role)?;
        if self.eat(Tok::With) {
            if self.eat(Tok::Generated) {
                self.expect(Tok::Password)?;
            } else {
                self.eat(Tok::Hashed);
                self.expect_all([Tok::Password, Tok::String])?;
            }
        }
        let _ = self.eat(Tok::Superuser) || self.eat(Tok::Nosuperuser);
        Ok(())
    }

    /// Behind `GRANT`, or behind `REVOKE`: what is granted, and to whom.
    pub(super) fn grant(&mut self, revokes: bool) -> Read<Action> {
        let whom = if revokes { Tok::From } else { Tok::To };
        if self.next.tok == whom {
            self.role()?;
            self.expect(whom)?;
            self.role()?;
            return Ok(if revokes { Action::RevokeRole } else { Action::GrantRole });
        }
        self.permissions()?;
        self.expect(Tok::On)?;
        self.resource()?;
        self.expect(whom)?;
        self.role()?;
        Ok(if revokes { Action::RevokePermission } else { Action::GrantPermission })
    }

    /// `ALL [PERMISSIONS]`, or some of them.
    fn permissions(&mut self) -> Read {
        if self.eat(Tok::All) {
            self.eat(Tok::Permissions);
            return Ok(());
        }
        self.each(|reader| {
            let is_permission = matches!(
                reader.tok(),
                Tok::Create | Tok::Alter | Tok::Drop | Tok::Select | Tok::Modify | Tok::Authorize | Tok::Describe
            ) || matches!(reader.tok(), Tok::Execute | Tok::Unmask | Tok::SelectMasked);
            if !is_permission {
                return reader.refuse();
            }
            reader.advance();
            reader.eat(Tok::Permission);
            Ok(())
        })
    }

    /// What permissions are for. The words of it may also be names of tables.
    fn resource(&mut self) -> Read {
        #[cfg(feature = "mutants")]
        if super::mutants::is(super::mutants::Mutant::RoleWord) && self.tok() == Tok::Role {
            self.advance();
            return self.object(Kind::Role, None);
        }
        match (self.tok(), self.next.tok) {
            (Tok::All, Tok::Keyspaces | Tok::Roles | Tok::Functions | Tok::Mbeans | Tok::Tables) => {
                self.advance();
                self.all_of()
            }
            (Tok::Keyspace, _) => {
                self.advance();
                self.keyspace()
            }
            (Tok::Role, next) if next == Tok::String || next.is_name() => {
                self.advance();
                self.role()
            }
            (Tok::Function, next) if next.is_name() || next == Tok::Token => {
                self.advance();
                self.function(Kind::Function)?;
                self.argument_types()
            }
            (Tok::Mbean | Tok::Mbeans, Tok::String) => {
                self.advance();
                self.advance();
                self.object(Kind::MBean, None)
            }
            _ => {
                self.eat(Tok::Table);
                self.table()
            }
        }
    }

    /// Behind `ALL`.
    fn all_of(&mut self) -> Read {
        let tok = self.tok();
        self.advance();
        let in_keyspace = self.eat(Tok::In);
        if in_keyspace {
            self.expect(Tok::Keyspace)?;
        }
        match (tok, in_keyspace) {
            (Tok::Keyspaces, false) => self.object(Kind::AllKeyspaces, None),
            (Tok::Roles, false) => self.object(Kind::AllRoles, None),
            (Tok::Functions, false) => self.object(Kind::AllFunctions, None),
            (Tok::Mbeans, false) => self.object(Kind::AllMBeans, None),
            (Tok::Functions, true) => {
                let keyspace = self.name()?;
                self.all_in(Kind::AllFunctions, keyspace)
            }
            (Tok::Tables, true) => {
                let keyspace = self.name()?;
                self.all_in(Kind::AllTables, keyspace)
            }
            _ => self.refuse(),
        }
    }

    /// Behind `LIST`.
    pub(super) fn list_roles(&mut self) -> Read<Action> {
        match self.tok() {
            Tok::Users => {
                self.advance();
                self.object(Kind::AllRoles, None)?;
                Ok(Action::ListUsers)
            }
            Tok::Superusers => {
                self.advance();
                self.object(Kind::AllRoles, None)?;
                Ok(Action::ListSuperusers)
            }
            Tok::Roles => {
                self.advance();
                self.of_role()?;
                Ok(Action::ListRoles)
            }
            _ => {
                self.permissions()?;
                if self.eat(Tok::On) {
                    self.resource()?;
                }
                self.of_role()?;
                Ok(Action::ListPermissions)
            }
        }
    }

    /// `[OF role] [NORECURSIVE]`; without a role it is about all of them.
    fn of_role(&mut self) -> Read {
        if self.eat(Tok::Of) {
            self.role()?;
        } else {
            self.object(Kind::AllRoles, None)?;
        }
        self.eat(Tok::Norecursive);
        Ok(())
    }

    /// Behind `ADD`.
    pub(super) fn add_identity(&mut self) -> Read {
        self.expect(Tok::Identity)?;
        self.if_not_exists()?;
        self.user(Kind::Identity)?;
        self.expect_all([Tok::To, Tok::Role])?;
        self.user(Kind::Role)
    }

    /// Behind `DESCRIBE`.
    pub(super) fn describe(&mut self) -> Read {
        self.described()?;
        if self.eat(Tok::With) { self.expect(Tok::Internals) } else { Ok(()) }
    }

    fn described(&mut self) -> Read {
        let stands_alone = matches!(self.next.tok, Tok::With | Tok::Semicolon | Tok::End);
        let is_qualifier = self.next.tok == Tok::Dot;
        match self.tok() {
            // Whatever follows, they are no names here.
            Tok::Cluster | Tok::Keyspaces | Tok::Tables | Tok::Types | Tok::Functions | Tok::Aggregates => {
                self.advance();
                self.object(Kind::AllKeyspaces, None)
            }
            Tok::Schema | Tok::Full => {
                self.eat(Tok::Full);
                self.expect(Tok::Schema)?;
                self.object(Kind::AllKeyspaces, None)
            }
            Tok::Keyspace => self.described_keyspace(),
            Tok::Only if self.next.tok == Tok::Keyspace => {
                self.advance();
                self.described_keyspace()
            }
            Tok::Table => {
                self.advance();
                self.table()
            }
            Tok::Index => {
                self.advance();
                let path = self.path()?;
                self.main(Kind::Index, path)
            }
            Tok::Materialized => {
                self.advance();
                self.expect(Tok::View)?;
                self.view()
            }
            Tok::Type if !stands_alone && !is_qualifier => {
                self.advance();
                self.type_path()
            }
            Tok::Function if !stands_alone && !is_qualifier => {
                self.advance();
                self.function(Kind::Function)
            }
            Tok::Aggregate if !stands_alone && !is_qualifier => {
                self.advance();
                self.function(Kind::Aggregate)
            }
            _ => {
                let path: Path = self.path()?;
                self.main(Kind::Any, path)
            }
        }
    }

    /// `KEYSPACE`, and its name unless it is that of the connection.
    fn described_keyspace(&mut self) -> Read {
        self.expect(Tok::Keyspace)?;
        if self.tok().is_name() { self.keyspace() } else { self.object(Kind::Keyspace, None) }
    }
}
