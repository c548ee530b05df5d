//! The schema, field by field: what is read, what is refused and why, and what stands only in the strict kind. The loader
//! and the published schemas both go by these tables.

use crate::l7::Dialect;

/// A field of an object.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) reading: Reading,
    pub(crate) shape: Shape,
    /// What it means, for people who write policies in an editor.
    pub(crate) about: &'static str,
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is read.
    Both,
    /// Only the strict kind has it.
    Strict,
    /// It cannot be enforced; what to do instead.
    Refused(&'static str),
}

/// What a field holds, as far as a schema can say it. The loader knows more.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// An object of which only these fields are known here.
    Open(&'static [Field]),
    Text,
    OneOf(&'static [&'static str]),
    Bool,
    Integer(i64, i64),
    /// A map from text to text.
    Labels,
    List(&'static Shape),
    /// The fields, and which of them must be there.
    Map(&'static [Field], &'static [&'static str]),
}

impl Field {
    pub(crate) fn is_read(&self, dialect: Dialect) -> bool {
        match self.reading {
            Reading::Both => true,
            Reading::Strict => dialect == Dialect::Strict,
            Reading::Refused(_) => false,
        }
    }
}

const fn read(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, reading: Reading::Both, shape, about }
}

const fn strict(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, reading: Reading::Strict, shape, about }
}

const fn refused(name: &'static str, instead: &'static str) -> Field {
    Field { name, reading: Reading::Refused(instead), shape: Shape::Open(&[]), about: "" }
}

pub(crate) const OBJECT: &[Field] = &[
    read("apiVersion", Shape::Text, "The kind's group and version."),
    read("kind", Shape::Text, "The kind."),
    read("metadata", Shape::Open(METADATA), "Name and namespace; without a namespace it is `default`."),
    read("description", Shape::Text, "For people."),
    read("spec", Shape::Map(SPEC, &["endpointSelector"]), "What may pass to and from some endpoints."),
    read("specs", Shape::List(&Shape::Map(SPEC, &["endpointSelector"])), "Several of `spec`."),
    // What Kubernetes writes into an object that one reads back.
    read("status", Shape::Open(&[]), "Not looked at."),
];

pub(crate) const LIST: &[Field] = &[
    read("apiVersion", Shape::Text, ""),
    read("kind", Shape::Text, ""),
    read("metadata", Shape::Open(&[]), ""),
    read("items", Shape::List(&Shape::Open(&[])), ""),
];

pub(crate) const METADATA: &[Field] = &[
    read("name", Shape::Text, "The policy's name."),
    read("namespace", Shape::Text, "Whose endpoints it protects. Default: `default`."),
];

const MODE: Shape = Shape::OneOf(MODES);
pub(crate) const MODES: &[&str] = &["enforce", "audit"];

pub(crate) const SPEC: &[Field] = &[
    read("description", Shape::Text, "For people."),
    read("labels", Shape::List(&Shape::Text), "For people."),
    strict("mode", MODE, "`audit`: what these rules would deny passes, and is logged. Default: `enforce`."),
    read(
        "endpointSelector",
        SELECTOR,
        "The endpoints that the rules protect, in the policy's namespace; `{}` is all of them.",
    ),
    refused("nodeSelector", "host policies have no L7 part and stay with the CNI; use `endpointSelector`"),
    read(
        "enableDefaultDeny",
        Shape::Map(DEFAULT_DENY, &[]),
        "Whether what no rule admits is denied. Default: `true` for each direction that has rules.",
    ),
    read("ingress", Shape::List(&Shape::Map(INGRESS, &[])), "What may come in. `[]`: nothing."),
    read("ingressDeny", Shape::List(&Shape::Map(INGRESS, &[])), "What may not come in, whatever admits it."),
    read("egress", Shape::List(&Shape::Map(EGRESS, &[])), "What may go out. `[]`: nothing."),
    read("egressDeny", Shape::List(&Shape::Map(EGRESS, &[])), "What may not go out, whatever admits it."),
];

pub(crate) const DEFAULT_DENY: &[Field] =
    &[read("ingress", Shape::Bool, "For what comes in."), read("egress", Shape::Bool, "For what goes out.")];

const SELECTOR: Shape = Shape::Map(CONDITIONS, &[]);

pub(crate) const CONDITIONS: &[Field] = &[
    read("matchLabels", Shape::Labels, "Labels that must be there, with these values."),
    read(
        "matchExpressions",
        Shape::List(&Shape::Map(EXPRESSION, &["key", "operator"])),
        "Conditions that must all hold.",
    ),
];

pub(crate) const EXPRESSION: &[Field] = &[
    read("key", Shape::Text, "The key of a label, with or without its source: `app`, `k8s:app`, `reserved:host`."),
    read("operator", Shape::OneOf(&["In", "NotIn", "Exists", "DoesNotExist"]), "How the values are compared."),
    read("values", Shape::List(&Shape::Text), "For `In` and `NotIn`."),
];

const GROUPS: &str = "groups of cloud providers are not resolved here; name their networks in a CIDR set";
const NODES: &str = "nodes cannot be told by their labels here; use entities, or name their networks";
const ICMPS: &str = "only TCP is carried here; leave ICMP to the CNI, in a policy of its own";
const AUTHENTICATION: &str =
    "authentication is not done here; demand client certificates in Envoy's listener, and leave this out";

const NAME: Field = strict("name", Shape::Text, "What logs call the rule: `policy/name`. Unique in the policy.");
const RULE_MODE: Field =
    strict("mode", MODE, "`audit`: what this rule would deny passes, and is logged. Default: that of the spec.");
const TO_PORTS: Field = read(
    "toPorts",
    Shape::List(&Shape::Map(PORT_RULE, &[])),
    "The ports that the rule speaks of, and what may be asked there. Absent: all ports.",
);
const ENDPOINTS: Shape = Shape::List(&SELECTOR);
const NETWORKS: Shape = Shape::List(&Shape::Text);
const NETWORK_SETS: Shape = Shape::List(&Shape::Map(CIDR_SET, &["cidr"]));
const ENTITY_NAMES: Shape = Shape::List(&Shape::OneOf(ENTITIES));
const PEERS: Shape = Shape::List(&Shape::Map(PEER, &[]));

const ABOUT_ENDPOINTS: &str =
    "Peers by their labels, in the policy's namespace unless they say otherwise. `[]`: nobody.";
const ABOUT_REQUIRES: &str = "What peers must fulfil to be admitted by their labels; grants nothing.";
const ABOUT_NETWORKS: &str = "Peers by their addresses.";
const ABOUT_ENTITIES: &str = "Peers by what they are.";
const ABOUT_PEERS: &str = "Peers by the names in their TLS certificates.";

pub(crate) const ENTITIES: &[&str] = &[
    "all",
    "cluster",
    "health",
    "host",
    "ingress",
    "init",
    "kube-apiserver",
    "none",
    "remote-node",
    "unmanaged",
    "world",
];

pub(crate) const INGRESS: &[Field] = &[
    NAME,
    RULE_MODE,
    read("fromEndpoints", ENDPOINTS, ABOUT_ENDPOINTS),
    read("fromRequires", ENDPOINTS, ABOUT_REQUIRES),
    read("fromCIDR", NETWORKS, ABOUT_NETWORKS),
    read("fromCIDRSet", NETWORK_SETS, ABOUT_NETWORKS),
    read("fromEntities", ENTITY_NAMES, ABOUT_ENTITIES),
    strict("fromPeers", PEERS, ABOUT_PEERS),
    refused("fromGroups", GROUPS),
    refused("fromNodes", NODES),
    TO_PORTS,
    refused("icmps", ICMPS),
    refused("authentication", AUTHENTICATION),
];

pub(crate) const EGRESS: &[Field] = &[
    NAME,
    RULE_MODE,
    read("toEndpoints", ENDPOINTS, ABOUT_ENDPOINTS),
    read("toRequires", ENDPOINTS, ABOUT_REQUIRES),
    read("toCIDR", NETWORKS, ABOUT_NETWORKS),
    read("toCIDRSet", NETWORK_SETS, ABOUT_NETWORKS),
    read("toEntities", ENTITY_NAMES, ABOUT_ENTITIES),
    strict("toPeers", PEERS, ABOUT_PEERS),
    refused("toGroups", GROUPS),
    refused("toNodes", NODES),
    refused("toServices", "services are not resolved here; select their endpoints or networks"),
    refused("toFQDNs", "DNS names are not resolved here; name their networks in `toCIDRSet`, or leave it to the CNI"),
    TO_PORTS,
    refused("icmps", ICMPS),
    refused("authentication", AUTHENTICATION),
];

pub(crate) const CIDR_SET: &[Field] = &[
    read("cidr", Shape::Text, "A network or an address."),
    read("except", NETWORKS, "Networks in it that are not meant."),
    refused("cidrGroupRef", CIDR_GROUPS),
    refused("cidrGroupSelector", CIDR_GROUPS),
];

pub(crate) const PEER: &[Field] = &[
    read("spiffe", Shape::Text, "A SPIFFE id, exactly; with `/*` at its end all ids below it."),
    read("dnsName", Shape::Text, "A DNS name, exactly; `*.` at its beginning stands for one label."),
    read("subject", Shape::Text, "The subject of the certificate, exactly, as RFC 2253 writes it."),
];

const TLS: &str = "TLS is ended by Envoy's transport sockets, not by policy; configure it in the listener";

pub(crate) const PORT_RULE: &[Field] = &[
    read("ports", Shape::List(&Shape::Map(PORT, &["port"])), "The ports. Absent: all of them."),
    read("rules", Shape::Map(L7_RULES, L7_REQUIRED), "What may be asked there. Absent: everything."),
    refused("terminatingTLS", TLS),
    refused("originatingTLS", TLS),
    refused("serverNames", "server names are matched by Envoy; use `filter_chain_match` in the listener"),
    refused("listener", "redirection is done by Envoy's configuration, not by policy; leave it out"),
];

pub(crate) const PORT: &[Field] = &[
    read("port", Shape::Text, "A number in quotes; `\"0\"` is every port."),
    read("endPort", Shape::Integer(0, 65_535), "The last port of a range."),
    read("protocol", Shape::OneOf(PROTOCOLS), "Only TCP is carried here. Default: any."),
];

pub(crate) const PROTOCOLS: &[&str] = &["ANY", "SCTP", "TCP", "UDP"];

const HTTP: &str = "HTTP is policed by Envoy itself; use its RBAC filter, or leave it to the CNI";

const L7_REQUIRED: &[&str] = &["l7proto"];

pub(crate) const L7_RULES: &[Field] = &[
    read("l7proto", Shape::Text, "The protocol of the items."),
    read("l7", Shape::List(&Shape::Open(ITEM)), "Requests that may pass: any item, all that it says."),
    strict("deny", Shape::List(&Shape::Open(ITEM)), "Requests that may not pass, whatever admits them."),
    refused("http", HTTP),
    refused("kafka", "there is no parser for Kafka here; use `l7proto` with one of the protocols there are"),
    refused("dns", "DNS is not policed here; leave it to the CNI's DNS proxy"),
];

/// Fields of the items of the strict kind that are not the protocol's.
pub(crate) const ITEM: &[Field] =
    &[NAME, strict("mode", MODE, "`audit`: what this `deny` item denies passes, and is logged.")];

pub(crate) const CIDR_GROUPS: &str = "CIDR groups are not resolved here; write the networks out as `cidr`";
pub(super) const NAMED_PORT: &str = "named ports cannot be resolved here; write the number";
