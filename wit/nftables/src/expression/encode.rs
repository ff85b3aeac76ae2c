//! Expressions as attributes: NFTA_EXPR_NAME and NFTA_EXPR_DATA, within the latter what each kind has.

use crate::{
    Expression, Limit, LogTarget, Quota, Register, Verdict, Writer,
    constants::{
        NF_ACCEPT, NF_DROP, NF_NAT_RANGE_PROTO_SPECIFIED, NFT_BREAK, NFT_CONNLIMIT_F_INV, NFT_CONTINUE,
        NFT_DYNSET_F_EXPR, NFT_DYNSET_F_INV, NFT_EXTHDR_F_PRESENT, NFT_GOTO, NFT_JUMP, NFT_LIMIT_F_INV,
        NFT_LIMIT_PKT_BYTES, NFT_LIMIT_PKTS, NFT_LOOKUP_F_INV, NFT_QUOTA_F_INV, NFT_RANGE_EQ, NFT_RANGE_NEQ,
        NFT_REJECT_TCP_RST, NFT_RETURN,
    },
};

/// NFTA_LIST_ELEM.
const LIST_ELEMENT: u16 = 1;
/// NFTA_EXPR_*.
const NAME: u16 = 1;
const DATA: u16 = 2;
/// NFTA_DATA_*.
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
/// NFTA_VERDICT_*.
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;

/// Expressions as a list.
pub(crate) fn list(writer: &mut Writer, expressions: &[Expression<'_>]) {
    for expression in expressions {
        one(writer, LIST_ELEMENT, expression);
    }
}

/// An expression as the attribute `kind`.
pub(crate) fn one(writer: &mut Writer, kind: u16, expression: &Expression<'_>) {
    writer.nested(kind, |w| {
        w.text(NAME, expression.name());
        if !matches!(expression, Expression::Notrack) {
            w.nested(DATA, |w| data(w, expression));
        }
    });
}

/// A value as it stands in a register.
pub(crate) fn value(writer: &mut Writer, kind: u16, bytes: &[u8]) {
    writer.wrapped(kind, DATA_VALUE, bytes);
}

pub(crate) fn verdict(writer: &mut Writer, kind: u16, verdict: &Verdict<'_>) {
    let (code, chain) = match verdict {
        Verdict::Accept => (NF_ACCEPT, None),
        Verdict::Drop => (NF_DROP, None),
        Verdict::Continue => (NFT_CONTINUE, None),
        Verdict::Break => (NFT_BREAK, None),
        Verdict::Return => (NFT_RETURN, None),
        Verdict::Jump(chain) => (NFT_JUMP, Some(chain)),
        Verdict::Goto(chain) => (NFT_GOTO, Some(chain)),
    };
    writer.nested(kind, |w| {
        w.nested(DATA_VERDICT, |w| {
            w.data(VERDICT_CODE, &code.to_be_bytes());
            if let Some(chain) = chain {
                w.text(VERDICT_CHAIN, chain);
            }
        });
    });
}

pub(crate) fn counter(w: &mut Writer, packets: u64, bytes: u64) {
    w.u64(1, bytes);
    w.u64(2, packets);
}

pub(crate) fn limit(w: &mut Writer, limit: &Limit) {
    w.u64(1, limit.rate);
    w.u64(2, limit.unit);
    w.u32(3, limit.burst);
    w.u32(4, if limit.bytes { NFT_LIMIT_PKT_BYTES } else { NFT_LIMIT_PKTS });
    w.u32(5, if limit.over { NFT_LIMIT_F_INV } else { 0 });
}

pub(crate) fn quota(w: &mut Writer, quota: &Quota) {
    w.u64(1, quota.bytes);
    w.u32(2, if quota.over { NFT_QUOTA_F_INV } else { 0 });
    w.u64(4, quota.consumed);
}

/// Two registers; one is enough where both are the same.
fn registers(w: &mut Writer, kinds: (u16, u16), registers: Option<(Register, Register)>) {
    if let Some((first, last)) = registers {
        w.u32(kinds.0, first.0);
        if last != first {
            w.u32(kinds.1, last.0);
        }
    }
}

const fn range_flags(flags: u32, ports: bool) -> u32 {
    if ports { flags | NF_NAT_RANGE_PROTO_SPECIFIED } else { flags }
}

/// What NFTA_EXPR_DATA holds. Numbers are those of the NFTA_*_ attributes of the expression in nf_tables.h.
fn data(w: &mut Writer, expression: &Expression<'_>) {
    match expression {
        Expression::Payload { destination, base, offset, length } => {
            numbers(w, &[(1, destination.0), (2, *base), (3, *offset), (4, *length)]);
        }
        Expression::PayloadSet { source, base, offset, length, checksum } => {
            numbers(w, &[(5, source.0), (2, *base), (3, *offset), (4, *length)]);
            if let Some(checksum) = checksum {
                numbers(w, &[(6, checksum.kind), (7, checksum.offset)]);
                if checksum.flags != 0 {
                    w.u32(8, checksum.flags);
                }
            }
        }
        Expression::Meta { destination, key } => numbers(w, &[(2, *key), (1, destination.0)]),
        Expression::MetaSet { source, key } => numbers(w, &[(2, *key), (3, source.0)]),
        Expression::Compare { source, operation, data } => {
            numbers(w, &[(1, source.0), (2, *operation)]);
            value(w, 3, data);
        }
        Expression::Range { source, invert, first, last } => {
            numbers(w, &[(1, source.0), (2, if *invert { NFT_RANGE_NEQ } else { NFT_RANGE_EQ })]);
            value(w, 3, first);
            value(w, 4, last);
        }
        Expression::Bitwise { source, destination, mask, xor } => {
            let length = u32::try_from(mask.len()).unwrap_or(u32::MAX);
            numbers(w, &[(1, source.0), (2, destination.0), (3, length)]);
            value(w, 4, mask);
            value(w, 5, xor);
        }
        Expression::Lookup { source, set, id, invert, destination } => {
            w.text(1, set);
            w.u32(2, source.0);
            if let Some(destination) = destination {
                w.u32(3, destination.0);
            }
            if let Some(id) = id {
                w.u32(4, *id);
            }
            if *invert {
                w.u32(5, NFT_LOOKUP_F_INV);
            }
        }
        Expression::Immediate { destination, data } => {
            w.u32(1, destination.0);
            value(w, 2, data);
        }
        Expression::Verdict(code) => {
            w.u32(1, Register::VERDICT.0);
            verdict(w, 2, code);
        }
        Expression::Ct { destination, key, direction } => {
            numbers(w, &[(2, *key), (1, destination.0)]);
            direction.iter().for_each(|direction| w.u8(3, *direction));
        }
        Expression::CtSet { source, key, direction } => {
            numbers(w, &[(2, *key), (4, source.0)]);
            direction.iter().for_each(|direction| w.u8(3, *direction));
        }
        Expression::Reject { kind, code } => {
            w.u32(1, *kind);
            if *kind != NFT_REJECT_TCP_RST {
                w.u8(2, *code);
            }
        }
        Expression::Limit(rate) => limit(w, rate),
        Expression::Counter { packets, bytes } => counter(w, *packets, *bytes),
        Expression::ObjectReference { kind, name } => {
            w.u32(1, *kind);
            w.text(2, name);
        }
        Expression::Log { prefix, target } => {
            prefix.iter().for_each(|prefix| w.text(2, prefix));
            log(w, target);
        }
        Expression::Masquerade { flags, ports } => {
            match range_flags(*flags, ports.is_some()) {
                0 => {}
                flags => w.u32(1, flags),
            }
            registers(w, (2, 3), *ports);
        }
        Expression::Redirect { flags, ports } => {
            registers(w, (1, 2), *ports);
            match range_flags(*flags, ports.is_some()) {
                0 => {}
                flags => w.u32(3, flags),
            }
        }
        Expression::Nat { kind, family, addresses, ports, flags } => {
            numbers(w, &[(1, *kind), (2, family.number().into())]);
            registers(w, (3, 4), *addresses);
            registers(w, (5, 6), *ports);
            // The kernel adds MAP_IPS itself where there are addresses.
            match range_flags(*flags, ports.is_some()) {
                0 => {}
                flags => w.u32(7, flags),
            }
        }
        Expression::Exthdr { destination, operation, kind, offset, length, present } => {
            w.u32(1, destination.0);
            w.u8(2, *kind);
            numbers(w, &[(3, *offset), (4, *length), (6, *operation)]);
            if *present {
                w.u32(5, NFT_EXTHDR_F_PRESENT);
            }
        }
        Expression::ExthdrSet { source, operation, kind, offset, length } => {
            w.u32(7, source.0);
            w.u8(2, *kind);
            numbers(w, &[(3, *offset), (4, *length), (6, *operation)]);
        }
        Expression::Rt { destination, key } => numbers(w, &[(2, *key), (1, destination.0)]),
        Expression::Fib { destination, result, flags } => {
            numbers(w, &[(3, *flags), (2, *result), (1, destination.0)]);
        }
        Expression::DynamicSet { .. } => dynamic_set(w, expression),
        Expression::FlowOffload { flowtable } => w.text(1, flowtable),
        Expression::Notrack => {}
        // NFPROTO_UNSPEC.
        Expression::TransparentProxy { port } => numbers(w, &[(1, 0), (3, port.0)]),
        Expression::ConnectionLimit { count, over } => {
            numbers(w, &[(1, *count), (2, if *over { NFT_CONNLIMIT_F_INV } else { 0 })]);
        }
        Expression::Quota(amount) => quota(w, amount),
        Expression::ByteOrder { source, destination, operation, length, size } => {
            numbers(w, &[(1, source.0), (2, destination.0), (3, *operation), (4, *length), (5, *size)]);
        }
        Expression::Other { data, .. } => w.raw(data),
    }
}

fn numbers(w: &mut Writer, values: &[(u16, u32)]) {
    for (kind, value) in values {
        w.u32(*kind, *value);
    }
}

fn log(w: &mut Writer, target: &LogTarget) {
    match *target {
        LogTarget::Syslog { level, flags } => {
            w.u32(5, level);
            if flags != 0 {
                w.u32(6, flags);
            }
        }
        LogTarget::Group { group, snaplen, queue_threshold } => {
            w.u16(1, group);
            snaplen.iter().for_each(|length| w.u32(3, *length));
            queue_threshold.iter().for_each(|count| w.u16(4, *count));
        }
    }
}

fn dynamic_set(w: &mut Writer, expression: &Expression<'_>) {
    let Expression::DynamicSet { set, id, operation, key, data, timeout_ms, invert, expressions } = expression else {
        return;
    };
    w.text(1, set);
    id.iter().for_each(|id| w.u32(2, *id));
    numbers(w, &[(3, *operation), (4, key.0)]);
    data.iter().for_each(|register| w.u32(5, register.0));
    timeout_ms.iter().for_each(|timeout| w.u64(6, *timeout));
    let mut flags = if *invert { NFT_DYNSET_F_INV } else { 0 };
    match expressions.as_slice() {
        [] => {}
        [one_of_them] => one(w, 7, one_of_them),
        several => {
            flags |= NFT_DYNSET_F_EXPR;
            w.nested(10, |w| list(w, several));
        }
    }
    if flags != 0 {
        w.u32(9, flags);
    }
}

#[cfg(test)]
mod tests;
