//! What is refused, word for word, and what is warned of.

use super::load;

const HEAD: &str = "apiVersion: portcullis.dev/v1\nkind: AdmissionHook\nmetadata: {name: h}\nspec:\n  uri: /h\n  doc: d\n  failurePolicy: Ignore\n";
const RULES: &str = "  rules: [{operations: [CREATE], apiGroups: [\"\"], apiVersions: [v1], resources: [pods]}]\n";
const TESTS: &str = "  tests: [{name: t, object: {apiVersion: v1, kind: Pod}, expect: allow}]\n";

fn errors(spec: &str) -> Vec<String> {
    let text = format!("{HEAD}{RULES}{TESTS}{spec}");
    match load(&text) {
        Ok((_, warnings)) => warnings.iter().map(|warning| format!("warning: {warning}")).collect(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// The spec begins in line 10.
#[test]
fn name_the_place_and_what_to_do() {
    let cases = [
        ("  decide: [{allow: {}}]", ""),
        (
            "  nope: 1\n  decide: [{allow: {}}]",
            "hooks.yaml:10:3: h/spec: unknown field `nope`; allowed are `uri`, `webhookName`, `doc`, `failurePolicy`, `matchPolicy`, `sideEffects`, `timeoutSeconds`, `reinvocationPolicy`, `rules`, `namespaceSelector`, `objectSelector`, `targets`, `mode`, `onError`, `lists`, `auditAnnotations`, `validate`, `decide`, `mutate`, `rego`, `gatekeeper`, `validatingAdmissionPolicies`, `javascript`, `tests`",
        ),
        (
            "  mode: null\n  decide: [{allow: {}}]",
            "hooks.yaml:10:3: h/spec: `mode` is null; write a value, or leave it out",
        ),
        (
            "  mode: log\n  decide: [{allow: {}}]",
            "hooks.yaml:10:9: h/spec.mode: `log` is not known here; allowed are `enforce`, `warn`, `audit`",
        ),
        (
            "  onError: fail\n  decide: [{allow: {}}]",
            "hooks.yaml:10:12: h/spec.onError: `fail` is not known here; allowed are `deny`, `allow`, `pass`",
        ),
        (
            "  timeoutSeconds: 31\n  decide: [{allow: {}}]",
            "hooks.yaml:10:19: h/spec.timeoutSeconds: `timeoutSeconds` is 1 to 30",
        ),
        (
            "  timeoutSeconds: 0\n  decide: [{allow: {}}]",
            "hooks.yaml:10:19: h/spec.timeoutSeconds: `timeoutSeconds` is 1 to 30",
        ),
        (
            "  webhookName: a.b\n  decide: [{allow: {}}]",
            "hooks.yaml:10:16: h/spec.webhookName: `a.b` is not the name of a webhook; write one such as `pods.policy.example.com`",
        ),
        (
            "  reinvocationPolicy: Never\n  decide: [{allow: {}}]",
            "hooks.yaml:10:23: h/spec.reinvocationPolicy: `reinvocationPolicy` is for hooks that change objects; leave it out",
        ),
        (
            "  auditAnnotations: {a/b: c}\n  decide: [{allow: {}}]",
            "hooks.yaml:10:27: h/spec.auditAnnotations.a/b: `a/b` is not a key for audit annotations; write a name without a slash",
        ),
        (
            "",
            "hooks.yaml:5:3: h/spec: the hook does nothing; write `decide`, `validate` or `mutate`, or name an engine",
        ),
        ("  decide: []", "hooks.yaml:10:11: h/spec.decide: an empty list; write an item, or leave the field out"),
        ("  decide: {allow: {}}", "hooks.yaml:10:11: h/spec.decide: wanted a list, found a map"),
        (
            "  decide: [{permit: {}}]",
            "hooks.yaml:10:13: h/spec.decide[0]: unknown field `permit`; allowed are `allow`, `deny`, `warn`, `denyAll`, `denyFirst`",
        ),
        (
            "  decide: [{allow: {}, deny: {}}]",
            "hooks.yaml:10:12: h/spec.decide[0]: wanted one field; allowed are `allow`, `deny`, `warn`, `denyAll`, `denyFirst`",
        ),
        ("  decide: [{allow: {message: x}}]", "unknown field `message`"),
        ("  decide: [{warn: {users: [a]}}]", "hooks.yaml:10:19: h/spec.decide[0].warn: the field `message` is missing"),
        ("  decide: [{denyAll: {join: x}}]", "hooks.yaml:10:22: h/spec.decide[0].denyAll: the field `of` is missing"),
        (
            "  decide: [{deny: {}}, {allow: {users: [a]}}]",
            "hooks.yaml:10:24: h/spec.decide[1]: this rule is never reached: `decide[0]` holds always; give it a condition, or remove this one",
        ),
        ("  decide: [{denyFirst: {of: [{}]}}, {allow: {}}]", "this rule is never reached: `decide[0]` holds always"),
        (
            "  decide: [{deny: {code: 200}}]",
            "hooks.yaml:10:19: h/spec.decide[0].deny: `code` is the status of a denial: 400 to 599",
        ),
        (
            "  decide: [{deny: {message: 'no {{imago}}'}}]",
            "hooks.yaml:10:29: h/spec.decide[0].deny.message: `{{imago}}` is not known here; allowed are `user`, `operation`, `kind`, `resource`, `name`, `namespace`, `image`, `container`, `missing`, `label`, `path`",
        ),
        (
            "  decide: [{deny: {message: 'no {{image'}}]",
            "hooks.yaml:10:29: h/spec.decide[0].deny.message: `{{` without `}}` after it",
        ),
        (
            "  decide: [{allow: {users: []}}]",
            "hooks.yaml:10:28: h/spec.decide[0].allow.users: an empty list; write an item, or leave the field out",
        ),
        (
            "  decide: [{allow: {users: [1]}}]",
            "hooks.yaml:10:29: h/spec.decide[0].allow.users[0]: wanted text, found the number `1`; put it in quotes",
        ),
        (
            "  decide: [{allow: {users: {list: x}}}]",
            "hooks.yaml:10:28: h/spec.decide[0].allow.users: there is no list `x` in `spec.lists`; there is none",
        ),
        (
            "  lists: {x: []}\n  decide: [{allow: {users: {list: x}}}]",
            "hooks.yaml:10:14: h/spec.lists.x: an empty list; write an item, or leave the field out",
        ),
        ("  decide: [{allow: {userRegex: ['(']}}]", "h/spec.decide[0].allow.userRegex[0]: the regex `(` is refused: "),
        (
            "  decide: [{allow: {operations: [PATCH]}}]",
            "hooks.yaml:10:34: h/spec.decide[0].allow.operations[0]: there is no operation `PATCH`; allowed are `CREATE`, `UPDATE`, `DELETE`, `CONNECT`, `*`",
        ),
        (
            "  decide: [{allow: {kinds: [pods]}}]",
            "hooks.yaml:10:29: h/spec.decide[0].allow.kinds[0]: `pods` is not a kind; write `Pod`, `Deployment.apps`, or `*`",
        ),
        (
            "  decide: [{allow: {kinds: [Deployment]}}]",
            "hooks.yaml:10:29: h/spec.decide[0].allow.kinds[0]: `Deployment` without a group is of the core group, which has none; write `Deployment.apps`",
        ),
        (
            "  decide: [{allow: {resources: [Pod]}}]",
            "`Pod` is not a resource; write `pods`, `deployments.apps`, `pods/exec`, `*/scale`, or `*`",
        ),
        (
            "  decide: [{allow: {resources: [networkpolicy.networking.k8s.io]}}]",
            "`networkpolicy` is no resource, but a kind's name; write `networkpolicies`",
        ),
        (
            "  decide: [{allow: {serviceAccounts: [robot]}}]",
            "hooks.yaml:10:39: h/spec.decide[0].allow.serviceAccounts[0]: `robot` is not `namespace:name` of a service account, either of which may be `*`",
        ),
        (
            "  decide: [{allow: {labelSelector: {matchExpressions: [{key: a, operator: Is}]}}}]",
            "h/spec.decide[0].allow.labelSelector.matchExpressions[0].operator: `Is` is not known here; allowed are `In`, `NotIn`, `Exists`, `DoesNotExist`",
        ),
        (
            "  decide: [{allow: {labelSelector: {matchExpressions: [{key: a, operator: In}]}}}]",
            "the requirement on `a` has no `values`; write some",
        ),
        (
            "  decide: [{allow: {missingLabels: [a b]}}]",
            "`a b` is not a key of Kubernetes; one has up to 63 letters, digits, `-`, `_` and `.`, and perhaps a domain with a slash before it",
        ),
        (
            "  decide: [{allow: {labelsChanged: ['a*b']}}]",
            "`*` may stand only at the end of a key, and means whatever follows",
        ),
        (
            "  decide: [{allow: {images: {registryIn: [nginx]}}}]",
            "`nginx` is not a registry: a host has a dot or a port, or is `localhost`; of Docker Hub, write `docker.io/library/nginx` for the image, `docker.io/nginx/` for the account",
        ),
        (
            "  decide: [{allow: {images: {registryIn: [docker.io/nginx]}}}]",
            "`docker.io/nginx` is the image `docker.io/library/nginx`, or all images of the account `docker.io/nginx/`; write the one that is meant",
        ),
        (
            "  decide: [{allow: {images: {registryIn: ['a.b/c:1']}}}]",
            "`a.b/c:1` is not a registry; write `host`, `host:port` or `host/path`, without a tag",
        ),
        (
            "  decide: [{allow: {fields: [{path: spec, exists: true}]}}]",
            "`spec` is not a path; it begins with `/`, such as `/spec/replicas`",
        ),
        (
            "  decide: [{allow: {fields: [{path: /a}]}}]",
            "nothing is asked of the field; write one of `exists`, `equals`, `in`",
        ),
        (
            "  decide: [{allow: {fields: [{path: /a, atMost: x}]}}]",
            "wanted a number, or a quantity such as `500m` or `1Gi`",
        ),
        (
            "  decide: [{allow: {fields: [{path: /*, changed: true}]}}]",
            "`changed` compares one field with one other: its paths have no `*`",
        ),
        (
            "  decide: [{allow: {pod: [{path: /a, old: true, exists: true}]}}]",
            "`old` is only for `fields`, whose paths begin at the object",
        ),
        (
            "  decide: [{allow: {tolerates: [{key: a, effect: No}]}}]",
            "there is no effect `No`; allowed are `NoSchedule`, `PreferNoSchedule`, `NoExecute`",
        ),
        (
            "  decide: [{allow: {limits: {}}}]",
            "nothing is asked of the limits; write `missing: [memory]` or `over: {memory: 1Gi}`",
        ),
        ("  validate: [{require: {}}]", "wanted `require`, a condition, and the `message` where it does not hold"),
        ("  mutate: [{when: {}}]", "nothing is changed; write one of `setLabels`"),
        (
            "  mutate: [{setLabels: {a: 'b c'}}]",
            "`b c` is not a value for a label; one has up to 63 letters, digits, `-`, `_` and `.`",
        ),
        (
            "  mutate: [{rewriteRegistry: [{from: a.b, to: a.b/c}]}]",
            "`to` is a part of `from`: an image would be rewritten again and again; choose another",
        ),
        (
            "  mode: audit\n  mutate: [{setLabels: {a: b}}]",
            "warning: hooks.yaml:11:11: h/spec.mutate: nothing is changed while `mode` is not `enforce`",
        ),
        (
            "  decide: [{deny: {not: {}}}]",
            "warning: hooks.yaml:10:25: h/spec.decide[0].deny.not: what stands in this `not` holds always, and so `not` never does",
        ),
        (
            "  decide: [{deny: {any: [{users: [a]}, {}]}}, {allow: {}}]",
            "this rule is never reached: `decide[0]` holds always",
        ),
        ("  decide: [{deny: {all: [{operations: ['*']}]}}, {allow: {}}]", "this rule is never reached"),
        ("  decide: [{deny: {any: [{operations: [CREATE]}]}}, {allow: {}}]", ""),
        (
            "  decide: [{deny: {images: {}}}]",
            "h/spec.decide[0].deny.images: nothing is asked of the images, and each will do; allowed are `registryIn`",
        ),
        (
            "  decide: [{deny: {images: {tagIn: [':latest']}}}]",
            "hooks.yaml:10:37: h/spec.decide[0].deny.images.tagIn[0]: `:latest` is not a tag; write it as it is, without a colon",
        ),
        (
            "  decide: [{deny: {users: ['']}}]",
            "hooks.yaml:10:28: h/spec.decide[0].deny.users[0]: an empty text is the name of nothing; write a name, or leave it out",
        ),
        ("  decide: [{deny: {subResources: ['']}}]", ""),
        (
            "  decide: [{deny: {names: ['kube-*']}}]",
            "warning: hooks.yaml:10:28: h/spec.decide[0].deny.names[0]: `kube-*` is compared as it is written, and looks like a pattern; for patterns there are the fields that end in `Regex`",
        ),
        ("  decide: [{deny: {groups: ['^system:']}}]", "h/spec.decide[0].deny.groups[0]: `^system:` is compared"),
        ("  decide: [{deny: {nameRegex: ['']}}]", "an empty regex matches everything"),
        (
            "  decide: [{deny: {labelsChanged: ['a b']}}]",
            "h/spec.decide[0].deny.labelsChanged[0]: `a b` is not a key of Kubernetes",
        ),
        (
            "  decide: [{deny: {limits: {missing: [CPU]}}}]",
            "there is no resource `CPU`; write `cpu`, `memory`, `ephemeral-storage`, `hugepages-2Mi`, or one with a domain",
        ),
        ("  decide: [{deny: {limits: {missing: [hugepages-2Mi, example.com/gpu]}}}]", ""),
        (
            "  decide: [{deny: {pod: [{path: /spec/hostNetwork, equals: true}]}}]",
            "hooks.yaml:10:25: h/spec.decide[0].deny.pod: the paths begin at the pod spec, not at the object; leave out what leads there",
        ),
        (
            "  decide: [{deny: {fields: [{path: /a, in: [{list: x}]}]}}]",
            "there is no list `x` in `spec.lists`; there is none",
        ),
        (
            "  decide: [{deny: {message: 'no {{image}}'}}]",
            "warning: hooks.yaml:10:29: h/spec.decide[0].deny.message: nothing fills `{{image}}` here: that is for conditions on `images`, outside of `not`",
        ),
        (
            "  decide: [{deny: {not: {missingLabels: [a]}, message: 'no {{missing}}'}}]",
            "nothing fills `{{missing}}` here",
        ),
        ("  decide: [{deny: {any: [{missingLabels: [a]}], message: 'no {{missing}}'}}]", ""),
        (
            "  decide: [{denyAll: {message: '{{image}}', of: [{images: {hasDigest: false}}]}}]",
            "nothing fills `{{image}}` here",
        ),
        ("  validate: [{require: {missingLabels: [a]}, message: '{{missing}}'}]", "nothing fills `{{missing}}` here"),
        (
            "  mutate: [{setLabels: {a: b}, removeLabels: [a]}]",
            "warning: hooks.yaml:10:12: h/spec.mutate[0]: the label `a` is changed twice by one item: removed, then set, then added; write one of them",
        ),
        (
            "  lists: {x: [a]}\n  decide: [{allow: {}}]",
            "warning: hooks.yaml:10:14: h/spec.lists.x: nothing uses this list",
        ),
    ];
    for (spec, wanted) in cases {
        let errors = errors(spec);
        match (wanted, errors.as_slice()) {
            ("", []) => {}
            (wanted, [error, ..]) if !wanted.is_empty() && error.contains(wanted) => {
                assert!(!wanted.starts_with("hooks.yaml") || wanted.contains("allowed") || error == wanted, "{error}");
            }
            _ => panic!("{spec}\nwanted {wanted}\ngot {errors:#?}"),
        }
    }
}

#[test]
fn speak_of_the_rules_of_webhooks() {
    let cases = [
        (
            "operations: [PATCH], apiGroups: [''], apiVersions: [v1], resources: [pods]",
            "there is no operation `PATCH`; allowed are",
        ),
        (
            "operations: ['*', CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]",
            "`*` stands beside others; it means them all: leave one or the others out",
        ),
        (
            "operations: [CREATE], apiGroups: [v1], apiVersions: [v1], resources: [pods]",
            "`v1` is a version, and not an API group: the group of `v1` is `\"\"`, that of `apps/v1` is `apps`",
        ),
        (
            "operations: [CREATE], apiGroups: [app], apiVersions: [v1], resources: [pods]",
            "there is no API group `app`; those without a dot are `\"\"`, `apps`, `batch`, `autoscaling`, `policy`, `extensions`",
        ),
        (
            "operations: [CREATE], apiGroups: [apps/v1], apiVersions: [v1], resources: [pods]",
            "`apps/v1` is not an API group",
        ),
        (
            "operations: [CREATE], apiGroups: [''], apiVersions: [apps], resources: [pods]",
            "`apps` is not a version; write one such as `v1`, or `*`",
        ),
        (
            "operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [Pod]",
            "`Pod` is not a resource; write `pods`",
        ),
        (
            "operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods, deployments/scale]",
            "`deployments/scale` is not of the core group; write a rule with `apiGroups: [apps]`",
        ),
        (
            "operations: [CREATE], apiGroups: [apps, batch], apiVersions: [v1], resources: [deployments, pods]",
            "`pods` is of the core group; write a rule with `apiGroups: [\"\"]`",
        ),
        (
            "operations: [CREATE], apiGroups: [apps], apiVersions: [v1], resources: [deployment]",
            "`deployment` is no resource, but a kind's name; write `deployments`",
        ),
        (
            "operations: [CREATE], apiGroups: [networking.k8s.io], apiVersions: [v1], resources: [ingress]",
            "`ingress` is no resource, but a kind's name; write `ingresses`",
        ),
        (
            "operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: ['*', pods]",
            "`pods` stands beside `*`, which means it, too; leave one of them out",
        ),
        (
            "operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: ['*/*', pods]",
            "`*/*` stands beside others",
        ),
        ("operations: [CREATE], apiGroups: [''], apiVersions: [v1]", "the field `resources` is missing"),
        (
            "operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods], scope: Both",
            "`Both` is not known here; allowed are `Namespaced`, `Cluster`, `*`",
        ),
    ];
    for (rule, wanted) in cases {
        let errors =
            load(&format!("{HEAD}{TESTS}  rules: [{{{rule}}}]\n  decide: [{{allow: {{}}}}]")).map(|_| ()).unwrap_err();
        assert!(errors[0].message.contains(wanted), "{rule}: {errors:?}");
        assert_eq!(errors[0].place.line, 9, "{errors:?}");
    }
}

#[test]
fn are_found_all_at_once_and_across_documents() {
    let hook = |name: &str, uri: &str| {
        format!(
            "---\n{}{RULES}{TESTS}  decide: [{{allow: {{}}}}]\n",
            HEAD.replace("name: h", &format!("name: {name}")).replace("/h", uri)
        )
    };
    let errors = load(&(hook("a", "/a") + &hook("b", "/a") + &hook("a", "/c"))).map(|_| ()).unwrap_err();
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "hooks.yaml:17:8: b/spec.uri: the hook `a` at hooks.yaml:6:8 has the path `/a`, too; give one of them another",
            "hooks.yaml:26:18: metadata.name: there is a hook `a` already, at hooks.yaml:4:18; rename one of them",
        ]
    );
    let errors =
        load(&format!("{HEAD}  mode: x\n  decide: [{{allow: {{users: 7, names: x}}}}]")).map(|_| ()).unwrap_err();
    assert_eq!(errors.len(), 4, "the rules, the mode and two conditions: {errors:?}");
    for uri in ["h", "//", "/healthz", "/readyz", "/a/../b", "/a?b", "/a//b", "/a b", "/a%2fb", "/a/"] {
        let errors = load(&hook("a", uri)).map(|_| ()).unwrap_err();
        assert!(errors[0].path.ends_with("spec.uri"), "{errors:?}");
    }
    for name in ["A", "a.b", "-a", "''", "7", &"a".repeat(64)] {
        assert!(load(&hook(name, "/x")).is_err(), "{name}");
    }
}

#[test]
fn warn_of_what_locks_a_cluster_out() {
    let fail = |more: &str| {
        let text = format!("{}{RULES}{more}  decide: [{{allow: {{}}}}]", HEAD.replace("Ignore", "Fail"));
        load(&text).unwrap().1.iter().map(|warning| warning.message.clone()).collect::<Vec<_>>()
    };
    let warnings = fail("");
    assert!(
        warnings[0].contains("with `failurePolicy: Fail` nothing starts in `kube-system` while the filter is away")
    );
    assert_eq!(warnings[1], "the hook has no `tests`");
    let selector = "  namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system]}]}\n";
    assert_eq!(fail(&format!("{selector}{TESTS}")), [""; 0]);
}

#[test]
fn nesting_has_a_limit() {
    let deep = |n: usize| format!("  decide: [{{allow: {}{{users: [a]}}{}}}]", "{not: ".repeat(n), "}".repeat(n));
    assert_eq!(errors(&deep(16)), [""; 0]);
    assert!(errors(&deep(17))[0].contains("conditions are more than 16 deep within each other; write them flatter"));
}
