//! The request of an AdmissionReview, typed; its objects stay where they are in the document.
//!
//! The API server writes each field once and as it is spelled. What could be read in two ways, such as a field that stands there
//! twice or also with another capitalisation (which decoders in Go take for the same), is refused.

mod fields;

use std::borrow::Cow;

use self::fields::{collect, fields, name_kind, quote, read_bool, read_map, read_text, read_texts, read_triple};
use super::json::{Kind, Text, Value};

/// The longest uid, in bytes. The API server's are UUIDs of 36; it is told back in every answer.
const MAX_UID: usize = 256;

/// A version of AdmissionReview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `admission.k8s.io/v1`
    V1,
    /// `admission.k8s.io/v1beta1`
    V1beta1,
}

impl Version {
    /// The `apiVersion`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Creates an object.
    Create,
    /// Changes an object.
    Update,
    /// Deletes an object.
    Delete,
    /// Connects to an object, as `kubectl exec` does.
    Connect,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 4] = [Self::Create, Self::Update, Self::Delete, Self::Connect];

    /// Its name in a review.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// The kind of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupVersionKind<'d> {
    /// The API group; empty for the core group.
    pub group: Cow<'d, str>,
    /// The version.
    pub version: Cow<'d, str>,
    /// The kind.
    pub kind: Cow<'d, str>,
}

/// The resource that a request is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupVersionResource<'d> {
    /// The API group; empty for the core group.
    pub group: Cow<'d, str>,
    /// The version.
    pub version: Cow<'d, str>,
    /// The resource, in the plural.
    pub resource: Cow<'d, str>,
}

/// Who makes a request.
#[derive(Clone, Debug, Default)]
pub struct User<'d> {
    /// The name.
    pub username: Cow<'d, str>,
    /// What tells users of one name apart over time.
    pub uid: Cow<'d, str>,
    /// A map of lists of texts.
    pub extra: Option<Value<'d>>,
    groups: Option<Value<'d>>,
}

impl<'d> User<'d> {
    /// The groups.
    pub fn groups(&self) -> impl Iterator<Item = Text<'d>> + use<'d> {
        self.groups.into_iter().flat_map(Value::items).filter_map(Value::text)
    }
}

/// A request to judge.
#[derive(Clone, Debug)]
pub struct Review<'d> {
    /// In which version the answer is expected.
    pub version: Version,
    /// What the answer must tell back. Empty only in v1beta1.
    pub uid: Cow<'d, str>,
    /// The kind of the object, as the webhook's rules ask for it.
    pub kind: GroupVersionKind<'d>,
    /// The resource, as the webhook's rules ask for it.
    pub resource: GroupVersionResource<'d>,
    /// The subresource; empty for none.
    pub sub_resource: Cow<'d, str>,
    /// The kind as the client asked for it, before `matchPolicy: Equivalent`.
    pub request_kind: Option<GroupVersionKind<'d>>,
    /// The resource as the client asked for it.
    pub request_resource: Option<GroupVersionResource<'d>>,
    /// The subresource as the client asked for it.
    pub request_sub_resource: Cow<'d, str>,
    /// The name; empty where the API server makes one up.
    pub name: Cow<'d, str>,
    /// The namespace; empty for what has none.
    pub namespace: Cow<'d, str>,
    /// What the request does.
    pub operation: Operation,
    /// Who makes it.
    pub user: User<'d>,
    /// The object as it will be. Always there on CREATE and UPDATE; always a map.
    pub object: Option<Value<'d>>,
    /// The object as it is. Always there on DELETE; always a map.
    pub old_object: Option<Value<'d>>,
    /// The options of the operation, such as CreateOptions; always a map.
    pub options: Option<Value<'d>>,
    /// Whether nothing is to be changed in the end.
    pub dry_run: bool,
    /// The whole request as it is written; always a map.
    pub request: Value<'d>,
}

/// Why there is nothing to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewError<'d> {
    /// It is no review whose uid is known: status 400.
    Unreadable {
        /// What is wrong.
        message: String,
    },
    /// It is one, and is denied for how it is: status 200, and an answer with the uid.
    Refused {
        /// In which version the answer is expected.
        version: Version,
        /// What the answer must tell back.
        uid: Cow<'d, str>,
        /// What is wrong.
        message: String,
        /// `status.code` of the denial.
        code: u16,
    },
}

impl<'d> Review<'d> {
    /// Reads the envelope of a review.
    ///
    /// # Errors
    ///
    /// [`ReviewError::Unreadable`] for what is no review with a uid; [`ReviewError::Refused`] for a review whose request the API
    /// server does not send: an unknown operation, a field of a wrong type, no object to judge.
    pub fn read(root: Value<'d>) -> Result<Self, ReviewError<'d>> {
        let (version, request) = open(root).map_err(|message| ReviewError::Unreadable { message })?;
        let (fields, ambiguity) = collect(request, REQUEST_FIELDS);
        let ambiguity = ambiguity.map(|ambiguity| (ambiguity.field, ambiguity.describe("request", &REQUEST_FIELDS)));
        let [uid, ..] = fields;
        let uid = match (&ambiguity, read_uid(version, uid)) {
            (Some((UID, message)), _) => return Err(ReviewError::Unreadable { message: message.clone() }),
            (_, Ok(uid)) => uid,
            (_, Err(message)) => return Err(ReviewError::Unreadable { message }),
        };
        let refuse = |message| ReviewError::Refused { version, uid: uid.clone(), message, code: 400 };
        match ambiguity {
            Some((_, message)) => Err(refuse(message)),
            None => Self::read_request(version, &uid, request, fields).map_err(refuse),
        }
    }

    /// The object that a rule is about: what will be, and what was where it is deleted.
    pub fn subject(&self) -> Option<Value<'d>> {
        if self.operation == Operation::Delete { self.old_object } else { self.object }
    }

    fn read_request(
        version: Version,
        uid: &Cow<'d, str>,
        request: Value<'d>,
        fields: [Option<Value<'d>>; REQUEST_FIELDS.len()],
    ) -> Result<Self, String> {
        let [
            _,
            kind,
            resource,
            sub_resource,
            request_kind,
            request_resource,
            request_sub_resource,
            name,
            namespace,
            operation,
            user,
            object,
            old_object,
            dry_run,
            options,
        ] = fields;
        let operation = read_operation(operation)?;
        let kind = read_triple(kind, "request.kind", ["group", "version", "kind"])?;
        let resource = read_triple(resource, "request.resource", ["group", "version", "resource"])?;
        let request_kind = read_triple(request_kind, "request.requestKind", ["group", "version", "kind"])?;
        let request_resource =
            read_triple(request_resource, "request.requestResource", ["group", "version", "resource"])?;
        let (Some(kind), Some(resource)) = (kind, resource) else {
            return Err("`request.kind` and `request.resource` must be there".into());
        };
        let review = Self {
            version,
            uid: uid.clone(),
            kind: kind.into(),
            resource: resource.into(),
            sub_resource: read_text(sub_resource, "request", "subResource")?,
            request_kind: request_kind.map(Into::into),
            request_resource: request_resource.map(Into::into),
            request_sub_resource: read_text(request_sub_resource, "request", "requestSubResource")?,
            name: read_text(name, "request", "name")?,
            namespace: read_text(namespace, "request", "namespace")?,
            operation,
            user: read_user(user)?,
            object: read_map(object, "request.object")?,
            old_object: read_map(old_object, "request.oldObject")?,
            options: read_map(options, "request.options")?,
            dry_run: read_bool(dry_run, "request.dryRun")?,
            request,
        };
        match operation {
            // The words that Gatekeeper's users know.
            Operation::Delete if review.old_object.is_none() => {
                Err("oldObject cannot be nil for DELETE operations".into())
            }
            Operation::Create | Operation::Update if review.object.is_none() => {
                Err(format!("object cannot be nil for {} operations", operation.as_str()))
            }
            _ => Ok(review),
        }
    }
}

/// The fields of a request as Kubernetes has them, in the order in which they are read here.
pub const REQUEST_FIELDS: [&str; 15] = [
    "uid",
    "kind",
    "resource",
    "subResource",
    "requestKind",
    "requestResource",
    "requestSubResource",
    "name",
    "namespace",
    "operation",
    "userInfo",
    "object",
    "oldObject",
    "dryRun",
    "options",
];

/// The place of the uid in [`REQUEST_FIELDS`].
const UID: usize = 0;

/// The version of a review and its request.
fn open(root: Value<'_>) -> Result<(Version, Value<'_>), String> {
    match root.kind() {
        Kind::Map => {}
        Kind::List => return Err("a list of reviews; send them one by one".into()),
        other => return Err(format!("expected an AdmissionReview, not {}", name_kind(other))),
    }
    let [kind, api_version, request, response] = fields(root, "", ["kind", "apiVersion", "request", "response"])?;
    let version = match (kind.and_then(Value::text), api_version.and_then(Value::text)) {
        (Some(kind), Some(version)) if kind.is("AdmissionReview") => {
            [Version::V1, Version::V1beta1].into_iter().find(|known| version.is(known.as_str()))
        }
        _ => None,
    };
    let Some(version) = version else {
        return Err(format!(
            "expected kind `AdmissionReview` of apiVersion `{}` or `{}`, not kind {} of apiVersion {}",
            Version::V1.as_str(),
            Version::V1beta1.as_str(),
            quote(kind),
            quote(api_version)
        ));
    };
    match request {
        Some(request) if request.kind() == Kind::Map => Ok((version, request)),
        None if response.is_some_and(|response| !response.is_null()) => {
            Err("the review has a response, and no request".into())
        }
        None => Err("`request` is missing".into()),
        Some(request) if request.is_null() => Err("`request` is null".into()),
        Some(request) => Err(format!("`request` must be a map, not {}", name_kind(request.kind()))),
    }
}

fn read_uid(version: Version, uid: Option<Value<'_>>) -> Result<Cow<'_, str>, String> {
    let uid = read_text(uid, "request", "uid")?;
    match uid.len() {
        0 if version == Version::V1 => Err("`request.uid` is missing or empty".into()),
        length if length > MAX_UID => Err(format!("`request.uid` is longer than {MAX_UID} bytes")),
        _ => Ok(uid),
    }
}

fn read_operation(value: Option<Value<'_>>) -> Result<Operation, String> {
    let text = value.and_then(Value::text);
    let known = text.and_then(|text| Operation::ALL.into_iter().find(|known| text.is(known.as_str())));
    known.ok_or_else(|| format!("`request.operation` must be CREATE, UPDATE, DELETE or CONNECT, not {}", quote(value)))
}

fn read_user(value: Option<Value<'_>>) -> Result<User<'_>, String> {
    let Some(user) = read_map(value, "request.userInfo")? else { return Ok(User::default()) };
    let [username, uid, groups, extra] = fields(user, "request.userInfo", ["username", "uid", "groups", "extra"])?;
    let extra = read_map(extra, "request.userInfo.extra")?;
    for (_, values) in extra.into_iter().flat_map(Value::entries) {
        read_texts(Some(values), "request.userInfo.extra")?;
    }
    Ok(User {
        username: read_text(username, "request.userInfo", "username")?,
        uid: read_text(uid, "request.userInfo", "uid")?,
        groups: read_texts(groups, "request.userInfo.groups")?,
        extra,
    })
}

impl<'d> From<[Cow<'d, str>; 3]> for GroupVersionKind<'d> {
    fn from([group, version, kind]: [Cow<'d, str>; 3]) -> Self {
        Self { group, version, kind }
    }
}

impl<'d> From<[Cow<'d, str>; 3]> for GroupVersionResource<'d> {
    fn from([group, version, resource]: [Cow<'d, str>; 3]) -> Self {
        Self { group, version, resource }
    }
}

#[cfg(test)]
mod tests;
