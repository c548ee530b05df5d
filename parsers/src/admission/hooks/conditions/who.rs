//! Tests of who makes a request.

use super::super::at::{At, Reader, shorten};

/// What the user name of a service account begins with.
const PREFIX: &str = "system:serviceaccount:";

/// Service accounts, as `namespace:name`; either may be any.
#[derive(Debug)]
pub(super) struct ServiceAccounts(Vec<ServiceAccount>);

#[derive(Debug)]
struct ServiceAccount {
    namespace: Option<Box<str>>,
    name: Option<Box<str>>,
}

impl ServiceAccounts {
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Self {
        let mut accounts = Vec::new();
        for (text, at) in reader.strings(at) {
            let part = |part: &str| (part != "*").then(|| part.into());
            match text.split_once(':') {
                Some((namespace, name)) if is_part(namespace) && is_part(name) => {
                    accounts.push(ServiceAccount { namespace: part(namespace), name: part(name) });
                }
                _ => {
                    let message = format!(
                        "`{}` is not `namespace:name` of a service account, either of which may be `*`",
                        shorten(&text)
                    );
                    reader.refuse(&at, message);
                }
            }
        }
        Self(accounts)
    }

    pub(super) fn have(&self, user: &str) -> bool {
        let Some((namespace, name)) = user.strip_prefix(PREFIX).and_then(|account| account.split_once(':')) else {
            return false;
        };
        let is = |wanted: &Option<Box<str>>, have: &str| wanted.as_ref().is_none_or(|wanted| **wanted == *have);
        !namespace.is_empty()
            && !name.is_empty()
            && self.0.iter().any(|account| is(&account.namespace, namespace) && is(&account.name, name))
    }
}

fn is_part(part: &str) -> bool {
    part == "*" || super::super::selectors::is_subdomain(part)
}
