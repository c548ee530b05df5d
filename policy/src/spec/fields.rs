//! The schema of CiliumNetworkPolicy up to 1.18, field by field: what is read, and what is refused and why. The strict
//! kind has the same one, but for the fields that it adds.

/// A field's name, and what to do instead where it cannot be enforced.
pub(super) type Field = (&'static str, Option<&'static str>);

pub(super) const OBJECT: &[Field] = &[
    ("apiVersion", None),
    ("kind", None),
    ("metadata", None),
    ("description", None),
    ("spec", None),
    ("specs", None),
    // What Kubernetes writes into an object that one reads back.
    ("status", None),
];

pub(super) const LIST: &[Field] = &[("apiVersion", None), ("kind", None), ("metadata", None), ("items", None)];

pub(super) const SPEC: &[Field] = &[
    ("description", None),
    ("labels", None),
    ("endpointSelector", None),
    ("nodeSelector", Some("host policies have no L7 part and stay with the CNI; use `endpointSelector`")),
    ("enableDefaultDeny", None),
    ("ingress", None),
    ("ingressDeny", None),
    ("egress", None),
    ("egressDeny", None),
];

const GROUPS: &str = "groups of cloud providers are not resolved here; name their networks in a CIDR set";
const NODES: &str = "nodes cannot be told by their labels here; use entities, or name their networks";
const ICMPS: &str = "only TCP is carried here; leave ICMP to the CNI, in a policy of its own";
const AUTHENTICATION: &str =
    "authentication is not done here; demand client certificates in Envoy's listener, and leave this out";

pub(super) const INGRESS: &[Field] = &[
    ("fromEndpoints", None),
    ("fromRequires", None),
    ("fromCIDR", None),
    ("fromCIDRSet", None),
    ("fromEntities", None),
    ("fromGroups", Some(GROUPS)),
    ("fromNodes", Some(NODES)),
    ("toPorts", None),
    ("icmps", Some(ICMPS)),
    ("authentication", Some(AUTHENTICATION)),
];

pub(super) const EGRESS: &[Field] = &[
    ("toEndpoints", None),
    ("toRequires", None),
    ("toCIDR", None),
    ("toCIDRSet", None),
    ("toEntities", None),
    ("toGroups", Some(GROUPS)),
    ("toNodes", Some(NODES)),
    ("toServices", Some("services are not resolved here; select their endpoints or networks")),
    ("toFQDNs", Some("DNS names are not resolved here; name their networks in `toCIDRSet`, or leave it to the CNI")),
    ("toPorts", None),
    ("icmps", Some(ICMPS)),
    ("authentication", Some(AUTHENTICATION)),
];

const TLS: &str = "TLS is ended by Envoy's transport sockets, not by policy; configure it in the listener";

pub(super) const PORT_RULE: &[Field] = &[
    ("ports", None),
    ("rules", None),
    ("terminatingTLS", Some(TLS)),
    ("originatingTLS", Some(TLS)),
    ("serverNames", Some("server names are matched by Envoy; use `filter_chain_match` in the listener")),
    ("listener", Some("redirection is done by Envoy's configuration, not by policy; leave it out")),
];

const HTTP: &str = "HTTP is policed by Envoy itself; use its RBAC filter, or leave it to the CNI";

pub(super) const L7_RULES: &[Field] = &[
    ("l7proto", None),
    ("l7", None),
    ("http", Some(HTTP)),
    ("kafka", Some("there is no parser for Kafka here; use `l7proto` with one of the protocols there are")),
    ("dns", Some("DNS is not policed here; leave it to the CNI's DNS proxy")),
];

pub(super) const STRICT_L7_RULES: &[Field] = &[("l7proto", None), ("l7", None), ("deny", None)];

pub(super) const CIDR_GROUPS: &str = "CIDR groups are not resolved here; write the networks out as `cidr`";
pub(super) const NAMED_PORT: &str = "named ports cannot be resolved here; write the number";
