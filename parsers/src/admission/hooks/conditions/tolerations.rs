//! Tests of which taints a pod tolerates.

use super::super::at::{At, Reader};
use super::super::context::Context;
use super::super::podspec::PodSpec;
use super::super::truth::Truth;
use crate::admission::json::{Kind, Value};

/// A taint, of any value.
#[derive(Debug)]
pub(super) struct Taint {
    key: String,
    /// Any if there is none.
    effect: Option<String>,
}

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

impl Taint {
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Option<Self> {
        at.check_fields(&["key", "effect"], reader);
        let effect: Option<String> = at.read_field("effect", reader);
        if let Some(effect) = effect.as_deref().filter(|effect| !EFFECTS.contains(effect)) {
            let message = format!(
                "there is no effect `{}`; {}",
                super::super::at::shorten(effect),
                super::super::at::allowed(&EFFECTS)
            );
            reader.refuse(at, message);
        }
        Some(Self { key: at.need("key", reader)?, effect })
    }

    /// Whether a toleration tolerates it (`k8s.io/api/core/v1`, Toleration.ToleratesTaint), whatever its value is.
    fn is_tolerated(&self, toleration: Value<'_>) -> Truth {
        if toleration.kind() != Kind::Map {
            return Truth::Unreadable;
        }
        let field = |name, wanted: Option<&str>| match toleration.get(name).filter(|value| !value.is_null()) {
            None => Truth::Yes,
            Some(value) => match value.text() {
                None => Truth::Unreadable,
                Some(text) => (text.is("") || wanted.is_none_or(|wanted| text.is(wanted))).into(),
            },
        };
        field("key", Some(&self.key)).and(field("effect", self.effect.as_deref()))
    }
}

/// Whether the pod tolerates one of the taints.
pub(super) fn test(context: &Context<'_, '_>, taints: &[Taint]) -> Truth {
    let spec = match context.pod() {
        PodSpec::None => return Truth::No,
        PodSpec::Unreadable(_) => return Truth::Unreadable,
        PodSpec::Found(spec, _) => spec,
    };
    let Some(tolerations) = spec.get("tolerations").filter(|list| !list.is_null()) else { return Truth::No };
    if tolerations.kind() != Kind::List {
        return Truth::Unreadable;
    }
    Truth::any(
        tolerations
            .items()
            .take_while(|_| context.spend())
            .map(|toleration| Truth::any(taints.iter().map(|taint| taint.is_tolerated(toleration)))),
    )
}
