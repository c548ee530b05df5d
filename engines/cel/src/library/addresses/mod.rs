//! `ip` and `cidr`: addresses and networks.

mod network;
#[cfg(test)]
mod tests;

use std::any::Any;

pub(super) use network::{Address, Network};

use super::failed;
use crate::error::EvalError;
use crate::function::Style::{Global, Receiver};
use crate::function::{Call, Function, Overload, cost};
use crate::types::Type;
use crate::value::{Opaque, Value};

/// What `type(ip('::1'))` is.
pub(super) const IP: Type = Type::Opaque("net.IP");

/// What `type(cidr('::/0'))` is.
pub(super) const CIDR: Type = Type::Opaque("net.CIDR");

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "ip",
        style: Global,
        overloads: &[Overload { parameters: &[Type::String], result: IP }],
        cost: cost::traverse,
        pattern: None,
        call: |call| Ok(Value::opaque(address(call, 0)?)),
    },
    Function {
        name: "isIP",
        style: Global,
        overloads: &[Overload { parameters: &[Type::String], result: Type::Bool }],
        cost: cost::traverse,
        pattern: None,
        call: |call| Ok(Value::Bool(Address::parse(call.text(0)?).is_ok())),
    },
    Function {
        name: "ip.isCanonical",
        style: Global,
        overloads: &[Overload { parameters: &[Type::String], result: Type::Bool }],
        cost: |arguments, _| arguments.first().map_or(1, |text| cost::tenth(text.cost_size().saturating_mul(2))),
        pattern: None,
        call: |call| Ok(Value::Bool(address(call, 0)?.text() == call.text(0)?)),
    },
    Function {
        name: "family",
        style: Receiver,
        overloads: &[Overload { parameters: &[IP], result: Type::Int }],
        cost: cost::one,
        pattern: None,
        call: |call| Ok(Value::Int(if call.opaque::<Address>(0)?.0.is_ipv4() { 4 } else { 6 })),
    },
    test("isUnspecified", |call| Ok(Value::Bool(call.opaque::<Address>(0)?.0.is_unspecified()))),
    test("isLoopback", |call| Ok(Value::Bool(call.opaque::<Address>(0)?.0.is_loopback()))),
    test("isLinkLocalMulticast", |call| Ok(Value::Bool(call.opaque::<Address>(0)?.is_link_local_multicast()))),
    test("isLinkLocalUnicast", |call| Ok(Value::Bool(call.opaque::<Address>(0)?.is_link_local_unicast()))),
    test("isGlobalUnicast", |call| Ok(Value::Bool(call.opaque::<Address>(0)?.is_global_unicast()))),
    Function {
        name: "cidr",
        style: Global,
        overloads: &[Overload { parameters: &[Type::String], result: CIDR }],
        cost: cost::traverse,
        pattern: None,
        call: |call| Ok(Value::opaque(network(call, 0)?)),
    },
    Function {
        name: "isCIDR",
        style: Global,
        overloads: &[Overload { parameters: &[Type::String], result: Type::Bool }],
        cost: cost::traverse,
        pattern: None,
        call: |call| Ok(Value::Bool(Network::parse(call.text(0)?).is_ok())),
    },
    Function {
        name: "containsIP",
        style: Receiver,
        overloads: &[
            Overload { parameters: &[CIDR, Type::String], result: Type::Bool },
            Overload { parameters: &[CIDR, IP], result: Type::Bool },
        ],
        cost: |arguments, _| containment_cost(arguments, 0),
        pattern: None,
        call: |call| Ok(Value::Bool(call.opaque::<Network>(0)?.contains_address(address(call, 1)?))),
    },
    Function {
        name: "containsCIDR",
        style: Receiver,
        overloads: &[
            Overload { parameters: &[CIDR, Type::String], result: Type::Bool },
            Overload { parameters: &[CIDR, CIDR], result: Type::Bool },
        ],
        // "we first mask the base CIDR and also compare the CIDR bits".
        cost: |arguments, _| containment_cost(arguments, cost::tenth(network_size(arguments)).saturating_add(1)),
        pattern: None,
        call: |call| Ok(Value::Bool(call.opaque::<Network>(0)?.contains_network(network(call, 1)?))),
    },
    Function {
        name: "ip",
        style: Receiver,
        overloads: &[Overload { parameters: &[CIDR], result: IP }],
        cost: cost::one,
        pattern: None,
        call: |call| Ok(Value::opaque(Address(call.opaque::<Network>(0)?.address))),
    },
    Function {
        name: "masked",
        style: Receiver,
        overloads: &[Overload { parameters: &[CIDR], result: CIDR }],
        cost: cost::one,
        pattern: None,
        call: |call| Ok(Value::opaque(call.opaque::<Network>(0)?.masked())),
    },
    Function {
        name: "prefixLength",
        style: Receiver,
        overloads: &[Overload { parameters: &[CIDR], result: Type::Int }],
        cost: cost::one,
        pattern: None,
        call: |call| Ok(Value::Int(call.opaque::<Network>(0)?.bits.into())),
    },
    Function {
        name: "string",
        style: Global,
        overloads: &[
            Overload { parameters: &[IP], result: Type::String },
            Overload { parameters: &[CIDR], result: Type::String },
        ],
        cost: cost::one,
        pattern: None,
        call: |call| match call.argument(0)?.downcast::<Address>() {
            Some(address) => Ok(Value::text(address.text())),
            None => Ok(Value::text(call.opaque::<Network>(0)?.text())),
        },
    },
];

/// What is asked of an address.
const fn test(name: &'static str, call: for<'v> fn(&mut Call<'_, 'v>) -> Result<Value<'v>, EvalError>) -> Function {
    let overloads = &[Overload { parameters: &[IP], result: Type::Bool }];
    Function { name, style: Receiver, overloads, cost: cost::one, pattern: None, call }
}

fn address(call: &Call<'_, '_>, index: usize) -> Result<Address, EvalError> {
    match call.argument(index)? {
        Value::Text(text) => Address::parse(text).map_err(|error| failed(error.of_address())),
        _ => call.opaque(index).copied(),
    }
}

fn network(call: &Call<'_, '_>, index: usize) -> Result<Network, EvalError> {
    match call.argument(index)? {
        Value::Text(text) => Network::parse(text).map_err(|error| failed(error.of_network())),
        _ => call.opaque(index).copied(),
    }
}

fn containment_cost(arguments: &[Value<'_>], more: u64) -> u64 {
    let parsing = match arguments.get(1) {
        Some(text @ Value::Text(_)) => cost::tenth(text.cost_size()),
        _ => 0,
    };
    cost::tenth(network_size(arguments).saturating_mul(2)).saturating_add(parsing).saturating_add(more)
}

fn network_size(arguments: &[Value<'_>]) -> u64 {
    arguments.first().and_then(Value::downcast).map_or(1, |network: &Network| network.size())
}

impl Opaque for Address {
    fn kind(&self) -> Type {
        IP
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Opaque for Network {
    fn kind(&self) -> Type {
        CIDR
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
