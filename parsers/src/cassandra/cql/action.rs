//! What statements do, and what they do it to.

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// `select`.
    Select,
    /// `insert`.
    Insert,
    /// `update`.
    Update,
    /// `delete`.
    Delete,
    /// `use`.
    Use,
    /// `truncate-table`.
    TruncateTable,
    /// `create-keyspace`.
    CreateKeyspace,
    /// `alter-keyspace`.
    AlterKeyspace,
    /// `drop-keyspace`.
    DropKeyspace,
    /// `create-table`.
    CreateTable,
    /// `alter-table`.
    AlterTable,
    /// `drop-table`.
    DropTable,
    /// `create-index`.
    CreateIndex,
    /// `drop-index`.
    DropIndex,
    /// `create-materialized-view`.
    CreateMaterializedView,
    /// `alter-materialized-view`.
    AlterMaterializedView,
    /// `drop-materialized-view`.
    DropMaterializedView,
    /// `create-type`.
    CreateType,
    /// `alter-type`.
    AlterType,
    /// `drop-type`.
    DropType,
    /// `create-function`.
    CreateFunction,
    /// `drop-function`.
    DropFunction,
    /// `create-aggregate`.
    CreateAggregate,
    /// `drop-aggregate`.
    DropAggregate,
    /// `create-trigger`.
    CreateTrigger,
    /// `drop-trigger`.
    DropTrigger,
    /// `create-role`.
    CreateRole,
    /// `alter-role`.
    AlterRole,
    /// `drop-role`.
    DropRole,
    /// `list-roles`.
    ListRoles,
    /// `grant-role`.
    GrantRole,
    /// `revoke-role`.
    RevokeRole,
    /// `grant-permission`.
    GrantPermission,
    /// `revoke-permission`.
    RevokePermission,
    /// `list-permissions`.
    ListPermissions,
    /// `create-user`.
    CreateUser,
    /// `alter-user`.
    AlterUser,
    /// `drop-user`.
    DropUser,
    /// `list-users`.
    ListUsers,
    /// `list-superusers`.
    ListSuperusers,
    /// `add-identity`.
    AddIdentity,
    /// `drop-identity`.
    DropIdentity,
    /// `describe`.
    Describe,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 43] = [
        Self::Select,
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Use,
        Self::TruncateTable,
        Self::CreateKeyspace,
        Self::AlterKeyspace,
        Self::DropKeyspace,
        Self::CreateTable,
        Self::AlterTable,
        Self::DropTable,
        Self::CreateIndex,
        Self::DropIndex,
        Self::CreateMaterializedView,
        Self::AlterMaterializedView,
        Self::DropMaterializedView,
        Self::CreateType,
        Self::AlterType,
        Self::DropType,
        Self::CreateFunction,
        Self::DropFunction,
        Self::CreateAggregate,
        Self::DropAggregate,
        Self::CreateTrigger,
        Self::DropTrigger,
        Self::CreateRole,
        Self::AlterRole,
        Self::DropRole,
        Self::ListRoles,
        Self::GrantRole,
        Self::RevokeRole,
        Self::GrantPermission,
        Self::RevokePermission,
        Self::ListPermissions,
        Self::CreateUser,
        Self::AlterUser,
        Self::DropUser,
        Self::ListUsers,
        Self::ListSuperusers,
        Self::AddIdentity,
        Self::DropIdentity,
        Self::Describe,
    ];

    /// As policies and the access log write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Use => "use",
            Self::TruncateTable => "truncate-table",
            Self::CreateKeyspace => "create-keyspace",
            Self::AlterKeyspace => "alter-keyspace",
            Self::DropKeyspace => "drop-keyspace",
            Self::CreateTable => "create-table",
            Self::AlterTable => "alter-table",
            Self::DropTable => "drop-table",
            Self::CreateIndex => "create-index",
            Self::DropIndex => "drop-index",
            Self::CreateMaterializedView => "create-materialized-view",
            Self::AlterMaterializedView => "alter-materialized-view",
            Self::DropMaterializedView => "drop-materialized-view",
            Self::CreateType => "create-type",
            Self::AlterType => "alter-type",
            Self::DropType => "drop-type",
            Self::CreateFunction => "create-function",
            Self::DropFunction => "drop-function",
            Self::CreateAggregate => "create-aggregate",
            Self::DropAggregate => "drop-aggregate",
            Self::CreateTrigger => "create-trigger",
            Self::DropTrigger => "drop-trigger",
            Self::CreateRole => "create-role",
            Self::AlterRole => "alter-role",
            Self::DropRole => "drop-role",
            Self::ListRoles => "list-roles",
            Self::GrantRole => "grant-role",
            Self::RevokeRole => "revoke-role",
            Self::GrantPermission => "grant-permission",
            Self::RevokePermission => "revoke-permission",
            Self::ListPermissions => "list-permissions",
            Self::CreateUser => "create-user",
            Self::AlterUser => "alter-user",
            Self::DropUser => "drop-user",
            Self::ListUsers => "list-users",
            Self::ListSuperusers => "list-superusers",
            Self::AddIdentity => "add-identity",
            Self::DropIdentity => "drop-identity",
            Self::Describe => "describe",
        }
    }

    /// The action that a policy writes so.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A keyspace, which is the object's name. Without a name it is that of the connection.
    Keyspace,
    /// A table, or a view where the statement takes both.
    Table,
    /// An index.
    Index,
    /// A materialized view.
    View,
    /// A user-defined type.
    Type,
    /// A type that is given by its Java class, which is not told.
    CustomType,
    /// A function that is none of Cassandra's own.
    Function,
    /// An aggregate.
    Aggregate,
    /// A trigger of a table.
    Trigger,
    /// A role or user.
    Role,
    /// What a certificate says who its owner is.
    Identity,
    /// A management bean, or a pattern for some, which is not told.
    MBean,
    /// What `DESCRIBE` is asked for without its kind: something in a keyspace, or, if no keyspace is said, a keyspace.
    Any,
    /// All keyspaces, and what is in them.
    AllKeyspaces,
    /// All tables of a keyspace.
    AllTables,
    /// All roles.
    AllRoles,
    /// All functions of a keyspace, or, if none is said, of all of them.
    AllFunctions,
    /// All management beans.
    AllMBeans,
}

impl Kind {
    /// Whether the name of such an object means something else in another keyspace.
    pub(super) fn needs_keyspace(self) -> bool {
        matches!(
            self,
            Self::Table
                | Self::Index
                | Self::View
                | Self::Type
                | Self::Function
                | Self::Aggregate
                | Self::Trigger
                | Self::Any
        )
    }
}
