//! From attributes to values. Numbers are those of the NFTA_* attributes in nf_tables.h.

use crate::{
    Attribute, ChainInfo, Decoded, ElementInfo, ElementsInfo, FlowtableInfo, GenerationInfo, Message, ObjectInfo,
    Quota, RuleInfo, SetInfo, TableInfo,
    constants::{
        NFNL_SUBSYS_NFTABLES, NFT_MSG_NEWCHAIN, NFT_MSG_NEWFLOWTABLE, NFT_MSG_NEWGEN, NFT_MSG_NEWOBJ, NFT_MSG_NEWRULE,
        NFT_MSG_NEWSET, NFT_MSG_NEWSETELEM, NFT_MSG_NEWTABLE, NFT_OBJECT_COUNTER, NFT_OBJECT_QUOTA, NFT_QUOTA_F_INV,
    },
    userdata,
};

/// What a message tells; none if it is not of nf_tables, or of no kind that is known here.
#[must_use]
pub fn decode(message: &Message<'_>) -> Option<Decoded> {
    if message.subsystem() != NFNL_SUBSYS_NFTABLES {
        return None;
    }
    Some(match message.operation() {
        NFT_MSG_NEWTABLE => Decoded::Table(table(message)),
        NFT_MSG_NEWCHAIN => Decoded::Chain(chain(message)),
        NFT_MSG_NEWRULE => Decoded::Rule(rule(message)),
        NFT_MSG_NEWSET => Decoded::Set(set(message)),
        NFT_MSG_NEWSETELEM => Decoded::Elements(elements(message)),
        NFT_MSG_NEWOBJ => Decoded::Object(object(message)),
        NFT_MSG_NEWFLOWTABLE => Decoded::Flowtable(flowtable(message)),
        NFT_MSG_NEWGEN => Decoded::Generation(generation(message)),
        _ => return None,
    })
}

fn u32_of(attribute: &Attribute<'_>) -> u32 {
    attribute.u32().unwrap_or_default()
}

fn u64_of(attribute: &Attribute<'_>) -> u64 {
    attribute.u64().unwrap_or_default()
}

fn comment(attribute: &Attribute<'_>) -> Option<String> {
    userdata::find(userdata::COMMENT, attribute.value)
}

fn table(message: &Message<'_>) -> TableInfo {
    let mut found = TableInfo { family: message.family(), ..TableInfo::default() };
    for attribute in message.attributes() {
        match attribute.kind {
            1 => found.name = attribute.text(),
            2 => found.flags = u32_of(&attribute),
            3 => found.uses = u32_of(&attribute),
            4 => found.handle = u64_of(&attribute),
            6 => found.comment = comment(&attribute),
            _ => {}
        }
    }
    found
}

fn chain(message: &Message<'_>) -> ChainInfo {
    let mut found = ChainInfo { family: message.family(), ..ChainInfo::default() };
    for attribute in message.attributes() {
        match attribute.kind {
            1 => found.table = attribute.text(),
            2 => found.handle = u64_of(&attribute),
            3 => found.name = attribute.text(),
            4 => {
                let number = |kind| attribute.nested().get(kind)?.u32();
                found.hook = number(1).zip(number(2).map(u32::cast_signed));
            }
            5 => found.policy = attribute.u32(),
            6 => found.uses = u32_of(&attribute),
            7 => found.kind = Some(attribute.text()),
            12 => found.comment = comment(&attribute),
            _ => {}
        }
    }
    found
}

fn rule(message: &Message<'_>) -> RuleInfo {
    let mut found = RuleInfo { family: message.family(), ..RuleInfo::default() };
    for attribute in message.attributes() {
        match attribute.kind {
            1 => found.table = attribute.text(),
            2 => found.chain = attribute.text(),
            3 => found.handle = u64_of(&attribute),
            4 => {
                found.expressions =
                    attribute.nested().filter_map(|one| expression(&one)).map(|(name, _)| name).collect()
            }
            6 => found.position = attribute.u64(),
            7 => found.comment = comment(&attribute),
            _ => {}
        }
    }
    found
}

/// Name and data of an expression.
fn expression<'a>(attribute: &Attribute<'a>) -> Option<(String, Option<Attribute<'a>>)> {
    Some((attribute.nested().get(1)?.text(), attribute.nested().get(2)))
}

fn set(message: &Message<'_>) -> SetInfo {
    let mut found = SetInfo { family: message.family(), ..SetInfo::default() };
    for attribute in message.attributes() {
        match attribute.kind {
            1 => found.table = attribute.text(),
            2 => found.name = attribute.text(),
            3 => found.flags = u32_of(&attribute),
            4 => found.key_type = u32_of(&attribute),
            5 => found.key_length = u32_of(&attribute),
            6 => found.data_type = attribute.u32(),
            9 => found.size = attribute.nested().get(1).and_then(|size| size.u32()),
            11 => found.timeout_ms = attribute.u64(),
            13 => found.comment = userdata::find(userdata::SET_COMMENT, attribute.value),
            16 => found.handle = u64_of(&attribute),
            _ => {}
        }
    }
    found
}

fn elements(message: &Message<'_>) -> ElementsInfo {
    let mut found = ElementsInfo { family: message.family(), ..ElementsInfo::default() };
    for attribute in message.attributes() {
        match attribute.kind {
            1 => found.table = attribute.text(),
            2 => found.set = attribute.text(),
            3 => found.elements.extend(attribute.nested().map(|one| element(&one))),
            _ => {}
        }
    }
    found
}

fn element(element: &Attribute<'_>) -> ElementInfo {
    let mut found = ElementInfo::default();
    let value = |attribute: &Attribute<'_>| attribute.nested().get(1).map(|value| value.value.to_vec());
    for attribute in element.nested() {
        match attribute.kind {
            1 => found.key = value(&attribute).unwrap_or_default(),
            2 => found.verdict = verdict(&attribute),
            3 => found.flags = u32_of(&attribute),
            4 => found.timeout_ms = attribute.u64(),
            5 => found.expiration_ms = attribute.u64(),
            6 => found.comment = comment(&attribute),
            7 => found.counter = element_counter(&attribute),
            10 => found.key_end = value(&attribute),
            11 => found.counter = attribute.nested().find_map(|one| element_counter(&one)),
            _ => {}
        }
    }
    found
}

fn verdict(data: &Attribute<'_>) -> Option<(i32, Option<String>)> {
    let verdict = data.nested().get(2)?.nested();
    Some((verdict.get(1)?.u32()?.cast_signed(), verdict.get(2).map(|chain| chain.text())))
}

fn element_counter(attribute: &Attribute<'_>) -> Option<(u64, u64)> {
    match expression(attribute)? {
        (name, Some(data)) if name == "counter" => counter(&data),
        _ => None,
    }
}

/// Packets and bytes.
fn counter(data: &Attribute<'_>) -> Option<(u64, u64)> {
    Some((data.nested().get(2)?.u64()?, data.nested().get(1)?.u64()?))
}

fn object(message: &Message<'_>) -> ObjectInfo {
    let mut found = ObjectInfo { family: message.family(), ..ObjectInfo::default() };
    for attribute in message.attributes() {
        match attribute.kind {
            1 => found.table = attribute.text(),
            2 => found.name = attribute.text(),
            3 => found.kind = u32_of(&attribute),
            5 => found.uses = u32_of(&attribute),
            6 => found.handle = u64_of(&attribute),
            _ => {}
        }
    }
    // The kind may come after the data.
    if let Some(data) = message.attributes().get(4) {
        match found.kind {
            NFT_OBJECT_COUNTER => found.counter = counter(&data),
            NFT_OBJECT_QUOTA => found.quota = quota(&data),
            _ => {}
        }
    }
    found
}

fn quota(data: &Attribute<'_>) -> Option<Quota> {
    let quota = data.nested();
    Some(Quota {
        bytes: quota.get(1)?.u64()?,
        over: quota.get(2).is_some_and(|flags| u32_of(&flags) & NFT_QUOTA_F_INV != 0),
        consumed: quota.get(4).map_or(0, |consumed| u64_of(&consumed)),
    })
}

fn flowtable(message: &Message<'_>) -> FlowtableInfo {
    let mut found = FlowtableInfo { family: message.family(), ..FlowtableInfo::default() };
    for attribute in message.attributes() {
        match attribute.kind {
            1 => found.table = attribute.text(),
            2 => found.name = attribute.text(),
            3 => {
                let devices = attribute.nested().get(3);
                found.devices = devices.iter().flat_map(Attribute::nested).map(|name| name.text()).collect();
            }
            5 => found.handle = u64_of(&attribute),
            7 => found.flags = u32_of(&attribute),
            _ => {}
        }
    }
    found
}

fn generation(message: &Message<'_>) -> GenerationInfo {
    let mut found = GenerationInfo::default();
    for attribute in message.attributes() {
        match attribute.kind {
            1 => found.id = u32_of(&attribute),
            2 => found.pid = attribute.u32(),
            3 => found.process = Some(attribute.text()),
            _ => {}
        }
    }
    found
}
